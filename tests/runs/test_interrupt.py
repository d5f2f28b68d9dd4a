"""Several messages in one thread, each of which interrupts the answer before it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.chatkit.errors import ThreadBusyError
from tests.runs.tabs import ANSWER, Tab, hold_answer, release
from tests.support.local_replicas import LocalReplica, StartLocal, ThreadLook
from tests.support.replica import Page, answer_text, message
from tests.support.waiting import PATIENCE

Look = Callable[[str], Awaitable[ThreadLook]]


class Order:
    """Lets one message find its thread busy until another one has got it."""

    def __init__(self, early: str, late: str) -> None:
        self._early, self._late = early, late
        self.early_began, self.late_began = asyncio.Event(), asyncio.Event()
        self.refused = 0  # how often the late one found the early one in its way

    def keep(self, replica: LocalReplica, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep this order on a replica."""
        open_turn = replica.assistant.chatkit_open_turn

        async def open_in_order(request: Any, context: Any) -> Any:
            is_late = request.params.input.content[0].text == self._late
            if is_late and not self.early_began.is_set():
                raise ThreadBusyError("It is not your turn yet")
            try:
                turn = await open_turn(request, context)
            except ThreadBusyError:
                self.refused += is_late
                raise
            (self.late_began if is_late else self.early_began).set()
            return turn

        monkeypatch.setattr(replica.assistant, "chatkit_open_turn", open_in_order)


@asynccontextmanager
async def three_messages(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch, order: Order, *, elsewhere: bool
) -> AsyncIterator[tuple[Tab, Tab, Tab]]:
    """Interrupt a held answer by two messages, whose answers are held until the block ends."""
    options: dict[str, Any] = {"thread_busy": "interrupt", "run_heartbeat": 0.1}
    here = await start_local(**options)
    other = await start_local(**options) if elsewhere else here
    async with Page(here.url) as page, Page(other.url) as second_page:
        second_page.secret = page.secret
        first = await hold_answer(here, page)
        other.assistant.hold_at = 4
        order.keep(here, monkeypatch)
        if elsewhere:
            order.keep(other, monkeypatch)

        async def say(reader: Page, text: str) -> Tab:
            kind = "threads.add_user_message"
            return await Tab(reader, kind, thread_id=first.thread_id, input=message(text)).begun()

        second, third = await say(page, "Second"), await say(second_page, "Third")
        yield first, second, third
        release(here)
        release(other)
        await asyncio.gather(first.ended(), second.ended(), third.ended())


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-replica", "other-replica"])
async def test_third_message_interrupts_the_second_when_that_got_the_thread_first(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    order = Order("Second", "Third")
    async with three_messages(start_local, monkeypatch, order, elsewhere=elsewhere) as tabs:
        await asyncio.wait_for(order.late_began.wait(), PATIENCE)
    first, _, third = tabs
    assert answer_text(third.events) == ANSWER
    assert (await look(first.thread_id)).run_states == ["cancelled", "cancelled", "completed"]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-replica", "other-replica"])
async def test_second_message_interrupts_nothing_when_the_third_got_the_thread_first(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    order = Order("Third", "Second")
    async with three_messages(start_local, monkeypatch, order, elsewhere=elsewhere) as tabs:
        while order.refused < 3:
            await asyncio.sleep(0.01)
    first, second, third = tabs
    assert answer_text(second.events) == answer_text(third.events) == ANSWER
    assert (await look(first.thread_id)).run_states == ["cancelled", "completed", "completed"]
