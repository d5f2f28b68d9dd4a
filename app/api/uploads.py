"""Files on their way in: in one request, or to the address that was announced for them."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.deps import ContextDep, Services, ServicesDep, get_public_url
from app.api.openapi import refusals
from app.chatkit.context import RequestContext
from app.chatkit.errors import InvalidRequestError
from app.chatkit.items import Attachment
from app.chatkit.wire import dump_wire
from app.errors import PayloadTooLargeError
from app.uploads.receiving import IncomingFile, open_file, read_body

router = APIRouter(prefix="/api/uploads", tags=["files"])

OVERHEAD = 64 * 1024
"""What a multipart body may have besides the file, in bytes."""

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
    responses=refusals(400, 401, 403, 404, 409, 413, 422, 429, 503),
    openapi_extra=_BODY,
)
async def upload(request: Request, context: ContextDep, services: ServicesDep) -> Response:
    """Take a file in one multipart request (the part ``file``), and return its attachment."""
    file = await _open(request, services)
    attachment = await services.uploads.receive(file, _declared_length(request), context)
    return Response(dump_wire(attachment), media_type="application/json")


_ANNOUNCED: dict[str, Any] = {
    "response_model": Attachment,
    "responses": refusals(400, 403, 404, 409, 413, 422, 503),
    "openapi_extra": _RAW_BODY,
}


@router.put("/{token}", summary="Send an announced file", **_ANNOUNCED)
@router.post("/{token}", summary="Send an announced file, with POST", **_ANNOUNCED)
async def upload_announced(token: str, request: Request, services: ServicesDep) -> Response:
    """Take the bytes of a file that ``attachments.create`` announced: raw, or as multipart."""
    owner = services.uploads.urls.read("uploads", token)
    context = RequestContext(user_id=owner.user_id, public_url=get_public_url(request))
    file = await _open(request, services)
    attachment = await services.uploads.receive_announced(owner.attachment_id, file.chunks, context)
    return Response(dump_wire(attachment), media_type="application/json")


async def _open(request: Request, services: Services) -> IncomingFile:
    """Return the file in the body, of which hardly anything has been read."""
    limit = services.settings.upload_max_bytes
    if _declared_length(request) > limit + OVERHEAD:
        raise PayloadTooLargeError(f"The file is larger than {limit} bytes")
    chunks = read_body(request.stream(), idle=services.settings.upload_idle_timeout)
    return await open_file(request.headers, chunks)


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit():
        raise InvalidRequestError("Content-Length: not a number", field="Content-Length")
    return int(declared)
