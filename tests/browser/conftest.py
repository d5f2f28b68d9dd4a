"""A visitor's page in a browser without a window."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from tests.support.replica import Replica


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
