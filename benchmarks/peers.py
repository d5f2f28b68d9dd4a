"""What is compared: how each peer is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import URL

from benchmarks.answer import HISTORY_ITEMS
from benchmarks.processes import ROOT, Server, free_port
from benchmarks.scripted import PACE_VARIABLE, Pace

PeerName = Literal["official", "ours", "bare", "quiet"]
"""``bare`` is the Agents SDK alone, printing its events; ``quiet`` does not print them."""

SERVERS: tuple[PeerName, ...] = ("official", "ours")
LOOPS: tuple[PeerName, ...] = ("bare", "quiet")


@dataclass(frozen=True, slots=True)
class Start:
    """Where and how a peer's server is to run."""

    directory: Path
    database: URL
    pace: Pace

    @property
    def database_url(self) -> str:
        """The database, as text."""
        return self.database.render_as_string(hide_password=False)


def start_server(name: PeerName, start: Start) -> Server:
    """Return a peer's server, ready."""
    server = start_official(start) if name == "official" else start_ours(start)
    server.wait_until_ready()
    return server


def start_official(start: Start) -> Server:
    """Start the official SDK's server."""
    port = free_port()
    return Server(
        ["-m", "benchmarks.official_peer", str(port), start.database_url],
        start.directory,
        port,
        {PACE_VARIABLE: start.pace},
    )


def start_ours(
    start: Start,
    *,
    module: str = "app",
    root: Path = ROOT,
    more: Mapping[str, str] | None = None,
) -> Server:
    """Start this backend as ``python -m app serve`` does.

    ``module`` may stand in for ``app``, ``root`` for this checkout; ``more`` are further settings.
    """
    port = free_port()
    settings = {
        # On, but out of reach: what is measured is not how a request is refused.
        "SESSION_REQUESTS_PER_MINUTE": "1000000",
        "USER_REQUESTS_PER_MINUTE": "1000000",
        PACE_VARIABLE: start.pace,
        "PORT": str(port),
        "DATA_DIR": str(start.directory / "data"),
        "DATABASE_URL": start.database_url,
        "ASSISTANT_SERVER": "benchmarks.our_peer:BenchmarkAssistant",
        "HISTORY_ITEMS": str(HISTORY_ITEMS),
        **(more or {}),
    }
    return Server(["-m", module, "serve"], start.directory, port, settings, root)
