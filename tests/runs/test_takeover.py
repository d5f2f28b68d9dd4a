"""Who may write in a thread: claims, fences, heartbeats, recovery, across replicas."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.runs.tabs import ANSWER, Look, Tab, hold_answer, release, say_again, stand_still
from tests.support.assistants import WORDS
from tests.support.local_replicas import StartLocal
from tests.support.replica import Page, answer_text, message
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-replica", "other-replica"])
async def test_second_message_waits_and_says_so_when_an_answer_is_being_written(
    start_local: StartLocal, look: Look, elsewhere: bool
) -> None:
    replica = await start_local()
    other = await start_local() if elsewhere else replica
    async with Page(replica.url) as page, Page(other.url) as second_page:
        second_page.secret = page.secret
        first = await hold_answer(replica, page)
        second = await (await say_again(second_page, first.thread_id)).begun()
        assert second.events[0]["type"] == "progress_update"
        release(replica)
        await asyncio.gather(first.ended(), second.ended())
    assert answer_text(first.events) == answer_text(second.events) == ANSWER
    found = await look(first.thread_id)
    assert found.types == ["user_message", "assistant_message"] * 2
    assert found.run_states == ["completed", "completed"]


async def test_second_message_is_refused_when_the_setting_says_reject(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local(thread_busy="reject")
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        second = await (await say_again(page, first.thread_id)).ended()
        assert second.status == 409
        release(replica)
        await first.ended()
    assert (await look(first.thread_id)).types == ["user_message", "assistant_message"]


async def test_waiting_ends_in_a_clear_error_when_the_thread_does_not_get_free(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local(thread_busy_wait=0.3)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        second = await (await say_again(page, first.thread_id)).ended()
        assert [each["type"] for each in second.events] == ["progress_update", "error"]
        assert second.events[-1]["allow_retry"] is True
        release(replica)
        await first.ended()
    assert (await look(first.thread_id)).types == ["user_message", "assistant_message"]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-replica", "other-replica"])
async def test_first_answer_is_cut_and_kept_when_the_setting_says_interrupt(
    start_local: StartLocal, look: Look, elsewhere: bool
) -> None:
    replica = await start_local(thread_busy="interrupt", run_heartbeat=0.1)
    other = await start_local(thread_busy="interrupt", run_heartbeat=0.1) if elsewhere else replica
    async with Page(replica.url) as page, Page(other.url) as second_page:
        second_page.secret = page.secret
        first = await hold_answer(replica, page)
        replica.assistant.hold_at = None
        second = await (await say_again(second_page, first.thread_id)).ended()
        await first.ended()
    assert answer_text(second.events) == ANSWER
    found = await look(first.thread_id)
    assert found.texts == ["".join(WORDS[:4]), ANSWER]
    assert found.run_states == ["cancelled", "completed"]


async def test_stop_reaches_the_run_when_it_is_sent_to_another_replica(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local(run_heartbeat=0.1)
    other = await start_local()
    async with Page(replica.url) as page, Page(other.url) as elsewhere:
        elsewhere.secret = page.secret
        first = await hold_answer(replica, page)
        run_id = replica.runs.running[0].id
        stopped = await elsewhere.client.post(
            f"/api/runs/{run_id}/cancel", headers=elsewhere.headers
        )
        assert stopped.status_code == 204
        await first.ended()
    found = await look(first.thread_id)
    assert found.run_states == ["cancelled"]
    assert found.texts == ["".join(WORDS[:4])]


async def test_thread_is_free_and_holds_the_snapshot_when_its_replica_went_silent(
    start_local: StartLocal, look: Look, engine: AsyncEngine
) -> None:
    silent = await start_local(run_heartbeat=0.05, run_takeover=60)
    async with Page(silent.url) as page:
        first = await hold_answer(silent, page)
        await silent.runs.send_heartbeats()  # the snapshot is saved
        await stand_still(silent)
        other = await start_local(run_heartbeat=0.05, run_takeover=0.4)
        async with Page(other.url) as elsewhere:
            elsewhere.secret = page.secret
            second = await (await say_again(elsewhere, first.thread_id)).ended()
            assert answer_text(second.events) == ANSWER

        # The paused replica wakes up: what it still has to say is written nowhere.
        release(silent)
        await first.ended()
    assert first.events[-1]["type"] == "error"
    found = await look(first.thread_id)
    assert found.run_states == ["interrupted", "completed"]
    assert found.texts == ["".join(WORDS[:4]), ANSWER]
    assert found.types == [
        "user_message",
        "assistant_message",
        "sdk_hidden_context",
        "user_message",
        "assistant_message",
    ]
    async with engine.connect() as connection:
        note = await connection.execute(
            text("SELECT data ->> 'content' FROM thread_items WHERE thread_id = :id AND hidden"),
            {"id": first.thread_id},
        )
        assert "interrupted" in note.scalar_one()


async def test_run_is_recovered_once_when_every_replica_tries(
    start_local: StartLocal, look: Look
) -> None:
    silent = await start_local(run_heartbeat=0.05, run_takeover=60)
    async with Page(silent.url) as page:
        first = await hold_answer(silent, page)
        await silent.runs.send_heartbeats()
        await stand_still(silent)
        sweepers = [await start_local(run_heartbeat=0.05, run_takeover=0.2) for _ in range(2)]
        while (await look(first.thread_id)).run_states == ["running"]:
            await asyncio.gather(*(each.runs.recover() for each in sweepers * 5))
        found = await look(first.thread_id)
        assert found.types == ["user_message", "assistant_message", "sdk_hidden_context"]
        release(silent)
        await first.ended()


async def test_answer_is_saved_and_may_be_retried_when_the_replica_shuts_down(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local(shutdown_drain=0.2)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        await replica.runs.drain(0.2)
        await first.ended()
        assert first.events[-1] == {
            "type": "error",
            "code": "custom",
            "message": first.events[-1]["message"],
            "allow_retry": True,
        }
        refused = await Tab(page, "threads.create", input=message("Too late")).ended()
        assert refused.status == 503
    found = await look(first.thread_id)
    assert found.texts == ["".join(WORDS[:4])]
    assert found.run_states == ["interrupted"]


@pytest.mark.parametrize(("reason", "word"), [("interrupted", "interrupted"), ("stopped", "user")])
async def test_model_is_told_who_ended_an_answer(
    start_local: StartLocal, engine: AsyncEngine, reason: Any, word: str
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        (run,) = replica.runs.running
        run.stop(reason)
        await first.ended()
        await replica.idle()
    async with engine.connect() as connection:
        note = await connection.execute(
            text("SELECT data ->> 'content' FROM thread_items WHERE thread_id = :id AND hidden"),
            {"id": first.thread_id},
        )
        told = note.scalar_one()
    assert word in told
    assert ("user stopped" in told) == (reason == "stopped")


async def test_running_answer_finishes_when_the_drain_time_is_long_enough(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        draining = asyncio.create_task(replica.runs.drain(10))
        await asyncio.sleep(0)
        release(replica)
        await draining
        await first.ended()
    assert (await look(first.thread_id)).run_states == ["completed"]
    assert answer_text(first.events) == ANSWER


async def test_thread_is_free_again_when_a_request_was_refused_after_its_claim(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        thread_id = (await page.create("Count"))[0]["thread"]["id"]
        refused = await Tab(
            page,
            "threads.add_user_message",
            thread_id=thread_id,
            input=message("With a file") | {"attachments": ["atc_unknown"]},
        ).ended()
        assert refused.status == 404
        again = await (await say_again(page, thread_id)).ended()
        assert again.events[0]["type"] == "thread.item.done"


async def test_run_goes_on_when_it_claims_its_thread_during_a_heartbeat(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_heartbeat=60)
    repository = replica.runs._repository
    find_held, asked, answer = repository.find_held, asyncio.Event(), asyncio.Event()

    async def slow_find_held(name: str) -> Any:
        held = await find_held(name)
        asked.set()
        await answer.wait()
        return held

    async with Page(replica.url) as page:
        held_back = await hold_answer(replica, page)
        monkeypatch.setattr(repository, "find_held", slow_find_held)
        monkeypatch.setattr(replica.runs._liveness, "_takeover", 0)  # it looks at every heartbeat
        waiting = await (await say_again(page, held_back.thread_id)).begun()
        beat = asyncio.create_task(replica.runs.send_heartbeats())
        await asyncio.wait_for(asked.wait(), PATIENCE)
        release(replica)
        while waiting.events[-1]["type"] == "progress_update":
            await asyncio.sleep(0.01)
        answer.set()
        await beat
        await asyncio.gather(held_back.ended(), waiting.ended())
    assert answer_text(waiting.events) == ANSWER
    assert (await look(held_back.thread_id)).run_states == ["completed", "completed"]
