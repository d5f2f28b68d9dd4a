"""Writing down that a run has ended, while the database is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.runs.tabs import ANSWER, say_again
from tests.support.local_replicas import LocalReplica, StartLocal, ThreadLook
from tests.support.replica import Page, answer_text
from tests.support.waiting import PATIENCE

Look = Callable[[str], Awaitable[ThreadLook]]


class Outage:
    """Lets every ``finish`` of a replica fail until it is over."""

    def __init__(self, replica: LocalReplica, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_over = False
        self.failed = 0
        self._finish = replica.runs._repository.finish
        monkeypatch.setattr(replica.runs._repository, "finish", self._try)

    async def _try(self, *args: Any, **kwargs: Any) -> None:
        if not self.is_over:
            self.failed += 1
            raise ConnectionResetError("Postgres is being restarted")
        await self._finish(*args, **kwargs)

    async def has_failed(self, times: int) -> None:
        """Wait until that many tries have failed."""
        while self.failed < times:
            await asyncio.sleep(0.01)


async def test_answer_stays_complete_when_its_end_cannot_be_written_for_longer_than_a_takeover(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=0.05, run_takeover=60)
    cleanup = await start_local(run_heartbeat=0.05, run_takeover=1)
    outage = Outage(replica, monkeypatch)
    async with Page(replica.url) as page:
        events = await page.create("Count")
        assert answer_text(events) == ANSWER
        assert replica.runs.running  # the reader did not have to wait for the end
        await asyncio.sleep(1.2)
        await cleanup.runs.recover()
        await asyncio.wait_for(outage.has_failed(3), PATIENCE)
        outage.is_over = True
        await asyncio.wait_for(replica.idle(), PATIENCE)
        thread_id = events[0]["thread"]["id"]
        found = await look(thread_id)
        assert found.run_states == ["completed"]
        assert found.types == ["user_message", "assistant_message"]
        again = await (await say_again(page, thread_id)).ended()
        assert answer_text(again.events) == ANSWER


async def test_drain_ends_when_the_end_of_a_run_cannot_be_written(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(database_outage=3600)
    outage = Outage(replica, monkeypatch)
    async with Page(replica.url) as page:
        await page.create("Count")
        await asyncio.wait_for(outage.has_failed(2), PATIENCE)
        assert replica.runs.running
        await asyncio.wait_for(replica.runs.drain(0), PATIENCE)
    assert not replica.runs.running


async def test_run_is_let_go_when_its_end_cannot_be_written_at_all(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=0.05, run_takeover=0.5, database_outage=0.2)
    outage = Outage(replica, monkeypatch)
    async with Page(replica.url) as page:
        events = await page.create("Count")
        await asyncio.wait_for(replica.idle(), PATIENCE)
        outage.is_over = True
        thread_id = events[0]["thread"]["id"]
        again = await (await say_again(page, thread_id)).ended()  # once the cleanup was there
        assert answer_text(again.events) == ANSWER
        await asyncio.wait_for(replica.idle(), PATIENCE)
    assert (await look(thread_id)).run_states == ["interrupted", "completed"]
