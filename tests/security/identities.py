"""Who is calling, for tests: whoever they say they are."""

from fastapi import Request

USER_HEADER = "X-Test-User"


async def from_header(request: Request) -> str | None:
    """Return the user in the header."""
    return request.headers.get(USER_HEADER)
