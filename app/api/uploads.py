"""Files on their way in: in one request, or to the address that was announced for them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from app.api.deps import ContextDep, Services, ServicesDep, get_public_url
from app.api.openapi import error_responses
from app.chatkit.context import RequestContext
from app.chatkit.errors import InvalidRequestError, NotFoundError, RequestRefusedError
from app.chatkit.protocol.items import Attachment
from app.chatkit.protocol.serialization import dump_wire
from app.errors import AppError, describe_error
from app.uploads.receiving import IncomingFile, SlowUploadError, open_file, read_body, too_large

router = APIRouter(prefix="/api/uploads", tags=["files"])

OVERHEAD = 64 * 1024
"""What a multipart body may have besides the file, in bytes."""

REST_SECONDS = 20.0
"""For how long the rest of a refused file is read."""

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
_RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **_BODY["requestBody"]["content"],
            "*/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(
    "",
    summary="Upload a file",
    response_model=Attachment,
    responses=error_responses(400, 401, 403, 404, 409, 413, 422, 429, 503),
    openapi_extra=_BODY,
)
async def upload(request: Request, context: ContextDep, services: ServicesDep) -> Response:
    """Take a file in one multipart request (the part ``file``), and return its attachment."""
    size = _declared_length(request)
    return await _answer(
        request, services, lambda file: services.uploads.receive(file, size, context)
    )


_ANNOUNCED: dict[str, Any] = {
    "response_model": Attachment,
    "responses": error_responses(400, 403, 404, 409, 413, 422, 503),
    "openapi_extra": _RAW_BODY,
}


@router.put("/{token}", summary="Send an announced file", **_ANNOUNCED)
@router.post("/{token}", summary="Send an announced file, with POST", **_ANNOUNCED)
async def upload_announced(token: str, request: Request, services: ServicesDep) -> Response:
    """Take the bytes of a file that ``attachments.create`` announced: raw, or as multipart."""
    owner = services.uploads.urls.read("uploads", token)
    context = RequestContext(user_id=owner.user_id, public_url=get_public_url(request))
    return await _answer(
        request,
        services,
        lambda file: services.uploads.receive_announced(owner.attachment_id, file.chunks, context),
    )


class _Body:
    """A request's body as it arrives."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.is_over = False

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield what arrives; raises ``ClientDisconnect``."""
        while not self.is_over:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self.is_over = not message.get("more_body", False)
            yield message.get("body", b"")


async def _answer(
    request: Request, services: Services, take: Callable[[IncomingFile], Awaitable[Attachment]]
) -> Response:
    """Hand the file in the body to ``take``; return its attachment, or what is wrong with it."""
    body = _Body(request)
    try:
        attachment = await take(await _open(request, body, services))
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it
    except (AppError, NotFoundError, RequestRefusedError) as error:
        return await _refuse(error, body, request, services)
    return Response(dump_wire(attachment), media_type="application/json")


async def _refuse(error: Exception, body: _Body, request: Request, services: Services) -> Response:
    """Return what is wrong, once the client has had the time to listen.

    A browser that is still sending when the connection closes never sees the answer. So the rest is
    read for a while, as far as its length is known or a file may have it, and of a body that does
    not end then the connection is closed.
    """
    response = describe_error(error)
    declared = request.headers.get("content-length", "")
    length = int(declared) if declared.isdecimal() else 0
    read, limit = 0, max(length, services.settings.upload_max_bytes)
    if not isinstance(error, SlowUploadError):
        idle = services.settings.upload_idle_timeout
        with suppress(ClientDisconnect, SlowUploadError):
            async for chunk in read_body(body.stream(), idle=idle, timeout=REST_SECONDS):
                read += len(chunk)
                if read > limit:
                    break
    if not body.is_over:
        response.headers["Connection"] = "close"
    return response


async def _open(request: Request, body: _Body, services: Services) -> IncomingFile:
    """Return the file in the body, of which hardly anything has been read."""
    limit = services.settings.upload_max_bytes
    if _declared_length(request) > limit + OVERHEAD:
        raise too_large(limit)
    settings = services.settings
    chunks = read_body(
        body.stream(), idle=settings.upload_idle_timeout, timeout=settings.upload_timeout
    )
    return await open_file(request.headers, chunks)


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit():
        raise InvalidRequestError("Content-Length: not a number", field="Content-Length")
    return int(declared)
