"""Small requests stay small: bodies that a framework reads whole are bounded before they are."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL_PATHS = ("/api/chatkit/", "/v1/")
MAX_SMALL_BODY = 256 * 1024


class BoundedBodyMiddleware:
    """Refuses bodies of more than ``limit`` bytes with 413 under ``SMALL_PATHS``.

    A body that says how long it is is not read at all; any other no further than that.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = min(limit, MAX_SMALL_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not scope["path"].startswith(SMALL_PATHS):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        too_large = declared.isdigit() and int(declared) > self._limit
        left = self._limit

        async def receive_bounded() -> Message:
            nonlocal left
            message = {"type": "http.request"} if too_large else await receive()
            left -= len(message.get("body", b""))
            if too_large or left < 0:
                raise HTTPException(413, f"The request body is larger than {self._limit} bytes")
            return message

        await self._app(scope, receive_bounded, send)
