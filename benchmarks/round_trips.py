"""Counts round trips to Postgres on the wire, whatever driver or ORM makes them.

A proxy between a server and its database looks at the types of the messages that pass. Only used
for counting, never while anything is timed.
"""

import asyncio
import struct
import threading
from types import TracebackType

from sqlalchemy.engine import URL

from benchmarks.database import place_of

ASKING = frozenset(b"QSHF")
"""Query, Sync, Flush, FunctionCall: after these a client waits for the server."""
STARTUP_VERSION = 196608
HEADER = 5


class RoundTripProxy:
    """A TCP port that leads to a Postgres server; ``count`` is the number of round trips so far."""

    def __init__(self, target: URL) -> None:
        self._host, self._port = place_of(target)
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self.count = 0

    def __enter__(self) -> "RoundTripProxy":
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> URL:
        """The database behind the proxy."""
        if self._server is None:
            raise RuntimeError("the proxy was not started")
        port = self._server.sockets[0].getsockname()[1]
        return self._target.set(host="127.0.0.1", port=port, query={})

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._port}"
            upstream = await asyncio.open_unix_connection(path)
        else:
            upstream = await asyncio.open_connection(self._host, self._port)
        back = asyncio.create_task(_pump(upstream[0], writer))
        try:
            await self._forward(reader, upstream[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # either side has gone: so does the other
        finally:
            back.cancel()
            upstream[1].close()
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version = 0
        while version != STARTUP_VERSION:  # a request for TLS may come first
            head = await reader.readexactly(8)
            length, version = struct.unpack("!II", head)
            writer.write(head + await reader.readexactly(length - 8))
        while True:
            head = await reader.readexactly(HEADER)
            (length,) = struct.unpack("!I", head[1:])
            self.count += head[0] in ASKING
            writer.write(head + await reader.readexactly(length - 4))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()
