"""What a heartbeat saves of a pending answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadItemAddedEvent, ThreadItemDoneEvent, ThreadStreamEvent
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    ThreadMetadata,
    now,
)
from tests.runs.tabs import Tab, hold_answer, release
from tests.support.assistants import WORDS
from tests.support.local_replicas import LocalReplica, StartLocal
from tests.support.replica import Page, message
from tests.support.waiting import PATIENCE


async def saved(engine: AsyncEngine, thread_id: str) -> str | None:
    """Return the text of the first message in the saved snapshot."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT snapshot #>> '{0,content,0,text}' FROM runs WHERE thread_id = :id"),
            {"id": thread_id},
        )
        return found.scalar_one()


async def test_snapshot_is_saved_by_the_next_heartbeat_when_one_failed(
    start_local: StartLocal, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)  # beats when told to
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)

        async def fail(*_: Any) -> list[str]:
            raise ConnectionRefusedError("Postgres is being restarted")

        with monkeypatch.context() as patch:
            patch.setattr(replica.runs._replicas, "renew", fail)
            with pytest.raises(ConnectionRefusedError):
                await replica.runs.send_heartbeats()
        await replica.runs.send_heartbeats()
        assert await saved(engine, first.thread_id) == "".join(WORDS[:4])
        release(replica)
        await first.ended()


async def test_snapshot_is_saved_when_a_second_message_is_as_long_as_the_first(
    start_local: StartLocal, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)
    steps = [Step("Let me look."), Step("It is sunny.")]
    say_in_steps(replica, steps, monkeypatch)
    async with Page(replica.url) as page:
        tab = Tab(page, "threads.create", input=message("Weather?"))
        for step in steps:
            await asyncio.wait_for(step.shown.wait(), PATIENCE)
            await replica.runs.send_heartbeats()
            assert await saved(engine, tab.thread_id) == step.text
            step.done.set()
        await tab.ended()


class Step:
    """A message that is pending until the test says so."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.shown, self.done = asyncio.Event(), asyncio.Event()


def say_in_steps(replica: LocalReplica, steps: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the assistant say these messages, one after the other."""

    async def say(thread: ThreadMetadata, context: RequestContext) -> AsyncIterator[Any]:
        for step in steps:
            item = AssistantMessageItem(
                id=replica.assistant.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=now(),
                content=[AssistantMessageContent(text=step.text)],
            )
            event: ThreadStreamEvent = ThreadItemAddedEvent(item=item)
            yield event
            step.shown.set()
            await step.done.wait()
            yield ThreadItemDoneEvent(item=item)

    monkeypatch.setattr(replica.assistant, "_say", say)
