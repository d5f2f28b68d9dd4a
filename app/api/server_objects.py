"""Bodies and objects of the server API, as the official ``openai`` client's types define them."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from app.auth.configuration import SessionConfiguration
from app.auth.user_ids import accept_user_id
from app.db.server_api_threads import OwnedThread

MAX_FILE_SIZE = 512  # megabytes
DEFAULT_TTL = 600


def _check_unicode(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be Unicode text, without lone surrogates") from None
    return value


StateName = Annotated[str, Field(max_length=64), AfterValidator(_check_unicode)]
StateText = Annotated[StrictStr, AfterValidator(_check_unicode)]
StateValue = StateText | StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=2**31 - 1)]


def _check_user(value: str) -> str:
    if accept_user_id(value) is None:
        raise ValueError("must be 1 to 256 printable characters")
    return value


UserId = Annotated[str, AfterValidator(_check_user), Field(examples=["user_123"])]


# --- what is asked -------------------------------------------------------------------------------


class Tracing(BaseModel):
    """Whether the run is traced; kept, and left to ``TRACING``."""

    enabled: bool = True


class WorkflowParam(BaseModel):
    """What answers. One server has one assistant, so any ``id`` will do."""

    id: str = Field(max_length=256, examples=["default"])
    state_variables: dict[StateName, StateValue] | None = Field(default=None, max_length=64)
    tracing: Tracing = Tracing()
    version: str | None = Field(default=None, max_length=256)


class Titling(BaseModel):
    """Whether new threads get a title."""

    enabled: bool = True


class FileUpload(BaseModel):
    """Whether files may be sent; sizes are in megabytes."""

    enabled: bool = False
    max_file_size: int = Field(default=MAX_FILE_SIZE, ge=1, le=MAX_FILE_SIZE)
    max_files: Limit = 10


class History(BaseModel):
    """Whether older threads are listed, and how many of them."""

    enabled: bool = True
    recent_threads: Limit | None = None


class Configuration(BaseModel):
    """What the session may do."""

    automatic_thread_titling: Titling = Titling()
    file_upload: FileUpload = FileUpload()
    history: History = History()


class ExpiresAfter(BaseModel):
    """When the session ends."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=1, le=86_400)


class RateLimits(BaseModel):
    """How many requests the session may make in a minute."""

    max_requests_per_1_minute: Limit | None = None


class SessionCreate(BaseModel):
    """A session for one of the integrator's users."""

    user: UserId
    workflow: WorkflowParam
    chatkit_configuration: Configuration = Configuration()
    expires_after: ExpiresAfter | None = None
    rate_limits: RateLimits = RateLimits()

    @property
    def ttl(self) -> int:
        """How long the session lives, in seconds."""
        return DEFAULT_TTL if self.expires_after is None else self.expires_after.seconds

    @property
    def configuration(self) -> SessionConfiguration:
        """What is kept of it."""
        return SessionConfiguration(
            chatkit=self.chatkit_configuration.model_dump(), workflow=self.workflow.model_dump()
        )


# --- what is answered ----------------------------------------------------------------------------


class SessionObject(BaseModel):
    """A session; its secret is known only when it is minted, and empty afterwards."""

    id: str
    object: Literal["chatkit.session"] = "chatkit.session"
    status: Literal["active", "expired", "cancelled"]
    user: str
    client_secret: str
    expires_at: int
    max_requests_per_1_minute: int
    rate_limits: dict[str, int]
    workflow: dict[str, Any]
    chatkit_configuration: dict[str, Any]


class ThreadObject(BaseModel):
    """A thread and whose it is."""

    id: str
    object: Literal["chatkit.thread"] = "chatkit.thread"
    created_at: int
    status: dict[str, Any]
    title: str | None
    user: str


class DeletedThread(BaseModel):
    """Says that a thread is gone."""

    id: str
    object: Literal["chatkit.thread.deleted"] = "chatkit.thread.deleted"
    deleted: bool = True


