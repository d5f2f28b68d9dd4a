"""The demo page in a real browser, against a real server."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.replica import Replica

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, replica: Replica) -> AsyncIterator[Page]:
    """A new visitor's page; anything that the browser complains about fails the test."""
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda entry: complaints.append(entry.text) if entry.type == "error" else None,
    )
    await page.goto(replica.url)
    yield page
    await context.close()
    assert complaints == []


async def send(page: Page, text: str) -> None:
    await page.get_by_test_id("composer-input").fill(text)
    await page.get_by_test_id("send").click()


async def finished(page: Page, *, errors: int = 0) -> None:
    """Wait for the end of the answer, which must be the one that is expected."""
    await expect(page.get_by_test_id("busy")).to_have_count(0, timeout=15_000)
    await expect(page.get_by_test_id("error-banner")).to_have_count(errors)


async def screenshot(page: Page, name: str) -> None:
    """Leave a picture where ``SCREENSHOTS`` says, for a person to look at."""
    if directory := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(directory) / f"{name}.png")


async def test_answer_appears_and_stays_when_the_page_is_reloaded(page: Page) -> None:
    await send(page, "Hello from the browser")
    await finished(page)
    answer = page.get_by_test_id("message-assistant")
    await expect(answer).to_contain_text("Hello from the browser")
    await expect(page.get_by_test_id("thread-item")).to_have_count(1)
    await screenshot(page, "answered")

    await page.reload()
    await expect(page.get_by_test_id("message-user")).to_contain_text("Hello from the browser")
    await expect(answer).to_contain_text("offline model")
    await send(page, "And once more")
    await finished(page)
    await expect(answer).to_have_count(2)


async def test_answer_goes_on_when_the_page_is_reloaded_in_the_middle(page: Page) -> None:
    await send(page, "Tell me a long story")
    answer = page.get_by_test_id("message-assistant")
    await expect(answer).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    await expect(page.get_by_test_id("busy")).to_have_count(1)
    await page.reload()

    await expect(page.get_by_test_id("busy")).to_have_count(1)
    seen = len(await answer.inner_text())
    await finished(page)
    whole = await answer.inner_text()
    assert len(whole) > seen
    await page.reload()
    await expect(answer).to_contain_text(whole.split()[-1])
    assert await answer.inner_text() == whole
    await screenshot(page, "story")


async def test_model_stops_and_the_text_stays_when_stop_is_pressed(page: Page) -> None:
    await send(page, "Tell me a long story")
    answer = page.get_by_test_id("message-assistant")
    await expect(answer).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    await page.get_by_test_id("stop").click()
    await finished(page)
    await page.reload()
    await expect(answer).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    await expect(page.get_by_test_id("busy")).to_have_count(0)
    stopped = await answer.inner_text()
    await send(page, "Tell me a long story")
    await expect(answer).to_have_count(2)
    await finished(page)
    assert len(stopped) < len(await answer.last.inner_text())


async def test_widget_is_shown_when_a_tool_streams_one(page: Page) -> None:
    await send(page, "What is the weather in Paris?")
    await finished(page)
    await expect(page.get_by_role("heading", name="Paris", exact=True)).to_be_visible()
    await screenshot(page, "weather")


async def test_error_is_shown_when_the_model_fails(page: Page) -> None:
    await send(page, "fail")
    await finished(page, errors=1)
    await expect(page.get_by_test_id("error-banner")).to_be_visible()
    await screenshot(page, "error")
