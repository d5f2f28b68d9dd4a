"""Server processes for the tests, each on a database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.e2e.pages import CHROMIUM, FLAGS
from tests.e2e.replica import Replica

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
async def browser() -> AsyncIterator[Browser]:
    """A Chromium without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about; a test takes out what it has provoked."""
    return []


@pytest.fixture
async def page(browser: Browser, replica: Replica, complaints: list[str]) -> AsyncIterator[Page]:
    """A new visitor's page; anything that the browser complains about fails the test."""
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    page = await context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda entry: complaints.append(entry.text) if entry.type == "error" else None,
    )
    await page.goto(replica.url)
    yield page
    await context.close()
    assert complaints == []
