"""Statements on ``runs`` and ``replicas``, beside rows that they must leave alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chatkit.context import RequestContext, RunIdentity, TokenUsage
from app.chatkit.protocol.items import ThreadMetadata
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from app.runs.replica_repository import ReplicaRepository
from app.runs.repository import Orphan, RunEnd, RunRepository, SnapshotToSave
from tests.support.samples import MOMENT, THREAD_ID, answer
from tests.support.standing_world import AWAY, StandingWorld


def replica_of(user_id: str) -> str:
    """Return a replica that carries out no other test's runs."""
    return f"rep_{user_id}"


@pytest.fixture
async def world(engine: AsyncEngine, user_id: str) -> AsyncIterator[StandingWorld]:
    standing = StandingWorld(engine, user_id, (THREAD_ID, "thr_2", "thr_3"))
    await standing.build()
    yield standing
    await standing.check()


@pytest.fixture
async def runs(world: StandingWorld, pool: ConnectionPool, user_id: str) -> RunRepository:
    """A repository; the user's thread is held by ``run_1``."""
    database = Database(pool)
    store = PostgresStore(database)
    run = RunIdentity(id="run_1", kind="threads.add_user_message", replica=replica_of(user_id))
    context = RequestContext(user_id=user_id)
    await store.save_thread(ThreadMetadata(id=THREAD_ID, created_at=MOMENT), context)
    await store.chatkit_begin_turn(THREAD_ID, RequestContext(user_id=user_id, run=run))
    return RunRepository(database)


async def row_of(engine: AsyncEngine, user_id: str, run_id: str = "run_1") -> Any:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT * FROM runs WHERE user_id = :user AND id = :id"),
            {"user": user_id, "id": run_id},
        )
        return found.one()


async def items_of(engine: AsyncEngine, user_id: str) -> list[tuple[str, str]]:
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT type, coalesce(data #>> '{content,0,text}', data ->> 'content')"
                " FROM thread_items WHERE user_id = :user AND thread_id = :thread ORDER BY seq"
            ),
            {"user": user_id, "thread": THREAD_ID},
        )
        return [(row[0], row[1]) for row in found.all()]


async def end(engine: AsyncEngine, user_id: str, state: RunEnd = "completed") -> None:
    async with engine.connect() as connection:
        await connection.execute(
            text("UPDATE runs SET state = :state WHERE user_id = :user AND id = 'run_1'"),
            {"user": user_id, "state": state},
        )


def snapshot(user_id: str, text: str = "so far") -> SnapshotToSave:
    return SnapshotToSave(user_id, "run_1", [answer("msg_1", text)])


