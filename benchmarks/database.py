"""The Postgres that the peers share: one embedded cluster, a database for each."""

import asyncio
from pathlib import Path

import asyncpg
import psutil
from sqlalchemy.engine import URL, make_url

from app.db.embedded import EmbeddedPostgres
from benchmarks.processes import cpu_seconds


class BenchmarkDatabase:
    """A cluster that ends with the benchmark; durable as in production unless told otherwise."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory = directory
        directory.chmod(0o755)  # Postgres may be another user, who must get into it
        self._server = EmbeddedPostgres(directory, durable=durable)

    def __enter__(self) -> "BenchmarkDatabase":
        self._server.start()
        pid_file = self._directory / "postgres" / "postmaster.pid"
        self._postmaster = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def create(self, name: str) -> URL:
        """Return the URL of a new, empty database."""
        url = make_url(self._server.url)
        asyncio.run(_execute(url, f'CREATE DATABASE "{name}"'))
        return url.set(database=name)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes of the cluster, ended ones included."""
        ended = self._postmaster.cpu_times()
        total = cpu_seconds(self._postmaster) + ended.children_user + ended.children_system
        for backend in self._postmaster.children():
            try:
                total += cpu_seconds(backend)
            except psutil.NoSuchProcess:
                continue
        return total


async def _execute(url: URL, statement: str) -> None:
    host, port = place_of(url)
    connection = await asyncpg.connect(
        host=host, port=port, user=url.username, database=url.database
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def place_of(url: URL) -> tuple[str, int]:
    """Return the host, or the directory of the socket, and the port of a database URL."""
    host, port = url.host or url.query.get("host"), url.port or url.query.get("port", "5432")
    return str(host), int(str(port))
