"""Who is taken for dead: nobody for a stall of one's own, or for one of the database."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.runs.tabs import ANSWER, Look, hold_answer, release, say_again, stand_still, text_of
from tests.support.assistants import WORDS
from tests.support.local_replicas import LocalReplica, StartLocal
from tests.support.replica import Page


async def grow_old(engine: AsyncEngine, replica: LocalReplica, seconds: int) -> None:
    """Let a replica's last sign of life be that old."""
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "UPDATE replicas SET heartbeat_at = now() - make_interval(secs => :age)"
                " WHERE id = :id"
            ),
            {"age": seconds, "id": replica.runs._liveness.replica},
        )


async def test_replica_does_not_end_its_own_runs_when_it_stood_still(
    start_local: StartLocal, look: Look, engine: AsyncEngine
) -> None:
    replica = await start_local(run_heartbeat=0.05, run_takeover=0.3)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        await stand_still(replica)
        await grow_old(engine, replica, 3600)
        for _ in range(3):  # it sweeps before it has said anything
            await replica.runs.recover()
        assert (await look(first.thread_id)).run_states == ["running"]
        await replica.runs.send_heartbeats()
        release(replica)
        await first.ended()
    assert text_of(first.events) == ANSWER


async def test_nobody_is_ended_at_the_first_look(
    start_local: StartLocal, look: Look, engine: AsyncEngine
) -> None:
    silent = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(silent.url) as page:
        first = await hold_answer(silent, page)
        await grow_old(engine, silent, 3600)
        other = await start_local(run_heartbeat=60, run_takeover=240)
        await other.runs.recover()
        assert (await look(first.thread_id)).run_states == ["running"]
        # Nor at the second one, unless the database has heard of us for long enough in between.
        await other.runs.recover()
        assert (await look(first.thread_id)).run_states == ["running"]
        other.runs._liveness._heard += 240
        await other.runs.recover()
        assert (await look(first.thread_id)).run_states == ["interrupted"]
        release(silent)
        await first.ended()


async def test_silence_hardly_counts_while_the_database_is_away(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=240)
    await stand_still(replica)
    liveness = replica.runs._liveness
    clock = 1000.0
    monkeypatch.setattr(liveness, "_clock", lambda: clock)
    liveness.gate.stored_at = clock
    before = liveness._heard
    for gap in (1, 2, 500, 3):  # no sign of ours arrived for 500 s
        clock += gap
        await liveness.send_heartbeat()
    assert liveness._heard - before == 1 + 2 + liveness._longest_gap / 2 + 3


async def test_late_sign_of_life_is_refused_when_the_replica_was_declared_ended(
    start_local: StartLocal, look: Look, engine: AsyncEngine
) -> None:
    silent = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(silent.url) as page:
        first = await hold_answer(silent, page)
        await silent.runs.send_heartbeats()
        name = silent.runs._liveness.replica
        await grow_old(engine, silent, 3600)
        other = await start_local(run_heartbeat=60, run_takeover=240)
        await other.runs.recover()
        other.runs._liveness._heard += 240
        await other.runs.recover()
        await silent.runs.send_heartbeats()  # it wakes up
        await first.ended()
        assert first.events[-1]["allow_retry"] is True
        assert silent.runs._liveness.replica != name
        release(silent)
        again = await (await say_again(page, first.thread_id)).ended()  # under its new name
        assert text_of(again.events) == ANSWER
    found = await look(first.thread_id)
    assert found.run_states == ["interrupted", "completed"]
    assert found.texts == ["".join(WORDS[:4]), ANSWER]


async def test_run_is_ended_when_its_replica_never_said_anything(
    start_local: StartLocal, look: Look, engine: AsyncEngine
) -> None:
    silent = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(silent.url) as page:
        first = await hold_answer(silent, page)
        await stand_still(silent)
        async with engine.connect() as connection:
            await connection.execute(
                text("DELETE FROM replicas WHERE id = :id"), {"id": silent.runs._liveness.replica}
            )
            age = "UPDATE runs SET created_at = now() - interval '1 hour' WHERE thread_id = :id"
            await connection.execute(text(age), {"id": first.thread_id})
        other = await start_local(run_heartbeat=60, run_takeover=240)
        await other.runs.recover()
        assert (await look(first.thread_id)).run_states == ["interrupted"]
        release(silent)
        await first.ended()


async def test_longer_text_is_kept_when_the_item_was_stored_unfinished(
    start_local: StartLocal, look: Look, engine: AsyncEngine
) -> None:
    """An item that keeps its place in the store may be older than the last snapshot of it."""
    silent = await start_local(run_heartbeat=60, run_takeover=240)
    async with Page(silent.url) as page:
        first = await hold_answer(silent, page)
        await silent.runs.send_heartbeats()
        (run,) = silent.runs.running
        (item,) = run.pending_items()
        shorter: Any = item.model_copy(deep=True)
        shorter.content[0].text = WORDS[0]
        store: Any = silent.assistant.store
        await store.save_item(first.thread_id, shorter, run._context)
        await stand_still(silent)
        await grow_old(engine, silent, 3600)
        other = await start_local(run_heartbeat=60, run_takeover=240)
        await other.runs.recover()
        other.runs._liveness._heard += 240
        await other.runs.recover()
        assert (await look(first.thread_id)).texts == ["".join(WORDS[:4])]
        release(silent)
        await asyncio.wait([first.task])
