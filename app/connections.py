"""Connections that nobody can hold: by sending half of something, or by taking nothing.

Uvicorn answers whoever asks, and waits for ever: for the rest of a request's headers, and for a
reader to take what was written for it. A large answer to somebody who reads nothing stays in memory
until they go. Here one look at all connections now and then closes those that have come to a stop.
Nothing is scheduled for a request, so an answer costs no more than before.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.streams import EXTENSION
from app.settings import Settings

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's first line and its headers."""
MAX_HEADERS = 200
MIN_PROGRESS = 16 * 1024
"""Bytes that a reader takes within the send timeout at least, or all there is."""
MAX_UNSENT_BYTES = 256 * 1024 * 1024
"""What all readers together may leave lying here; those that stand still longest go first."""
WAITING_BYTES = 256 * 1024
"""What an answer holds at most besides, while it waits for its reader (a piece of a file)."""
KERNEL_BYTES = 256 * 1024
"""What the operating system holds for a reader that is slower than we are."""
LONGEST_INTERVAL = 5.0
"""Seconds between two looks at most."""

WATCHED: dict[str, dict[object, object]] = {EXTENSION: {}}
"""Tells the application that its answers need no timeout of their own."""

logger = logging.getLogger("app.connections")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """For how long a connection may stand still, in seconds."""

    head: float
    send: float

    @property
    def interval(self) -> float:
        """How often to look."""
        return min(self.head / 4, self.send / 4, LONGEST_INTERVAL)


def create_limits(settings: Settings) -> ConnectionLimits:
    """Return the limits of the settings."""
    return ConnectionLimits(head=settings.header_timeout, send=settings.stream_send_timeout)


def bound_kernel_buffers(listener: socket.socket, limits: ConnectionLimits) -> None:
    """Have the system's own buffers follow the same rules; accepted sockets inherit the options."""
    with suppress(OSError, AttributeError):  # where the system does not know them
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_BYTES)
    with suppress(OSError, AttributeError):
        # For what has left our hands; what has not, we see earlier.
        milliseconds = max(round(2 * limits.send * 1000), 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class _CountedTransport:
    """A transport that knows how much was written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self.written = 0
        # What is called for every request, without a detour.
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_write_buffer_size = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class WatchedConnection(HttpToolsProtocol):
    """One connection: its requests have heads of a bounded size, and it says where it stands."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        self._counted = _CountedTransport(transport)
        self._head_since: float | None = self.loop.time()
        self._unread_since: float | None = None  # of a body that nobody asks for any more
        self._is_in_head = True
        self._head_size = 0
        self._is_refused = False
        self._stands_since: float | None = None
        self._taken_then = 0
        super().connection_made(cast("asyncio.Transport", self._counted))

    # --- requests --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head of a request becomes too large."""
        if self._is_in_head and self._head_since is None:
            self._head_since = self.loop.time()
        while data and not self._is_refused and not self.transport.is_closing():
            piece = data
            if self._is_in_head:
                piece = data[: MAX_HEAD_BYTES + 1 - self._head_size]
                self._head_size += len(piece)
            data = data[len(piece) :]
            super().data_received(piece)
            if self._is_in_head and self._head_size > MAX_HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        """Begin to read a head, which may lie right behind the request before."""
        if self._head_since is None:
            self._head_since = self.loop.time()
        super().on_message_begin()
        self.scope["extensions"] = WATCHED

    def on_headers_complete(self) -> None:
        """Begin to answer, if the head has a reasonable size."""
        if self._is_refused:
            return
        self._is_in_head = False
        self._head_since = None
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._is_in_head = True
        self._head_size = 0
        if self._is_refused:
            return
        if self._unread_since is not None:
            # Its answer is out, and with what came behind it nothing waits for the next request.
            self._unread_since, self._head_since = None, self.loop.time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give a body that was not read a while to end."""
        super().on_response_complete()
        if not self._is_in_head:
            self._unread_since = self.loop.time()

    def _refuse(self) -> None:
        """Answer 431 and close."""
        if self._is_refused:
            return
        self._is_refused = True
        message = f"The headers of a request may have {MAX_HEAD_BYTES} bytes"
        error = {"code": "headers_too_large", "message": message, "request_id": ""}
        body = json.dumps({"error": error}).encode()
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was not used for a while; its last answer is taken first."""
        if self.transport.get_write_buffer_size():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    # --- for the watch ---------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """How many bytes are held for the reader."""
        size = self._counted.get_write_buffer_size()
        return size + WAITING_BYTES if size and self.flow.write_paused else size

    @property
    def stands_since(self) -> float:
        """Since when the reader has taken next to nothing, as of the last look."""
        return float("inf") if self._stands_since is None else self._stands_since

    def find_fault(self, now: float, limits: ConnectionLimits) -> str | None:
        """Return why the connection should end, if it should."""
        if self._head_since is not None and now - self._head_since > limits.head:
            return "sent no complete request"
        if self._unread_since is not None and now - self._unread_since > limits.head:
            return "sent on after its answer"
        if self._reads_on(now):
            return None
        return "takes nothing" if now - self.stands_since > limits.send else None

    def _reads_on(self, now: float) -> bool:
        """Return whether the reader has taken something since the last look that it did."""
        pending = self._counted.get_write_buffer_size()
        if not pending:
            self._stands_since = None
            return True
        taken = self._counted.written - pending
        if self._stands_since is None or taken - self._taken_then >= MIN_PROGRESS:
            self._stands_since, self._taken_then = now, taken
            return True
        return False

    def abort(self) -> None:
        """End the connection at once; what was written for it is freed."""
        self._counted.abort()


class ConnectionWatch:
    """Looks at all connections of a server again and again."""

    def __init__(self, connections: Iterable[object], limits: ConnectionLimits) -> None:
        self._connections = connections
        self._limits = limits
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._repeat(), name="connections-watch")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def look(self) -> None:
        """End the connections that stand still, and the slowest while they hold too much."""
        now = asyncio.get_running_loop().time()
        watched = [each for each in self._connections if isinstance(each, WatchedConnection)]
        unsent = 0
        for each in watched:
            fault = each.find_fault(now, self._limits)
            if fault is not None:
                logger.info("A connection was closed", extra={"reason": fault})
                each.abort()
            else:
                unsent += each.unsent
        if unsent > MAX_UNSENT_BYTES:
            self._free(watched, unsent - MAX_UNSENT_BYTES)

    def _free(self, watched: list[WatchedConnection], wanted: int) -> None:
        for each in sorted(watched, key=lambda each: each.stands_since):
            if wanted <= 0:
                return
            wanted -= each.unsent
            logger.warning("A slow reader was let go: all of them together hold too much")
            each.abort()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._limits.interval)
            try:
                self.look()
            except Exception:
                # A connection that cannot be looked at must not keep the others from it.
                logger.exception("Connections could not be looked at")
