"""Servers for tests of all kinds: as processes, and the application in this process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.application import Application, running_application
from tests.support.replica import Page, Replica

SERVER_KEY = "test-server-key-0123456789"

StartReplica = Callable[..., Awaitable[Replica]]


@pytest.fixture(scope="session")
async def replica(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replica]:
    """A running server for every test that does nothing to it."""
    replica = Replica(database_url, tmp_path_factory.mktemp("replica"), max_request_bytes=2_000_000)
    yield await replica.start()
    await replica.kill()


@pytest.fixture
async def start_replica(
    fresh_database_url: Callable[..., Awaitable[str]], tmp_path: Path
) -> AsyncIterator[StartReplica]:
    """A factory of running servers on one database; all are killed at the end of the test."""
    replicas: list[Replica] = []
    database_url = await fresh_database_url()

    async def start(**settings: Any) -> Replica:
        replica = Replica(database_url, tmp_path, **settings)
        replicas.append(replica)
        return await replica.start()

    yield start
    for replica in replicas:
        await replica.kill()


@pytest.fixture(scope="session")
async def server(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replica]:
    """A server process whose server API is open."""
    replica = Replica(
        database_url,
        tmp_path_factory.mktemp("security"),
        server_api_keys=f"old:an-older-server-key-0123456789,tests:{SERVER_KEY}",
    )
    yield await replica.start()
    await replica.kill()


@pytest.fixture
async def client(server: Replica) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client, pointed at the server."""
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key=SERVER_KEY, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="session")
async def application(database_url: str) -> AsyncIterator[Application]:
    """The application in this process, without limits on requests."""
    async with running_application(
        database_url,
        server_api_keys=f"tests:{SERVER_KEY}",
        signing_secret="s" * 32,
        identity="tests.security.identities:from_header",
        session_requests_per_minute=0,
        user_requests_per_minute=0,
        cors_origins="https://page.example",
    ) as application:
        yield application


def page_with(server: Replica, secret: str) -> Page:
    """Return a page that holds a secret which somebody else has minted."""
    page = Page(server.url)
    page.secret = secret
    return page
