"""Requests to an identity, without a server."""

from typing import Any

from fastapi import Request, Response


def make_request(
    *headers: tuple[str, str], address: str | None = "10.1.2.3", scheme: str = "http"
) -> Request:
    """Return a request with these headers, from that address."""
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/api/chatkit/session",
            "scheme": scheme,
            "server": ("chat.example", 80),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": None if address is None else (address, 4711),
        }
    )


async def identify(identity: Any, request: Request) -> str | None:
    return await identity.identify(request, Response())
