"""The OpenAPI document: what FastAPI cannot read off the routes is added to it here.

That is the body of ``POST /chatkit`` and its two kinds of answers, which the engine parses and
writes itself, the shape of errors, and which key opens what.
"""

import json
import re
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter

from app.chatkit import widgets
from app.chatkit.protocol.events import SyncCustomActionResponse, ThreadStreamEvent
from app.chatkit.protocol.items import Attachment, Page, Thread, ThreadItem
from app.chatkit.protocol.requests import REQUEST_ADAPTER, TranscriptionResult

DESCRIPTION = """\
A self-hosted backend for ChatKit. A page asks `POST /api/chatkit/session` for a **client secret**
and sends it as a bearer token to `POST /chatkit`. Your own servers use `/v1/chatkit` with a
**server API key**, as with OpenAI's `beta.chatkit`."""

TAGS = [
    {
        "name": "chatkit",
        "description": "The ChatKit protocol: one address, and `type` says what is asked.",
    },
    {"name": "sessions", "description": "Client secrets, for the page."},
    {
        "name": "runs",
        "description": "Answers that are being written: Stop, and coming back.",
    },
    {"name": "files", "description": "Files that users attach: on their way in, and out."},
    {
        "name": "server API",
        "description": "Sessions and threads, for your own servers; the `openai` client speaks it.",
    },
    {"name": "health", "description": "For whoever watches or balances."},
]

SECURITY_SCHEMES = {
    "client_secret": {
        "type": "http",
        "scheme": "bearer",
        "description": "What `POST /api/chatkit/session` or `POST /v1/chatkit/sessions` returned.",
    },
    "server_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of `SERVER_API_KEYS`.",
    },
}
_OPENED_BY = {"server API": "server_key", "health": None}
_OPENED_BY_OTHERS = {
    "/api/chatkit/session": None,
    # The address itself is the key.
    "/api/uploads/{token}": None,
    "/api/files/{token}": None,
    "/api/previews/{token}": None,
}

REASONS = {
    400: "The request is malformed; `field` says where",
    401: "The secret or the caller is not known",
    403: "Not from this origin, or not in this session",
    404: "There is no such thing, or it is not yours",
    408: "The body did not arrive in time",
    409: "It is being worked on already",
    413: "The body is too large",
    415: "The body has the wrong type",
    416: "There is no such range",
    422: "It is understood, but cannot be done",
    429: "Too much at once; `Retry-After` says when to come back, in seconds",
    502: "A server that this one depends on refused",
    503: "Not now; `Retry-After` says when to come back, in seconds",
}


class ErrorDetail(BaseModel):
    """What went wrong; ``field`` only where one field of the request is to blame."""

    code: str
    message: str
    request_id: str
    field: str | None = None


class ErrorAnswer(BaseModel):
    """Every error before a stream begins."""

    error: ErrorDetail


def error_responses(
    *statuses: int, model: type[BaseModel] = ErrorAnswer
) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that can refuse with these statuses."""
    return {status: {"model": model, "description": REASONS[status]} for status in statuses}


CHATKIT_ERROR_RESPONSES = error_responses(400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
"""Those of ``POST /chatkit``."""


class ThreadPage(Page[Thread]):
    """A page of threads."""


class ItemPage(Page[ThreadItem]):
    """A page of items."""


_REF = "#/components/schemas/{model}"
_REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')
_ANSWERS: TypeAdapter[Any] = TypeAdapter(
    Thread
    | ThreadPage
    | ItemPage
    | Attachment
    | TranscriptionResult
    | SyncCustomActionResponse
    | dict[str, Any]
)
_EVENTS: TypeAdapter[ThreadStreamEvent] = TypeAdapter(ThreadStreamEvent)
_WIDGETS = {
    name
    for name, each in vars(widgets).items()
    if isinstance(each, type) and issubclass(each, BaseModel)
}
FRAME: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "description": "For `Last-Event-ID`."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/ThreadStreamEvent"},
        },
    },
}
"""A Server-Sent Event of a stream."""
_MESSAGE: dict[str, Any] = {
    "content": [{"type": "input_text", "text": "Hello!"}],
    "attachments": [],
    "inference_options": {},
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "Start a thread": {"type": "threads.create", "params": {"input": _MESSAGE}},
    "Go on in a thread": {
        "type": "threads.add_user_message",
        "params": {"thread_id": "thr_1", "input": _MESSAGE},
    },
    "List threads": {"type": "threads.list", "params": {"limit": 20, "order": "desc"}},
    "List items": {"type": "items.list", "params": {"thread_id": "thr_1", "order": "asc"}},
}
_FRAMES = """\
id: run_1.1
data: {"type":"thread.created","thread":{"id":"thr_1", ...}}

