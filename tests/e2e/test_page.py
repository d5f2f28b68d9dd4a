"""The demo page in a real browser, against a real server."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.e2e.pages import CHROMIUM, finished, screenshot, send

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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
