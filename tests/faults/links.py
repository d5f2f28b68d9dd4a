"""The way from one replica to the database, which can be cut or stand still for it alone."""

import asyncio
from contextlib import suppress

from sqlalchemy.engine import make_url


class DatabaseLink:
    """A proxy in front of Postgres; ``cut`` refuses and resets, ``stall`` delivers late."""

    def __init__(self, server_url: str) -> None:
        self._url = make_url(server_url)
        self._is_cut = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def open(self) -> None:
        """Begin to listen; ``url`` leads through here from then on."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        through = self._url.set(host="127.0.0.1", port=port, query={})
        self.url = through.render_as_string(hide_password=False)

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        self._reset()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until ``restore``."""
        self._is_cut = True
        self._reset()

    def stall(self) -> None:
        """Deliver nothing until ``restore``."""
        self._flowing.clear()

    def restore(self) -> None:
        """Be a good connection again."""
        self._is_cut = False
        self._flowing.set()

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            behind = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, behind[1]}
        pumps = [self._pump(reader, behind[1]), self._pump(behind[0], writer)]
        await asyncio.gather(*pumps)
        self._writers -= {writer, behind[1]}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = self._url.host or self._url.query.get("host")
        port = self._url.port or int(str(self._url.query.get("port", 5432)))
        if isinstance(host, str) and host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(str(host), port)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
