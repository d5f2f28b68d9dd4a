"""Errors of the protocol.

Exception
├── BaseStreamError            becomes the stream's ``error`` event
│   ├── StreamError            a code that the client localises
│   └── CustomStreamError      a text that is shown as it is
├── NotFoundError              unknown here, or somebody else's       -> 404
├── StoreError                 the store cannot do it; ends a stream with words for the user
│   ├── StoreUnavailableError  it cannot be reached                   -> 503
│   └── RunLostError           another process carries the thread on
└── RequestRefusedError        what was asked cannot be done
    ├── InvalidRequestError    malformed: not our JSON, wrong types   -> 400
    ├── ThreadConflictError    the thread's state forbids it          -> 409
    │   └── ThreadBusyError    another answer is being written        -> 409
    ├── UnprocessableError     well-formed, but refused content       -> 422
    └── UnsupportedError       this server does not offer it          -> 422

Where code written for the official SDK catches ``ValueError``, ``RuntimeError`` or
``NotImplementedError``, the class here is one of those too.
"""

from abc import ABC
from enum import Enum, StrEnum

__all__ = [
    "ABC",
    "DEFAULT_ALLOW_RETRY",
    "DEFAULT_STATUS",
    "BaseStreamError",
    "CustomStreamError",
    "Enum",
    "ErrorCode",
    "InvalidRequestError",
    "NotFoundError",
    "RequestRefusedError",
    "StreamError",
    "ThreadBusyError",
    "ThreadConflictError",
    "TooManyRunsError",
    "UnprocessableError",
    "UnsupportedError",
]


class ErrorCode(StrEnum):
    """Codes that the client translates into a localised message. An open set."""

    STREAM_ERROR = "stream.error"


DEFAULT_STATUS: dict[ErrorCode, int] = {ErrorCode.STREAM_ERROR: 500}
DEFAULT_ALLOW_RETRY: dict[ErrorCode, bool] = {ErrorCode.STREAM_ERROR: True}


class BaseStreamError(ABC, Exception):
    """A failure that the user is told about in the stream."""

    allow_retry: bool


class StreamError(BaseStreamError):
    """Ends the stream with ``error {code}``; ``allow_retry`` defaults to the code's own rule."""

    def __init__(self, code: ErrorCode, *, allow_retry: bool | None = None) -> None:
        super().__init__(str(code))
        self.code = code
        self.status_code = DEFAULT_STATUS.get(code, 500)
        self.allow_retry = (
            DEFAULT_ALLOW_RETRY.get(code, False) if allow_retry is None else allow_retry
        )


class CustomStreamError(BaseStreamError):
    """Ends the stream with ``error {code: custom, message}``; localise ``message`` beforehand."""

    def __init__(self, message: str, *, allow_retry: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.allow_retry = allow_retry


def to_own_error(error: Exception) -> Exception:
    """Return an error of the official package's classes as the one of ours that says the same."""
    for kind in type(error).__mro__:
        if kind.__module__ != "chatkit.errors":
            continue
        allow_retry: bool = getattr(error, "allow_retry", False)
        own: BaseStreamError | None = None
        if kind.__name__ == "CustomStreamError":
            own = CustomStreamError(getattr(error, "message", ""), allow_retry=allow_retry)
        elif kind.__name__ == "StreamError":
            code = getattr(error, "code", ErrorCode.STREAM_ERROR)
            own = StreamError(ErrorCode(code), allow_retry=allow_retry)
        if own is not None:
            own.__cause__ = error.__cause__
            return own
    return error


class NotFoundError(Exception):
    """A thread, item or attachment does not exist for this user."""


class StoreError(Exception):
    """The store could not do its part; ``user_message`` is what a person is told of it."""

    user_message = "The answer could not be saved. Please try again."


class StoreUnavailableError(StoreError, ConnectionError):
    """The store cannot be reached, also after some tries. It may have done what was asked."""

    user_message = (
        "The database cannot be reached right now, so this answer ended early. "
        "What was saved of it is kept; please try again in a moment."
    )


class RunLostError(StoreError):
    """A run that no longer holds its thread tried to write; nothing was written."""

    user_message = "The answer was cut off. What was written so far is saved; please try again."


class RequestRefusedError(Exception):
    """A request that cannot be carried out; the message is meant for the caller."""


class InvalidRequestError(RequestRefusedError, ValueError):
    """The body is not a ChatKit request. ``field`` is the dotted path of the first problem."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ThreadConflictError(RequestRefusedError, ValueError):
    """The thread is locked, closed or otherwise not in a state that allows the request."""


class UnprocessableError(RequestRefusedError, ValueError):
    """The request is well-formed, but names an item or content of the wrong kind."""


class UnsupportedError(RequestRefusedError, NotImplementedError):
    """The server was not given what the request needs (an attachment store, a handler)."""


class TooManyRunsError(RequestRefusedError):
    """As many answers are being written for the user as may be; nothing was written."""


class ThreadBusyError(ThreadConflictError):
    """Another run holds the thread; nothing was written."""
