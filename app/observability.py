"""Structured logs, and the middleware that gives every request its id.

Every log line of a request carries its id, through a context variable; so does every error body
and the ``X-Request-ID`` header. Message texts and secrets are never logged.
"""

import asyncio
import json
import logging
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.chatkit.protocol.ids import create_id
from app.settings import Settings

REQUEST_ID_HEADER = "X-Request-ID"
WRITE_INTERVAL = 0.1
"""Seconds that the line of a request may wait to be written."""
MAX_WAITING = 100
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_LINK = re.compile(r"(/api/(?:files|previews|uploads)/).+")
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})
_ONE_YEAR = "max-age=31536000"
_NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'"

# Libraries that put headers, bodies or what a model said into their lines below WARNING.
_TALKATIVE = (
    "asyncio",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "mcp",
    "openai",
    "python_multipart",
    "sse_starlette",
    "uvicorn.access",
)
# What the interpreter and the operating system say is about code and machines, not about people.
_HARMLESS = (OSError, ImportError, AttributeError, NameError)

_OF_RECORDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every log record has; the rest is what its caller gave."""
_OF_LINES = ("event", "request_id", "level", "logger", "timestamp", "exception")
"""What every line has that was asked for."""

ExcInfo = structlog.typing.ExcInfo

logger = logging.getLogger("app.http")


def configure_logging(settings: Settings) -> None:
    """Send every log line to stderr: JSON in production, readable on a terminal."""
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stderr.isatty()
    )
    in_words = settings.logs_error_messages
    handler = _FewWrites(sys.stderr) if as_json else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(in_words) if as_json else _create_console(in_words))
    # Nobody reads them, and every line would gather them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class _FewWrites(logging.StreamHandler[TextIO]):
    """Writes the lines about requests some at a time, every other line at once.

    To append to a file costs as much as a database statement, the more the busier its disk is. What
    has waited goes ahead of what is written at once, so lines keep their order.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or have it wait for a moment."""
        try:
            self._waiting.append(self.format(record) + self.terminator)
            is_urgent = record.name != logger.name or record.levelno > logging.INFO
            if is_urgent or len(self._waiting) >= MAX_WAITING or not self._flush_later():
                self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            self._loop = None
            if self._waiting:
                lines, self._waiting = "".join(self._waiting), []
                self.stream.write(lines)
            super().flush()
        finally:
            self.release()

    def _flush_later(self) -> bool:
        """Schedule a write of what waits; return False if there is no event loop to do it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(WRITE_INTERVAL, self.flush)
        return True


class _JsonFormatter(logging.Formatter):
    """A JSON object a line: the message, whose request it was, and what was given as ``extra``.

    There is a line for every request, and structlog's processors take three times as long for it.
    """

    def __init__(self, in_words: bool) -> None:
        super().__init__()
        self._in_words = in_words
        self._encode = json.JSONEncoder(default=self._describe, skipkeys=True).encode

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = record.getMessage()
        if record.name == "asyncio" and not self._in_words:
            text = _first_line(text)
        line: dict[str, Any] = {
            "event": text,
            **structlog.contextvars.get_contextvars(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OF_RECORDS}
        moment = datetime.fromtimestamp(record.created, UTC)
        line["timestamp"] = moment.isoformat().replace("+00:00", "Z")
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = format_exception(record.exc_info[1], in_words=self._in_words)
        try:
            return self._encode(line)
        except Exception:  # what somebody gave contains itself, or cannot say what it is
            return self._encode({name: line[name] for name in _OF_LINES if name in line})

    def _describe(self, value: Any) -> str:
        # What an error says quotes what could not be handled.
        is_private = isinstance(value, BaseException) and not self._in_words
        return type(value).__qualname__ if is_private else repr(value)


def _create_console(in_words: bool) -> logging.Formatter:
    """Return the formatter for a person at a terminal."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not in_words:
        shared.append(_cut_asyncio)

    def print_error(output: TextIO, exc_info: ExcInfo) -> None:
        output.write(f"\n{format_exception(exc_info[1], in_words=in_words)}")

    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=print_error
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )


def format_exception(error: BaseException, *, in_words: bool) -> str:
    """Return an error's traceback, and those of the errors behind it, without any locals.

    Messages of errors quote what could not be handled: a user's text, a key, an address with a
    password. Unless ``in_words``, only the types are told, and where it happened.
    """
    if in_words:
        return "".join(traceback.format_exception(error))
    parts: list[str] = []
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        frames = "".join(traceback.format_tb(each.__traceback__))
        message = f": {each}" if isinstance(each, _HARMLESS) else ""
        parts.append(f"{frames}{type(each).__module__}.{type(each).__qualname__}{message}")
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        waiting.append(each.__cause__ or (None if each.__suppress_context__ else each.__context__))
    return "\n\nalso:\n".join(parts)


def _cut_asyncio(
    _: structlog.typing.WrappedLogger, __: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if line.get("logger") == "asyncio":
        line["event"] = _first_line(str(line["event"]))
    return line


def _first_line(text: str) -> str:
    """Return what asyncio says, but for what quotes a task with its exception."""
    return text.partition("\n")[0].partition("(<")[0]


def get_request_id() -> str:
    """Return the id of the request that is being handled, or an empty string."""
    return structlog.contextvars.get_contextvars().get("request_id", "")


def hide_link(path: str) -> str:
    """Return a path without the token that opens a file to whoever has it."""
    return _LINK.sub(r"\1…", path)


def came_by_https(scheme: str, headers: Headers) -> bool:
    """Return whether the browser's own connection is encrypted, as far as the proxy in front says.

    Whoever sends ``X-Forwarded-Proto`` themselves fools nobody but themselves, so it is believed
    from any address; only what is for that very client may depend on it.
    """
    return scheme == "https" or headers.get("x-forwarded-proto", "").strip() == "https"


class RequestMiddleware:
    """Gives each request its id, its log line and its security headers.

    With ``https_only``, a browser that has come by https is told to do so for a year. Plain ASGI:
    it neither buffers a stream nor stands between it and a disconnect.
    """

    def __init__(self, app: ASGIApp, *, https_only: bool = False) -> None:
        self._app = app
        self._https_only = https_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers_in = Headers(scope=scope)
        given = headers_in.get(REQUEST_ID_HEADER, "")
        pin_https = self._https_only and came_by_https(scope["scheme"], headers_in)
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else create_id("req")
        status = 0
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                if pin_https:
                    headers.setdefault("Strict-Transport-Security", _ONE_YEAR)
                if headers.get("content-type", "").startswith("application/json"):
                    # Somebody's own data: not for caches, and nothing that a browser should run.
                    headers.setdefault("Cache-Control", "no-store")
                    headers.setdefault("Content-Security-Policy", _NOTHING_RUNS)
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            if scope["path"] not in _QUIET_PATHS:
                self._log(scope, status, time.perf_counter() - started)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        details: dict[str, Any] = {
            "method": scope["method"],
            "path": hide_link(scope["path"]),
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
        }
        logger.info("request", extra=details)
