"""An HTTP/1.1 connection that costs the load process little: no library, no tasks, no copies."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast

TIMEOUT = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(slots=True)
class Exchange:
    """One request and its answer; times by ``perf_counter``, 0 for what did not happen."""

    started: float
    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    first_event: float = 0.0
    first_delta: float = 0.0
    ended: float = 0.0
    longest_gap: float = 0.0
    latest: float = 0.0


class Connection(asyncio.Protocol):
    """One request at a time; the answer may be chunked or of a declared length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._exchange: Exchange | None = None
        self._done: asyncio.Future[Exchange] | None = None
        self._length: int | None = None
        self._in_body = False

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Return a connection to a server."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        self._transport = cast("asyncio.Transport", transport)

    async def send(self, request: bytes) -> Exchange:
        """Send a request and return its whole answer."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._done = asyncio.get_running_loop().create_future()
        self._exchange = Exchange(started=time.perf_counter())
        self._in_body, self._length = False, None
        self._transport.write(request)
        return await asyncio.wait_for(self._done, TIMEOUT)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is under way."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Decode what arrived."""
        exchange = self._exchange
        if exchange is None:
            raise ConnectionError("the server sent something that nobody asked for")
        self._buffer += data
        if not self._in_body and not self._read_head(exchange):
            return
        before = len(exchange.body)
        is_complete = self._read_chunks(exchange) if self._length is None else self._read(exchange)
        if len(exchange.body) > before:
            self._note_time(exchange, before)
        if is_complete and self._done is not None and not self._done.done():
            exchange.ended = time.perf_counter()
            self._exchange = None
            self._done.set_result(exchange)

    def _read_head(self, exchange: Exchange) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        exchange.status = int(head[9:12])
        length = _LENGTH.search(head)
        self._length = None if _CHUNKED.search(head) else int(length[1]) if length else 0
        self._in_body = True
        return True

    def _read(self, exchange: Exchange) -> bool:
        exchange.body += self._buffer
        self._buffer.clear()
        return len(exchange.body) >= (self._length or 0)

    def _read_chunks(self, exchange: Exchange) -> bool:
        """Take every complete chunk; return whether the last one was among them."""
        buffer, position = self._buffer, 0
        size = -1
        while size != 0:
            line_end = buffer.find(b"\r\n", position)
            if line_end < 0:
                break
            size = int(buffer[position:line_end], 16)
            end = line_end + 2 + size
            if len(buffer) < end + 2:
                size = -1
                break
            exchange.body += buffer[line_end + 2 : end]
            position = end + 2
        del buffer[:position]
        return size == 0

    def _note_time(self, exchange: Exchange, before: int) -> None:
        moment = time.perf_counter()
        if exchange.latest:
            exchange.longest_gap = max(exchange.longest_gap, moment - exchange.latest)
        if not exchange.first_event and exchange.body.find(b"data: ", before) >= 0:
            exchange.first_event = moment
        if not exchange.first_delta and exchange.body.find(b".text_delta", before) >= 0:
            exchange.first_delta = moment
        if exchange.first_event:
            exchange.latest = moment
