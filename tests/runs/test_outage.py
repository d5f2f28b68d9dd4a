"""The database is away: what readers see meanwhile, and what is stored when it is back."""

import asyncio
from typing import Any

import pytest

from app.chatkit.protocol.events import ThreadItemAddedEvent, ThreadItemDoneEvent
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    ThoughtTask,
    Workflow,
    WorkflowItem,
    now,
)
from tests.runs.tabs import ANSWER, Look, Tab, attach, hold_answer, release, stand_still, text_of
from tests.support import assistants
from tests.support.assistants import WORDS
from tests.support.local_replicas import LocalReplica, StartLocal
from tests.support.replica import Page, message


class Outage:
    """Lets every statement of one replica fail as if its way to the database were cut."""

    def __init__(self, replica: LocalReplica, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_over = True
        self.failed = 0
        pool: Any = replica.runs._repository._database._pool
        fetch = pool.fetch

        async def try_to_fetch(*args: Any) -> Any:
            if self.is_over:
                return await fetch(*args)
            self.failed += 1
            await asyncio.sleep(0.01)
            raise ConnectionRefusedError("the way to the database is cut")

        monkeypatch.setattr(pool, "fetch", try_to_fetch)

    def begin(self) -> None:
        self.is_over = False

    def end(self) -> None:
        self.is_over = True

    async def has_failed(self, times: int) -> None:
        """Wait until that many more statements have failed."""
        target = self.failed + times
        while self.failed < target:
            await asyncio.sleep(0.01)


async def has_shown(tab: Tab, text: str) -> None:
    while text_of(tab.events) != text:
        await asyncio.sleep(0.01)


async def test_text_is_held_back_until_the_database_has_been_heard_of_again(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=0.05, run_takeover=60)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        await has_shown(first, "".join(WORDS[:4]))
        outage = Outage(replica, monkeypatch)
        outage.begin()
        gate, (run,) = replica.runs._liveness.gate, replica.runs.running
        while gate.take_time() is None:  # the lead is used up
            await asyncio.sleep(0.01)
        release(replica)
        while not run.log.is_holding:
            await asyncio.sleep(0.01)
        await outage.has_failed(5)
        assert text_of(first.events) == "".join(WORDS[:4])
        outage.end()
        await first.ended()
    assert text_of(first.events) == ANSWER
    assert first.events[-1]["type"] == "thread.item.done"
    assert (await look(first.thread_id)).texts == [ANSWER]


async def test_answer_is_complete_when_the_database_was_away_at_its_end(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page, at=len(WORDS) - 1)
        outage = Outage(replica, monkeypatch)
        outage.begin()
        release(replica)
        await outage.has_failed(3)
        assert not first.task.done()
        outage.end()
        await first.ended()
    assert "error" not in {event["type"] for event in first.events}
    assert (await look(first.thread_id)).texts == [ANSWER]


async def test_end_says_what_happened_when_the_database_stays_away(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=0.05, run_takeover=240, database_outage=0.3)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        await has_shown(first, "".join(WORDS[:4]))
        await replica.runs.send_heartbeats()
        outage = Outage(replica, monkeypatch)
        outage.begin()
        await first.ended()
        last = first.events[-1]
        assert (last["type"], last["allow_retry"]) == ("error", True)
        assert "database" in last["message"]
        outage.end()
        while (await look(first.thread_id)).run_states == ["running"]:
            await replica.runs.send_heartbeats()
            await replica.runs._liveness._check_held([])
    assert (await look(first.thread_id)).texts == ["".join(WORDS[:4])]


async def test_text_that_was_seen_is_stored_when_the_run_fails_while_the_database_is_away(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        outage = Outage(replica, monkeypatch)
        outage.begin()

        def fail(*_: Any) -> Any:
            raise RuntimeError("the model broke")

        monkeypatch.setattr(assistants, "_update", fail)
        release(replica)
        while not outage.failed:
            await asyncio.wait([first.task], timeout=0.02)
        outage.end()
        await first.ended()
    assert first.events[-1]["type"] == "error"
    assert (await look(first.thread_id)).texts == ["".join(WORDS[:4])]


async def test_error_is_told_when_the_run_is_lost_while_it_fails(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        (run,) = replica.runs.running

        def fail(*_: Any) -> Any:
            raise RuntimeError("the model broke")

        save, saving = replica.assistant.store.add_thread_item, asyncio.Event()

        async def save_slowly(*args: Any) -> None:
            saving.set()
            await asyncio.sleep(0)
            await save(*args)

        monkeypatch.setattr(assistants, "_update", fail)
        monkeypatch.setattr(replica.assistant.store, "add_thread_item", save_slowly)
        release(replica)
        await asyncio.wait_for(saving.wait(), 10)
        run.stop("lost")
        await first.ended()
    assert first.events[-1]["type"] == "error"


async def test_readers_learn_that_a_workflow_is_gone_when_the_answer_is_stopped(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)
    announce_workflow(replica, monkeypatch)
    async with Page(replica.url) as page:
        first = await Tab(page, "threads.create", input=message("Think")).begun()
        while not [each for each in first.events if each["type"] == "thread.item.added"]:
            await asyncio.sleep(0.01)
        (run,) = replica.runs.running
        other = asyncio.create_task(attach(page, first.thread_id, f"{run.id}:0"))
        await replica.runs.cancel(run.user_id, run.id)
        await first.ended()
        shown = apply(first.events)
        assert shown == apply(await other)
        stored = await page.ask("items.list", thread_id=first.thread_id)
        assert shown == {item["id"] for item in stored["data"]}


async def test_follower_learns_that_a_workflow_is_gone_when_its_replica_died(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = await start_local(run_heartbeat=0.05, run_takeover=60)
    announce_workflow(silent, monkeypatch)
    async with Page(silent.url) as page:
        first = await Tab(page, "threads.create", input=message("Think")).begun()
        while not [each for each in first.events if each["type"] == "thread.item.added"]:
            await asyncio.sleep(0.01)
        await silent.runs.send_heartbeats()  # the snapshot has the workflow
        await stand_still(silent)
        other = await start_local(run_heartbeat=0.05, run_takeover=0.4)
        async with Page(other.url) as elsewhere:
            elsewhere.secret = page.secret
            events = await attach(elsewhere, first.thread_id, f"{silent.runs.running[0].id}:4")
            stored = await elsewhere.ask("items.list", thread_id=first.thread_id)
        assert apply(first.events + events) == {item["id"] for item in stored["data"]}
        assert events[-1]["type"] == "error"
        silent.runs.running[0].stop("lost")
        await first.ended()


def announce_workflow(replica: LocalReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the assistant announce a workflow behind a finished message, and then stand still."""

    async def say(thread: Any, context: Any) -> Any:
        ids = replica.assistant.store
        part = AssistantMessageContent(text="Let me see.")
        values: dict[str, Any] = {"thread_id": thread.id, "created_at": now()}
        done = AssistantMessageItem(
            id=ids.generate_item_id("message", thread, context), content=[part], **values
        )
        yield ThreadItemDoneEvent(item=done)
        work = Workflow(type="reasoning", tasks=[ThoughtTask(content="Well")])
        pending = WorkflowItem(
            id=ids.generate_item_id("workflow", thread, context), workflow=work, **values
        )
        yield ThreadItemAddedEvent(item=pending)
        await asyncio.Event().wait()

    monkeypatch.setattr(replica.assistant, "_say", say)


def apply(events: list[dict[str, Any]]) -> set[str]:
    """Return the ids of the items that a page shows which was given these events."""
    shown: set[str] = set()
    for event in events:
        if event["type"] in ("thread.item.added", "thread.item.done", "thread.item.replaced"):
            shown.add(event["item"]["id"])
        elif event["type"] == "thread.item.removed":
            shown.discard(event["item_id"])
    return shown
