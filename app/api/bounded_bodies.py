"""The limit on bodies that are read whole; uploads, which are not, have limits of their own."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL_PATHS = ("/api/chatkit/", "/v1/")
MAX_SMALL_BODY = 256 * 1024


class BoundedBodyMiddleware:
    """Bounds the bodies that FastAPI reads, which are those under ``SMALL_PATHS``."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = min(limit, MAX_SMALL_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["path"].startswith(SMALL_PATHS):
            receive = bound(receive, Headers(scope=scope), self._limit)
        await self._app(scope, receive, send)


async def read_body(request: Request, limit: int) -> bytes:
    """Return a request's body, read no further than allowed; raises ``HTTPException`` 413."""
    return await Request(request.scope, bound(request.receive, request.headers, limit)).body()


def bound(receive: Receive, headers: Headers, limit: int) -> Receive:
    """Return ``receive`` for a body of at most ``limit`` bytes; it raises ``HTTPException`` 413.

    A body that says how long it is is not read at all; any other no further than that.
    """
    declared = headers.get("content-length", "")
    too_large = declared.isdigit() and int(declared) > limit
    left = limit

    async def receive_bounded() -> Message:
        nonlocal left
        message = {"type": "http.request"} if too_large else await receive()
        left -= len(message.get("body", b""))
        if too_large or left < 0:
            raise HTTPException(413, f"The request body is larger than {limit} bytes")
        return message

    return receive_bounded
