"""What the demo page says when its connection is cut, and nobody writes the answer any more."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.pages import finished, screenshot, send
from tests.support.browser import needs_browser
from tests.support.replica import Replica
from tests.support.servers import StartReplica

pytestmark = needs_browser


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A visitor, whose browser may complain: the tests cut connections."""
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    yield context
    await context.close()


class HeldBack:
    """Holds the page's attempts to come back to an answer until they are let go."""

    def __init__(self) -> None:
        self._let_go = asyncio.Event()

    async def __call__(self, route: Route) -> None:
        await self._let_go.wait()
        await route.continue_()

    def let_go(self) -> None:
        self._let_go.set()


async def begin_answer(page: Page, replica: Replica) -> HeldBack:
    """Send a message and wait for the first words; coming back to the answer is held back."""
    held = HeldBack()
    await page.route("**/api/threads/*/stream", held)
    await page.goto(replica.url)
    await send(page, "Tell me a long story")
    await expect(page.get_by_test_id("message-assistant")).to_contain_text(re.compile(r"\w+ \w+"))
    return held


async def end_of_answer(page: Page, replica: Replica) -> Any:
    """Wait until nobody writes the answer, and return the stored one."""
    minted = await page.context.request.post(f"{replica.url}/api/chatkit/session", data={})
    headers = {"Authorization": f"Bearer {(await minted.json())['client_secret']}"}
    thread_id = (await page.evaluate("location.hash"))[1:]
    # The stream of an answer ends with it.
    stream = f"{replica.url}/api/threads/{thread_id}/stream"
    await page.context.request.get(stream, headers=headers)
    params = {"thread_id": thread_id, "order": "desc", "limit": 1}
    items = await page.context.request.post(
        f"{replica.url}/chatkit",
        headers=headers,
        data={"type": "items.list", "params": params},
    )
    return (await items.json())["data"][0]


async def test_answer_is_said_to_be_cut_off_when_its_server_was_killed(
    start_replica: StartReplica, context: BrowserContext
) -> None:
    replica = await start_replica(run_takeover=2)
    page = await context.new_page()
    held = await begin_answer(page, replica)
    await replica.kill()
    await replica.start()
    await end_of_answer(page, replica)
    held.let_go()

    await finished(page, errors=1)
    banner = page.get_by_test_id("error-banner")
    await expect(banner).to_contain_text("interrupted")
    await screenshot(page, "cut-off")
    await banner.get_by_test_id("retry").click()
    answer = page.get_by_test_id("message-assistant")
    await expect(answer).to_contain_text("Night 12")
    await finished(page)
    await expect(answer).to_have_count(1)


async def test_answer_is_complete_when_it_was_finished_while_the_page_was_away(
    start_replica: StartReplica, context: BrowserContext
) -> None:
    replica = await start_replica(run_log_grace=0)
    page = await context.new_page()
    held = await begin_answer(page, replica)
    await context.set_offline(True)
    stored = await end_of_answer(page, replica)
    await context.set_offline(False)
    held.let_go()

    await finished(page)
    answer = page.get_by_test_id("message-assistant")
    await expect(answer).to_contain_text(stored["content"][0]["text"].split()[-1])
    await expect(answer).to_contain_text("Night 12")