class ThreadList(BaseModel):
    """A page of threads."""

    object: Literal["list"] = "list"
    data: list[ThreadObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ItemList(BaseModel):
    """A page of items."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ErrorDetails(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str
    request_id: str


class ErrorBody(BaseModel):
    """An error, as OpenAI's API says it."""

    error: ErrorDetails


def session_object(
    session_id: str,
    *,
    user: str,
    status: Literal["active", "expired", "cancelled"],
    secret: str,
    expires_at: datetime,
    requests: int,
    configuration: SessionConfiguration,
) -> SessionObject:
    """Return a session as the client's types have it, its configuration filled in."""
    given = configuration.workflow or WorkflowParam(id="default").model_dump()
    return SessionObject(
        id=session_id,
        status=status,
        user=user,
        client_secret=secret,
        expires_at=int(expires_at.timestamp()),
        max_requests_per_1_minute=requests,
        rate_limits={"max_requests_per_1_minute": requests},
        workflow=given,
        chatkit_configuration=configuration.chatkit or Configuration().model_dump(),
    )


def thread_object(thread: OwnedThread) -> ThreadObject:
    """Return a thread as the client's types have it."""
    return ThreadObject(
        id=thread.id,
        created_at=int(thread.created_at.timestamp()),
        status=json.loads(thread.status),
        title=thread.title,
        user=thread.user_id,
    )


def item_object(stored: bytes) -> dict[str, Any]:
    """Return an item as the client's types have it, from the JSON that is stored."""
    item = cast("dict[str, Any]", json.loads(stored))
    kind = "task_group" if item["type"] == "workflow" else item["type"]
    return {
        "id": item["id"],
        "object": "chatkit.thread_item",
        "type": f"chatkit.{kind}",
        "thread_id": item["thread_id"],
        "created_at": int(datetime.fromisoformat(item["created_at"]).timestamp()),
        **_DETAILS[item["type"]](item),
    }


def _user_message(item: dict[str, Any]) -> dict[str, Any]:
    quoted = item.get("quoted_text")
    return {
        "content": [
            *([{"type": "quoted_text", "text": quoted}] if quoted else []),
            *({"type": "input_text", "text": part["text"]} for part in item["content"]),
        ],
        "attachments": [
            {name: each.get(name) for name in ("id", "mime_type", "name", "preview_url", "type")}
            for each in item.get("attachments", [])
        ],
        "inference_options": item.get("inference_options") or None,
    }


def _assistant_message(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "content": [
            {
                "type": "output_text",
                "text": part["text"],
                "annotations": _annotations(part.get("annotations", [])),
            }
            for part in item["content"]
        ]
    }


def _annotations(stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the annotations that the client's types know: files and addresses."""
    found: list[dict[str, Any]] = []
    for name in (each["source"] for each in stored):
        kept = {"file": "filename", "url": "url"}.get(name["type"])
        if kept is not None:
            source = {"type": name["type"], kept: name[kept]}
            found.append({"type": name["type"], "source": source})
    return found


def _widget(item: dict[str, Any]) -> dict[str, Any]:
    return {"widget": _to_json(item["widget"])}


def _client_tool_call(item: dict[str, Any]) -> dict[str, Any]:
    output = item.get("output")
    return {
        "name": item["name"],
        "call_id": item["call_id"],
        "arguments": _to_json(item["arguments"]),
        "output": None if output is None else _to_json(output),
        "status": "completed" if item["status"] == "completed" else "in_progress",
    }


def _task(item: dict[str, Any]) -> dict[str, Any]:
    task = _task_in_words(item["task"])
    return {"task_type": task.pop("type"), **task}


def _task_group(item: dict[str, Any]) -> dict[str, Any]:
    return {"tasks": [_task_in_words(each) for each in item["workflow"]["tasks"]]}


def _task_in_words(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task of one of the two kinds that the client's types know."""
    return {
        "type": "thought" if task["type"] == "thought" else "custom",
        "heading": task.get("title"),
        "summary": task.get("content"),
    }


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_DETAILS = {
    "user_message": _user_message,
    "assistant_message": _assistant_message,
    "widget": _widget,
    "client_tool_call": _client_tool_call,
    "task": _task,
    "workflow": _task_group,
}
