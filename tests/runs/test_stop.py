"""Stopping a run at the two moments in which its writes must not be torn apart."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.runs.run import Run, StopReason
from tests.runs.tabs import Tab
from tests.runs.tabs import say_again as say
from tests.support.assistants import WORDS
from tests.support.local_replicas import LocalReplica, StartLocal, ThreadLook
from tests.support.replica import Page, message
from tests.support.waiting import PATIENCE

ANSWER = "".join(WORDS)
Look = Callable[[str], Awaitable[ThreadLook]]


class Gate:
    """Holds every call of a method until it is opened, half of them before their work is done."""

    def __init__(self, target: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self._method = getattr(target, name)
        monkeypatch.setattr(target, name, self._call)

    async def _call(self, *args: Any, **kwargs: Any) -> Any:
        self.reached.set()
        await asyncio.sleep(0)
        result = await self._method(*args, **kwargs)
        await self.opened.wait()
        return result


async def stop_at(gate: Gate, replica: LocalReplica, reason: StopReason) -> Run:
    await asyncio.wait_for(gate.reached.wait(), PATIENCE)
    (run,) = replica.runs.running
    run.stop(reason)
    await asyncio.sleep(0.02)
    assert not run.task.done()
    gate.opened.set()
    return run


@pytest.mark.parametrize(
    ("reason", "state"), [("stopped", "cancelled"), ("interrupted", "interrupted")]
)
@pytest.mark.parametrize("kind", ["new-thread", "follow-up"])
async def test_message_and_note_are_stored_once_when_a_run_is_stopped_before_its_first_frame(
    start_local: StartLocal,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    reason: StopReason,
    state: str,
    kind: str,
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        created = await page.create("Count") if kind == "follow-up" else []
        before = len(created) and len((await look(created[0]["thread"]["id"])).types)
        gate = Gate(replica.assistant.store, "chatkit_add_user_message", monkeypatch)
        if created:
            tab = await say(page, created[0]["thread"]["id"])
        else:
            tab = Tab(page, "threads.create", input=message("Count"))
        await stop_at(gate, replica, reason)
        await tab.ended()
        await asyncio.wait_for(replica.idle(), PATIENCE)
        thread_id = (created or tab.events)[0]["thread"]["id"]
        found = await look(thread_id)
        assert found.types[before:] == ["user_message", "sdk_hidden_context"]
        assert found.run_states[-1] == state
        again = await (await say(page, thread_id)).ended()  # the thread is free
        assert again.events[-1]["type"] == "thread.item.done"


async def test_answer_is_complete_when_a_run_is_stopped_while_it_is_being_ended(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        gate = Gate(replica.runs._repository, "finish", monkeypatch)
        tab = await Tab(page, "threads.create", input=message("Count")).begun()
        await stop_at(gate, replica, "stopped")
        await tab.ended()
        await asyncio.wait_for(replica.idle(), PATIENCE)
        found = await look(tab.thread_id)
    assert found.types == ["user_message", "assistant_message"]
    assert found.texts == [ANSWER]
    assert found.run_states == ["completed"]