async def test_run_is_ended_with_what_it_used(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    usage = TokenUsage(model="m", input_tokens=3, output_tokens=4)
    await runs.save_snapshots([snapshot(user_id)])
    await runs.finish(user_id, "run_1", "failed", usage=usage, error_id="err_1")
    row = await row_of(engine, user_id)
    assert (row.state, row.error_id, row.snapshot) == ("failed", "err_1", None)
    assert (row.model, row.input_tokens, row.output_tokens) == ("m", 3, 4)
    assert row.finished_at is not None


async def test_run_that_has_ended_stays_as_it_is(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    await end(engine, user_id, "interrupted")
    before = await row_of(engine, user_id)
    await runs.finish(user_id, "run_1", "completed", usage=TokenUsage())
    assert await runs.save_snapshots([snapshot(user_id)]) == set()
    assert await runs.request_cancel(user_id, "run_1") is None
    assert await runs.request_cancel_of_thread(user_id, THREAD_ID, before="run_9") is None
    assert not await runs.recover(Orphan(user_id, "run_1", replica_of(user_id)))
    assert await row_of(engine, user_id) == before
    assert await items_of(engine, user_id) == []


async def test_snapshots_are_saved_for_the_runs_that_are_named(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    assert await runs.save_snapshots([snapshot(user_id)]) == {"run_1"}
    saved = (await row_of(engine, user_id)).snapshot
    assert "so far" in str(saved)


async def test_cancel_is_asked_of_one_run(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    assert await runs.request_cancel(user_id, "run_1") == replica_of(user_id)
    first = (await row_of(engine, user_id)).cancel_requested_at
    assert await runs.request_cancel(user_id, "run_1") == replica_of(user_id)
    assert (await row_of(engine, user_id)).cancel_requested_at == first is not None
    assert await runs.request_cancel(user_id, "run_2") is None


async def test_cancel_is_asked_of_the_older_run_of_one_thread(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    assert await runs.request_cancel_of_thread(user_id, THREAD_ID, before="run_0") is None
    assert await runs.request_cancel_of_thread(user_id, "thr_2", before="run_9") is None
    asked = await runs.request_cancel_of_thread(user_id, THREAD_ID, before="run_9")
    assert asked == ("run_1", replica_of(user_id))
    assert await runs.request_cancel_of_thread(user_id, THREAD_ID, before="run_9") is None


async def test_latest_run_of_one_thread_is_found(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    found = await runs.find_latest(user_id, THREAD_ID)
    assert found is not None
    assert (found.id, found.owner, found.state) == ("run_1", replica_of(user_id), "running")
    assert await runs.find_latest(user_id, "thr_2") is None
    assert await runs.find(user_id, "run_2") is None
    one = await runs.find(user_id, "run_1")
    assert one is not None
    assert (one.thread_id, one.state, one.is_cancelled) == (THREAD_ID, "running", False)


async def test_runs_of_one_replica_are_found(runs: RunRepository, user_id: str) -> None:
    held = await runs.find_held(replica_of(user_id))
    assert held["run_1"].user_id == user_id
    assert not any(run_id.startswith("wld_") for run_id in held)


async def test_run_is_recovered_once_with_its_text_and_a_note(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    await runs.save_snapshots([snapshot(user_id)])
    assert not await runs.recover(Orphan(user_id, "run_1", AWAY))  # not its replica
    tries = [runs.recover(Orphan(user_id, "run_1", replica_of(user_id))) for _ in range(5)]
    assert sum(await asyncio.gather(*tries)) == 1
    assert (await row_of(engine, user_id)).state == "interrupted"
    (kept, note) = await items_of(engine, user_id)
    assert kept == ("assistant_message", "so far")
    assert note[0] == "sdk_hidden_context"


@pytest.mark.parametrize(("stored", "kept"), [("so", "so far"), ("so far and on", "so far and on")])
async def test_longer_text_wins_when_the_item_is_stored_already(
    runs: RunRepository,
    pool: ConnectionPool,
    engine: AsyncEngine,
    user_id: str,
    stored: str,
    kept: str,
) -> None:
    store = PostgresStore(Database(pool))
    await store.save_item(THREAD_ID, answer("msg_1", stored), RequestContext(user_id=user_id))
    await runs.save_snapshots([snapshot(user_id)])
    assert await runs.recover(Orphan(user_id, "run_1", replica_of(user_id)))
    assert (await items_of(engine, user_id))[0] == ("assistant_message", kept)


async def test_orphans_are_runs_of_replicas_that_ended_or_were_never_heard_of(
    runs: RunRepository, engine: AsyncEngine, user_id: str
) -> None:
    async def is_orphan(living: list[str], ended: list[str], seconds: float) -> bool:
        found = await runs.find_orphans(
            living=[*living, AWAY], ended=ended, unknown_for=seconds, batch=1000
        )
        assert not any(each.id.startswith("wld_") for each in found)
        return Orphan(user_id, "run_1", replica_of(user_id)) in found

    assert not await is_orphan([replica_of(user_id)], [], 0)
    assert await is_orphan([], [replica_of(user_id)], 3600)
    assert not await is_orphan([], [], 3600)
    assert await is_orphan([], [], 0)
    await end(engine, user_id)
    assert not await is_orphan([], [replica_of(user_id)], 0)


async def test_signal_reaches_one_replica_until_it_was_handled(
    pool: ConnectionPool, user_id: str
) -> None:
    replicas = ReplicaRepository(Database(pool))
    mine, other = f"rep_mine_{user_id}", f"rep_other_{user_id}"
    assert await replicas.renew(mine, []) == []
    assert await replicas.renew(other, []) == []
    for _ in range(2):
        await replicas.signal(mine, "run_1")
    await replicas.signal(mine, "run_2")
    assert await replicas.renew(other, []) == []
    for _ in range(2):  # a reply may be lost
        assert sorted(await replicas.renew(mine, []) or []) == ["run_1", "run_2"]
    assert await replicas.renew(mine, ["run_1"]) == ["run_2"]
    await replicas.end(mine)
    assert await replicas.renew(mine, []) is None
    assert await replicas.renew(other, []) == []
    await replicas.signal(mine, "run_3")
    await replicas.forget([mine, other])
    names = [each.id for each in await replicas.look(silent_for=60)]
    assert mine not in names
    assert other in names  # it has not ended


async def test_replica_is_not_declared_ended_when_it_has_said_something(
    pool: ConnectionPool, user_id: str
) -> None:
    replicas = ReplicaRepository(Database(pool))
    name = f"rep_name_{user_id}"
    await replicas.renew(name, [])
    (seen,) = [each for each in await replicas.look(silent_for=0) if each.id == name]
    assert seen.is_silent
    await replicas.renew(name, [])
    assert not await replicas.declare_ended(name, seen.heartbeat_at)
    (again,) = [each for each in await replicas.look(silent_for=60) if each.id == name]
    assert not again.is_silent
    assert await replicas.declare_ended(name, again.heartbeat_at)
    assert not await replicas.declare_ended(name, again.heartbeat_at)
    (ended,) = [each for each in await replicas.look(silent_for=60) if each.id == name]
    assert (ended.has_ended, ended.is_over) == (True, False)
