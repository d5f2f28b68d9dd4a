"""A real Postgres for the whole run, no network, no model calls.

The cluster is a throw-away one of the embedded wheel, or ``TEST_DATABASE_URL``'s server, whose
user must be allowed to create databases. Migrations run once, into a template; each session works
in a copy of it. Store tests isolate themselves by a user id of their own (``user_id``): every key
starts with it. Whoever needs an empty database takes ``fresh_database_url``.
"""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import agents
import hypothesis
import openai
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import migrate
from app.db.embedded import EmbeddedPostgres
from app.db.pool import ConnectionPool, create_pool
from app.providers import paced_model
from tests.support.databases import database_named, execute, open_engine, settings_for

pytest_plugins = [
    "tests.support.browser",
    "tests.support.local_replicas",
    "tests.support.scheduling",
    "tests.support.servers",
]

LOOPBACK = ("localhost", "127.", "::1")
# A developer's shell must not change what the tests do.
for _name in ("DATABASE_URL", "APP_ENV", "OPENAI_API_KEY", "OPENAI_BASE_URL", "SIGNING_SECRET"):
    os.environ.pop(_name, None)

agents.set_tracing_disabled(True)


# The same examples in every run: what fails was changed, or is found by HYPOTHESIS_PROFILE=search.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Started in the background by a script, a process ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class NetworkBlockedError(Exception):
    """A test wanted to leave this machine."""


def _check_address(address: Any) -> None:
    is_path = isinstance(address, (str, bytes))
    if not is_path and not str(address[0]).startswith(LOOPBACK):
        raise NetworkBlockedError(f"tests must not connect to {address[0]}:{address[1]}")


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Raise where a socket would be connected to anything but loopback or a Unix socket."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check_address(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check_address(address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_model_calls() -> Iterator[None]:
    """Fail at once, and clearly, where a test would call a real model provider."""
    request = openai.AsyncOpenAI.request

    async def guarded_request(self: openai.AsyncOpenAI, *args: Any, **kwargs: Any) -> Any:
        if not str(self.base_url.host).startswith(LOOPBACK):
            raise NetworkBlockedError(f"tests must not call the model at {self.base_url}")
        return await request(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai.AsyncOpenAI, "request", guarded_request)
        yield


@pytest.fixture(autouse=True, scope="session")
def _unpaced_text() -> Iterator[None]:
    """Let every delta of a scripted model out by itself, so that tests can stop at any of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paced_model, "TEXT_INTERVAL", 0.0)
        yield


@pytest.fixture(scope="session")
def short_tmp_dir() -> Iterator[Path]:
    """A directory with a path that is short enough for Unix sockets, for the whole session."""
    path = Path(tempfile.mkdtemp(prefix="ck-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def server_url(short_tmp_dir: Path) -> Iterator[str]:
    """A running server, as SQLAlchemy's URL of its maintenance database."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    server = EmbeddedPostgres(short_tmp_dir / "data", durable=False)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def migrated_template(server_url: str) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to, to make copies of."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    asyncio.run(execute(server_url, f'CREATE DATABASE "{name}"'))
    asyncio.run(migrate.upgrade(settings_for(database_named(server_url, name))))
    yield name
    asyncio.run(execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def database_url(server_url: str, migrated_template: str) -> Iterator[str]:
    """The session's own migrated database, as SQLAlchemy's URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    asyncio.run(execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}"'))
    yield database_named(server_url, name)
    asyncio.run(execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A way into ``database_url`` past the application, as the user who owns the tables."""
    engine = open_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
async def pool(database_url: str) -> AsyncIterator[ConnectionPool]:
    """The session's connections for the application's statements, on ``database_url``."""
    pool = create_pool(settings_for(database_url), guarded=False)
    yield pool
    await pool.close()


@pytest.fixture
async def fresh_database_url(
    server_url: str, migrated_template: str
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """A factory of databases of one's own: ``await fresh_database_url()``, ``migrated=False``."""
    names: list[str] = []

    async def create(*, migrated: bool = True) -> str:
        name = f"fresh_{uuid.uuid4().hex[:12]}"
        template = f' TEMPLATE "{migrated_template}"' if migrated else ""
        await execute(server_url, f'CREATE DATABASE "{name}"{template}')
        names.append(name)
        return database_named(server_url, name)

    yield create
    for name in names:
        await execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def user_id() -> str:
    """A user whom no other test knows: an empty store of one's own."""
    return f"user_{uuid.uuid4().hex}"
