"""Errors of the HTTP edge, and the one place that turns any error into an answer.

AppError
├── UnauthorizedError      no valid client secret or identity      -> 401
├── ForbiddenError         known, but not allowed (origin)         -> 403
├── SlowRequestError       the body did not come in time           -> 408
├── PayloadTooLargeError   the body is larger than allowed         -> 413
├── RateLimitedError       too many requests or running answers    -> 429
├── UpstreamError          a server that we depend on refused      -> 502
└── UnavailableError       shutting down, database away            -> 503

The engine's own errors (``app.chatkit.errors``) are mapped here too. Every answer has the same
body: ``{"error": {"code", "message", "request_id", "field"?}}``.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.audit import AuditEvent, audit
from app.chatkit.errors import (
    InvalidRequestError,
    NotFoundError,
    RequestRefusedError,
    ThreadConflictError,
)
from app.observability import get_request_id, hide_link

logger = logging.getLogger("app.errors")


class AppError(Exception):
    """An error with its HTTP status, a stable code and a message for the caller."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers


class UnauthorizedError(AppError):
    """The caller is not known."""

    status = 401
    code = "unauthorized"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class ForbiddenError(AppError):
    """The caller may not do this; ``event`` is what the audit log calls it."""

    status = 403
    code = "forbidden"

    def __init__(self, message: str, *, event: AuditEvent = "access.refused") -> None:
        super().__init__(message)
        self.event: AuditEvent = event


class SlowRequestError(AppError):
    """The body did not arrive in time; what is left of it is not waited for."""

    status = 408
    code = "request_timeout"

    def __init__(self, seconds: float) -> None:
        message = f"The request body took longer than {seconds:g} seconds"
        super().__init__(message, headers={"Connection": "close"})


class PayloadTooLargeError(AppError):
    """The body is larger than the setting allows."""

    status = 413
    code = "payload_too_large"


class RateLimitedError(AppError):
    """Too much at once; ``retry_after`` is in seconds."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class UpstreamError(AppError):
    """A server that this one depends on did not do its part."""

    status = 502
    code = "upstream_error"


class UnavailableError(AppError):
    """The server cannot do it now; try again."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": "2"})


_HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
}


def error_response(
    status: int,
    code: str,
    message: str,
    *,
    field: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return the JSON answer for an error."""
    error: dict[str, Any] = {"code": code, "message": message, "request_id": get_request_id()}
    if field:
        error["field"] = field
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def describe_error(error: Exception) -> JSONResponse:
    """Return the answer for ``error``; what is not meant for the caller is logged, not told."""
    match error:
        case AppError():
            return error_response(error.status, error.code, error.message, headers=error.headers)
        case NotFoundError():
            return error_response(404, "not_found", str(error))
        case InvalidRequestError():
            return error_response(400, "invalid_request", str(error), field=error.field)
        case ThreadConflictError():
            return error_response(409, "conflict", str(error))
        case RequestRefusedError():
            return error_response(422, "unprocessable", str(error))
        case RequestValidationError():
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"][1:])
            message = f"{field}: {first['msg']}" if field else first["msg"]
            return error_response(400, "invalid_request", message, field=field or None)
        case HTTPException():
            code = _HTTP_CODES.get(error.status_code, "http_error")
            return error_response(
                error.status_code, code, str(error.detail), headers=dict(error.headers or {})
            )
        case OSError() | TimeoutError():
            logger.error("Something that the server needs is not reachable", exc_info=error)
            return error_response(
                503,
                "unavailable",
                "The server cannot answer right now. Please try again.",
                headers={"Retry-After": "2"},
            )
        case _:
            logger.error("Unexpected error", exc_info=error)
            return error_response(
                500, "internal_error", "Something went wrong on our side. Quote the request id."
            )


async def _handle(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ForbiddenError):
        audit(error.event, path=hide_link(request.url.path), reason=error.message)
    return describe_error(error)


class ErrorMiddleware:
    """Answers what no handler knows: the last resort, inside the middleware that logs requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; a stream that has begun can only be cut."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            response = describe_error(error)
            if started:
                raise
            await response(scope, receive, send)


def install_error_handlers(app: FastAPI) -> None:
    """Make ``describe_error`` answer every error that a route or dependency raises."""
    for kind in (
        AppError,
        NotFoundError,
        RequestRefusedError,
        RequestValidationError,
        HTTPException,
    ):
        app.add_exception_handler(kind, _handle)
    app.add_middleware(ErrorMiddleware)
