"""The demo page in a real browser, against a real server."""

import re

from playwright.async_api import Page, expect

from tests.browser.pages import finished, screenshot, send
from tests.support.browser import needs_browser

pytestmark = needs_browser

SHOW_TABLE = """async () => {
  const { markdown } = await import('/web/markdown.js');
  const words = ['Reservation', 'Departure', 'Destination', 'Passengers', 'Surcharge', 'Remarks'];
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const table = [words, words.map(() => '---'), words, words].map(row).join('\\n');
  document.getElementById('items').append(markdown(table));
}"""
# The scroll event of the first growth comes when the second has already happened.
GROW_TWICE = """() => {
  const [scroller, items] = ['scroller', 'items'].map((id) => document.getElementById(id));
  items.style.minHeight = '1000px';
  scroller.scrollTop = scroller.scrollHeight;
  items.style.minHeight = '2000px';
}"""
SHOWS_THE_END = """() => {
  const { scrollHeight, scrollTop, clientHeight } = document.getElementById('scroller');
  return scrollHeight - scrollTop - clientHeight < 2;
}"""


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


async def test_words_of_a_table_stay_whole_when_the_screen_is_narrow(page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.evaluate(SHOW_TABLE)
    cells = page.get_by_role("cell")
    await expect(cells.last).to_be_attached()
    await screenshot(page, "table-narrow")
    assert min(await cells.evaluate_all("cells => cells.map((cell) => cell.clientWidth)")) >= 80
    table = page.locator(".table-scroll")
    assert await table.evaluate("box => box.scrollWidth > box.clientWidth")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_end_stays_in_view_when_an_item_grows_just_after_the_page_was_moved(
    page: Page,
) -> None:
    await send(page, "Hello")
    await finished(page)
    await page.evaluate(GROW_TWICE)
    await page.wait_for_function(SHOWS_THE_END, timeout=5000)
    await page.locator("#scroller").evaluate("scroller => { scroller.scrollTop -= 300; }")
    await expect(page.locator("#newest")).to_be_visible()
