"""The limit on bodies that are read whole; uploads, which are not, have limits of their own."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import SlowRequestError

SMALL_PATHS = ("/api/chatkit/", "/v1/")
MAX_SMALL_BODY = 256 * 1024


class BoundedBodyMiddleware:
    """Bounds the bodies that FastAPI reads, which are those under ``SMALL_PATHS``."""

    def __init__(self, app: ASGIApp, *, limit: int, timeout: float) -> None:
        self._app = app
        self._limit = min(limit, MAX_SMALL_BODY)
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["path"].startswith(SMALL_PATHS):
            receive = bound(receive, Headers(scope=scope), self._limit, self._timeout)
        await self._app(scope, receive, send)


async def read_body(request: Request, limit: int, timeout: float) -> bytes:
    """Return a request's body, read no further than allowed.

    Raises ``HTTPException`` 413, or 408 where it takes longer than ``timeout`` seconds.
    """
    receive = bound(request.receive, request.headers, limit, timeout)
    return await Request(request.scope, receive).body()


def bound(receive: Receive, headers: Headers, limit: int, timeout: float) -> Receive:
    """Return ``receive`` for a body of at most ``limit`` bytes that arrives in time.

    A body that says that it is longer is not read at all; any other no further than that.
    """
    declared = headers.get("content-length", "")
    too_large = declared.isdigit() and int(declared) > limit
    deadline = asyncio.get_running_loop().time() + timeout
    left, is_over = limit, False

    async def receive_bounded() -> Message:
        nonlocal left, is_over
        if too_large:
            raise HTTPException(413, f"The request body is larger than {limit} bytes")
        if is_over:  # what is waited for now is the end of the connection
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            error = SlowRequestError(timeout)
            raise HTTPException(error.status, error.message, error.headers) from None
        is_over = not message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"The request body is larger than {limit} bytes")
        return message

    return receive_bounded