id: run_1.2
data: {"type":"thread.item.done","item":{"type":"user_message", ...}}

"""


def describe_api(app: FastAPI) -> None:
    """Make ``app.openapi()`` return the whole document; it is put together once, when asked for."""

    def create() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _create_document(app)
        return app.openapi_schema

    app.openapi = create


def _create_document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
    )
    components = document["components"]
    schemas: dict[str, Any] = components["schemas"]
    components["securitySchemes"] = SECURITY_SCHEMES
    for path, operations in cast("dict[str, dict[str, Any]]", document["paths"]).items():
        for operation in operations.values():
            # A malformed request is answered with 400 here.
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            _say_what_opens(path, operation)
    _describe_chatkit(document["paths"]["/chatkit"]["post"], schemas)
    _drop_unused(schemas, document["paths"])
    return document


def _say_what_opens(path: str, operation: dict[str, Any]) -> None:
    tag = operation.get("tags", ["chatkit"])[0]
    scheme = _OPENED_BY_OTHERS.get(path, _OPENED_BY.get(tag, "client_secret"))
    if path not in _OPENED_BY_OTHERS and scheme is not None:
        operation["security"] = [{scheme: []}]


def _describe_chatkit(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add the engine's own request and answer models to ``POST /chatkit``."""
    asked = REQUEST_ADAPTER.json_schema(ref_template=_REF)
    answered = _ANSWERS.json_schema(ref_template=_REF)
    events = _EVENTS.json_schema(ref_template=_REF)
    for schema in (asked, answered, events):
        for name, definition in schema.pop("$defs").items():
            schemas.setdefault(name, _shorten(definition) if name in _WIDGETS else definition)
    schemas["ThreadStreamEvent"] = events
    operation["summary"] = "Ask ChatKit"
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": asked,
                "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            }
        },
    }
    operation["responses"]["200"] = {
        "description": (
            "JSON, or for requests that an answer is written to (threads.create, "
            "threads.add_user_message, threads.add_client_tool_output, "
            "threads.add_structured_input, threads.retry_after_item, threads.custom_action) "
            "Server-Sent Events: each `data` is one ThreadStreamEvent"
        ),
        "headers": {
            "X-ChatKit-Run": {
                "description": "Of a stream: the run, for Stop and for coming back to it.",
                "schema": {"type": "string"},
            }
        },
        "content": {
            "application/json": {"schema": answered},
            "text/event-stream": {"schema": FRAME, "example": _FRAMES},
        },
    }


def _shorten(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a widget without what is in it: widgets nest without an end.

    Whoever shows the document would follow every path through all of them.
    """
    kind = definition.get("properties", {}).get("type")
    return {
        "title": definition.get("title", "Widget"),
        "description": "See ChatKit's widgets for its fields.",
        "type": "object",
        "properties": {"type": kind} if kind else {},
    }


def _drop_unused(schemas: dict[str, Any], paths: dict[str, Any]) -> None:
    """Leave out the schemas that nothing refers to any more."""
    used: set[str] = set()
    waiting = [paths]
    while waiting:
        found = set(_REFERENCE.findall(json.dumps(waiting.pop()))) - used
        used |= found
        waiting += [schemas[name] for name in found]
    for name in set(schemas) - used:
        del schemas[name]
