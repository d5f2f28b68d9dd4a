"""Files on their way out: downloads, and previews of images.

Whoever has the link may read: an ``<img>`` sends no secret. Nothing here runs in a browser: files
are downloads, but for images whose bytes were looked at.
"""

import re
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AnyUrl, BaseModel

from app.api.deps import ContextDep, Services, ServicesDep
from app.api.openapi import error_responses
from app.chatkit.errors import NotFoundError
from app.uploads.attempts import PREVIEW_SUFFIX
from app.uploads.descriptions import StoredFile
from app.uploads.file_urls import Purpose
from app.uploads.previews import is_image

router = APIRouter(prefix="/api", tags=["files"])

EXPOSED_HEADERS = ("Content-Range", "Content-Disposition", "Accept-Ranges", "ETag")
"""What a page of another origin may read of these answers, besides what it always may."""

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_BEYOND = 2**62
_NOTHING_RUNS = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes", "content": {"*/*": {}}},
    206: {"description": "The bytes that were asked for", "content": {"*/*": {}}},
    304: {"description": "The bytes are what you have (`If-None-Match`)"},
    **error_responses(403, 404, 416, 503),
}


class FileLink(BaseModel):
    """Where a file can be downloaded for a while."""

    url: AnyUrl


@router.get(
    "/attachments/{attachment_id}/link",
    summary="Get a download link",
    responses=error_responses(401, 404, 429, 503),
)
async def link(attachment_id: str, context: ContextDep, services: ServicesDep) -> FileLink:
    """Return the address of a file of yours: for whoever has it, and for a while."""
    if await services.uploads.find_finished(context.user_id, attachment_id) is None:
        raise NotFoundError(f"Attachment {attachment_id} not found")
    url = services.uploads.urls.make("files", context.public_url, context.user_id, attachment_id)
    return FileLink(url=AnyUrl(url))


@router.get("/previews/{token}", summary="See an image", responses=_ANSWERS)
@router.head("/previews/{token}", summary="Ask about an image", include_in_schema=False)
async def preview(token: str, request: Request, services: ServicesDep) -> Response:
    """Return the preview of an image."""
    file = await _find(token, "previews", services)
    if file.preview_type is None:
        raise NotFoundError("There is no preview of this file")
    key = file.key + PREVIEW_SUFFIX
    tag = f'"{file.digest}-preview"'
    return await _respond(services, key, file.preview_type, "inline", tag, request)


@router.get("/files/{token}", summary="Download a file", responses=_ANSWERS)
@router.head("/files/{token}", summary="Ask about a file", include_in_schema=False)
async def download(token: str, request: Request, services: ServicesDep) -> Response:
    """Return a file as it was uploaded."""
    file = await _find(token, "files", services)
    kind = "inline" if is_image(file.mime_type) else "attachment"
    # Nobody shall see somebody's markup as a page of ours.
    mime_type = file.mime_type if kind == "inline" else "application/octet-stream"
    names = f"filename=\"{_ascii(file.name)}\"; filename*=UTF-8''{quote(file.name, safe='')}"
    tag = f'"{file.digest}"'
    return await _respond(services, file.key, mime_type, f"{kind}; {names}", tag, request)


async def _find(token: str, purpose: Purpose, services: Services) -> StoredFile:
    """Return the finished file that a token stands for."""
    owner = services.uploads.urls.read(purpose, token)
    file = await services.uploads.find_finished(owner.user_id, owner.attachment_id)
    if file is None:
        raise NotFoundError("The file does not exist any more")
    return file


async def _respond(
    services: Services, key: str, mime_type: str, disposition: str, tag: str, request: Request
) -> Response:
    size = await services.uploads.storage.head(key)
    if size is None:
        raise NotFoundError("The file does not exist any more")
    headers = {
        "Content-Disposition": disposition,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _NOTHING_RUNS,
        "Cache-Control": "private, max-age=600",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    if _is_known(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    span = _find_range(request, size, tag)
    if span is not None and span[0] >= span[1]:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    start, end = span or (0, size)
    headers["Content-Length"] = str(end - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if span is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=mime_type)
    chunks = services.uploads.storage.read(key, start, end)
    return StreamingResponse(chunks, status, headers=headers, media_type=mime_type)


def _is_known(tags: str, tag: str) -> bool:
    """Return whether ``If-None-Match`` names the bytes that there are."""
    return tags.strip() == "*" or tag in _TAG.findall(tags)


def _find_range(request: Request, size: int, tag: str) -> tuple[int, int] | None:
    """Return which bytes a request is for; None for all of them."""
    # Who has the beginning of other bytes needs all of these.
    if request.method == "HEAD" or request.headers.get("if-range", tag).strip() != tag:
        return None
    return _parse_range(request.headers.get("range", ""), size)


def _parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte of a single range and the one behind its last; None for no range.

    The first is not below the second where there are no such bytes.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    first, last = _number(match[1]), _number(match[2])
    if not match[1]:
        return max(size - last, 0), size
    if not match[2]:
        return first, size
    return None if last < first else (first, min(last + 1, size))


def _number(digits: str) -> int:
    return int(digits or 0) if len(digits) <= 18 else _BEYOND


def _ascii(name: str) -> str:
    """Return a name for clients that know no other: nothing in it can end the header's text."""
    return re.sub(r"[^A-Za-z0-9 ._-]", "_", name)
