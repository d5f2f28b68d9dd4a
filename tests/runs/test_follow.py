"""How following the run of another replica ends: always in order, and never without a word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.runs.tabs import ANSWER, Tab, attach, hold_answer, release, text_of
from tests.support import assistants
from tests.support.local_replicas import LocalReplica, StartLocal
from tests.support.replica import Page
from tests.support.samples import answer, hidden
from tests.support.waiting import PATIENCE

Events = list[dict[str, Any]]


@dataclass
class Followed:
    """A run that is held, and a reader that follows it from another replica."""

    here: LocalReplica
    other: LocalReplica
    page: Page
    first: Tab
    task: asyncio.Task[Events]

    async def ended(self) -> Events:
        """Wait for the end of the following stream; raises if the connection was cut."""
        return await asyncio.wait_for(self.task, PATIENCE)

    async def let_run_end(self) -> None:
        """Set the held answer free and wait for it."""
        release(self.here)
        await self.first.ended()


@asynccontextmanager
async def following(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Followed]:
    here = await start_local(run_heartbeat=0.05, run_takeover=60)
    other = await start_local(run_heartbeat=0.05, run_takeover=60)
    async with Page(here.url) as page, Page(other.url) as elsewhere:
        elsewhere.secret = page.secret
        first = await hold_answer(here, page)
        await here.runs.send_heartbeats()
        looked = asyncio.Event()
        repository = other.runs._repository
        find = repository.find

        async def note(*args: Any) -> Any:
            row = await find(*args)
            looked.set()
            return row

        with monkeypatch.context() as patch:
            patch.setattr(repository, "find", note)
            task = asyncio.create_task(attach(elsewhere, first.thread_id))
            await asyncio.wait_for(looked.wait(), PATIENCE)
            yield Followed(here, other, page, first, task)


async def test_following_goes_on_when_the_database_is_away_for_some_looks(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:
        repository = followed.other.runs._repository
        find, failed = repository.find, 0

        async def fail_at_first(*args: Any) -> Any:
            nonlocal failed
            failed += 1
            if failed < 4:
                raise ConnectionRefusedError("Postgres is being restarted")
            return await find(*args)

        monkeypatch.setattr(repository, "find", fail_at_first)
        while failed < 4:
            await asyncio.sleep(0.01)
        await followed.let_run_end()
        events = await followed.ended()
    assert events[-1]["type"] == "thread.item.done"
    assert text_of(events) == ANSWER


async def test_follower_is_told_when_the_database_stays_away(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:

        async def fail(*_: Any) -> Any:
            raise ConnectionRefusedError("Postgres is gone")

        monkeypatch.setattr(followed.other.runs._repository, "find", fail)
        events = await followed.ended()
        assert (events[-1]["type"], events[-1]["allow_retry"]) == ("error", True)
        await followed.let_run_end()


async def test_following_ends_quietly_when_the_thread_is_deleted(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:
        await followed.page.ask("threads.delete", thread_id=followed.first.thread_id)
        events = await followed.ended()
        assert [event["type"] for event in events] == ["thread.item.added"]
        await followed.let_run_end()


async def test_follower_is_told_when_the_run_fails(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:

        def fail(*_: Any) -> Any:
            raise RuntimeError("The model broke")

        monkeypatch.setattr(assistants, "_update", fail)
        await followed.let_run_end()
        events = await followed.ended()
    assert [event["type"] for event in events[-2:]] == ["thread.item.done", "error"]
    assert events[-1]["allow_retry"] is True


async def test_follower_is_told_at_once_when_its_replica_shuts_down(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:
        await followed.other.runs.drain(0)
        events = await followed.ended()
        assert (events[-1]["type"], events[-1]["allow_retry"]) == ("error", True)
        await followed.let_run_end()


async def test_follower_gets_what_was_stored_in_order_and_nothing_hidden(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:
        store: Any = followed.here.assistant.store
        (run,) = followed.here.runs.running
        thread_id = followed.first.thread_id
        for item in (answer("msg_b", "first"), hidden("hid_1"), answer("msg_a", "second")):
            stored = item.model_copy(update={"thread_id": thread_id})
            await store.add_thread_item(thread_id, stored, run._context)
        await followed.let_run_end()
        events = await followed.ended()
    done = [each["item"]["id"] for each in events if each["type"] == "thread.item.done"]
    assert done[:2] == ["msg_b", "msg_a"]
    assert len(done) == 3
    assert "hid_1" not in str(events)


async def test_follower_gets_an_item_anew_when_it_has_grown(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(start_local, monkeypatch) as followed:
        assistant = followed.here.assistant
        assistant.held.clear()
        assistant.hold_at = 6
        assistant.released.set()
        assistant.released.clear()
        await asyncio.wait_for(assistant.held.wait(), 10)
        await followed.here.runs.send_heartbeats()
        row = await followed.other.runs._repository.find_latest(
            followed.here.runs.running[0].user_id, followed.first.thread_id
        )
        assert row is not None
        assert row.snapshot is not None
        seen = asyncio.Event()
        find = followed.other.runs._repository.find

        async def note(*args: Any) -> Any:
            found = await find(*args)
            seen.set()
            return found

        monkeypatch.setattr(followed.other.runs._repository, "find", note)
        await asyncio.wait_for(seen.wait(), 10)
        await followed.let_run_end()
        events = await followed.ended()
    kinds = [each["type"] for each in events]
    assert kinds[:2] == ["thread.item.added", "thread.item.replaced"]
    assert kinds[-1] == "thread.item.done"
