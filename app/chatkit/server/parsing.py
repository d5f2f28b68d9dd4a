"""From a request's body to the request, or to an error that names the field."""

from pydantic import ValidationError
from pydantic_core import from_json

from app.chatkit.errors import InvalidRequestError
from app.chatkit.protocol.requests import REQUEST_ADAPTER, ChatKitReq
from app.chatkit.protocol.serialization import clean_json
from app.chatkit.server.limits import RequestLimits, check_limits, check_size

DEFAULT_LIMITS = RequestLimits()
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_ERROR_TEXT = 500
"""How much of what a client sent an error message repeats, in characters."""


def parse_request(
    body: str | bytes | bytearray, limits: RequestLimits = DEFAULT_LIMITS
) -> ChatKitReq:
    """Return the request in ``body``; raises ``InvalidRequestError`` that names the field.

    Escaped NUL characters become U+FFFD: neither Postgres nor a model has use for them.
    """
    data = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
    check_size(data)
    try:
        if b"NaN" in data or b"Infinity" in data:
            # The parser below takes these words for numbers, but JSON has no such numbers.
            from_json(data, allow_inf_nan=False)
        request = REQUEST_ADAPTER.validate_json(clean_json(data))
    except ValidationError as error:
        raise _describe_invalid(error) from None
    except ValueError as error:
        raise InvalidRequestError(f"Invalid JSON: {error}") from None
    check_limits(request, limits)
    return request


def _describe_invalid(error: ValidationError) -> InvalidRequestError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = [str(part) for part in first["loc"]]
    # The discriminated union puts the request's type in front of the path.
    path = path[1:] if len(path) > 1 and "." in path[0] else path
    if first["type"].startswith("union_tag"):
        path.append("type")
    field = _shorten(".".join(path))
    message = _shorten(first["msg"])
    return InvalidRequestError(f"{field}: {message}" if field else message, field=field or None)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_ERROR_TEXT else f"{text[:MAX_ERROR_TEXT]}…"


def clamp_limit(limit: int | None) -> int:
    """Return a page size from 1 to 100; none or 0 means 20, a negative one is refused."""
    if limit is not None and limit < 0:
        raise InvalidRequestError("params.limit: must not be negative", field="params.limit")
    return min(limit or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
