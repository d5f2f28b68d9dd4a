"""Coming back to an answer that is being written, here and on another replica."""

import asyncio
import json

import pytest

from app.runs import registry
from tests.runs.tabs import (
    ANSWER,
    Reader,
    attach,
    hold_answer,
    nothing_to_attach,
    release,
    say_again,
    text_of,
)
from tests.support.assistants import WORDS
from tests.support.local_replicas import StartLocal
from tests.support.replica import Page
from tests.support.waiting import until


async def test_stream_goes_on_without_gap_or_repeat_when_the_reader_names_its_last_frame(
    start_local: StartLocal,
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        run_id = replica.runs.running[0].id
        tails = {
            last: await Reader(page, first.thread_id, f"{run_id}:{last}").attached()
            for last in (0, 1, 4, 7, 9)
        }
        foreign = await Reader(page, first.thread_id, "run_other:5").attached()
        release(replica)
        await first.ended()
        for last, tail in tails.items():
            assert await tail.ended() == first.events[last:]
        assert await foreign.ended() == first.events


async def test_answer_is_204_when_nothing_is_being_written(start_local: StartLocal) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        thread_id = (await page.create("Count"))[0]["thread"]["id"]
        response = await page.client.get(f"/api/threads/{thread_id}/stream", headers=page.headers)
        assert (response.status_code, response.content) == (204, b"")
        unknown = await page.client.get("/api/threads/thr_x/stream", headers=page.headers)
        assert unknown.status_code == 404


async def test_rest_of_an_answer_is_there_when_it_has_ended_meanwhile(
    start_local: StartLocal,
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page, Page(replica.url) as stranger:
        first = await hold_answer(replica, page)
        run_id = replica.runs.running[0].id
        release(replica)
        await first.ended()
        await replica.idle()
        for last in (0, 4, len(first.events) - 1):
            assert await attach(page, first.thread_id, f"{run_id}:{last}") == first.events[last:]

        async def status(reader: Page, thread_id: str, last: str) -> int:
            headers = reader.headers | {"Last-Event-ID": last}
            url = f"/api/threads/{thread_id}/stream"
            return (await reader.client.get(url, headers=headers)).status_code

        other_thread = (await page.create("Count"))[0]["thread"]["id"]
        assert await status(page, first.thread_id, f"{run_id}:{len(first.events)}") == 204
        assert await status(page, first.thread_id, f"{run_id}:x") == 200
        assert await status(page, first.thread_id, f"{run_id}:{'9' * 5000}") == 200
        assert await status(page, other_thread, f"run_x:{'9' * 5000}") == 204
        assert await status(page, other_thread, f"{run_id}:4") == 204
        assert await status(stranger, first.thread_id, f"{run_id}:4") == 404
        await page.ask("threads.delete", thread_id=first.thread_id)
        assert await status(page, first.thread_id, f"{run_id}:4") == 404


async def test_ended_runs_are_forgotten_after_a_while_and_before_they_are_too_large(
    start_local: StartLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start_local(run_log_grace=0.2, run_takeover=0.4)
    async with Page(replica.url) as page:
        await page.create("Count")
        await replica.idle()
        (ended,) = replica.runs._ended.values()
        assert replica.runs._ended_bytes == ended.log.size > 0
        while replica.runs._ended:
            await asyncio.sleep(0.02)
        assert replica.runs._ended_bytes == 0
        monkeypatch.setattr(replica.runs, "_grace", 3600)
        monkeypatch.setattr(registry, "MAX_ENDED_BYTES", 2 * ended.log.size)
        for _ in range(5):
            await page.create("Count")
        await replica.idle()
    assert 0 < len(replica.runs._ended) <= 2
    assert replica.runs._ended_bytes == sum(each.log.size for each in replica.runs._ended.values())


async def test_run_goes_on_when_an_attached_reader_leaves(start_local: StartLocal) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        async with page.client.stream(
            "GET", f"/api/threads/{first.thread_id}/stream", headers=page.headers
        ) as response:
            await anext(response.aiter_lines())
        release(replica)
        await first.ended()
    assert text_of(first.events) == ANSWER


async def test_snapshots_and_the_end_are_followed_when_another_replica_runs_it(
    start_local: StartLocal,
) -> None:
    replica = await start_local(run_heartbeat=60, run_takeover=120)  # snapshots when told to
    other = await start_local(run_heartbeat=0.05)
    async with Page(replica.url) as page, Page(other.url) as elsewhere:
        elsewhere.secret = page.secret
        first = await hold_answer(replica, page)
        following = Reader(elsewhere, first.thread_id)
        await replica.runs.send_heartbeats()
        await until(lambda: following.events != [])
        release(replica)
        events = await following.ended()
        await first.ended()
    assert events[0]["type"] == "thread.item.added"
    assert text_of(events[:1]) == "".join(WORDS[:4])
    assert events[-1] == first.events[-1]


async def test_reader_learns_that_an_answer_was_interrupted_while_it_was_away(
    start_local: StartLocal,
) -> None:
    replica = await start_local(run_log_grace=0)
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        (run,) = replica.runs.running
        run.stop("interrupted")
        await first.ended()
        await replica.idle()
        events = await attach(page, first.thread_id, last=f"{run.id}:4")
        assert text_of(events) == "".join(WORDS[:4])
        assert events[-1]["type"] == "error"
        assert events[-1]["allow_retry"] is True
        # Nobody else is told, and nobody once the thread has gone on.
        assert await nothing_to_attach(page, first.thread_id)
        release(replica)
        again = await (await say_again(page, first.thread_id)).ended()
        assert again.events[-1]["type"] == "thread.item.done"
        assert await nothing_to_attach(page, first.thread_id, last=f"{run.id}:4")


async def test_pages_hold_the_text_so_far_when_an_answer_is_being_written(
    start_local: StartLocal,
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        await replica.runs.send_heartbeats()
        thread_id = first.thread_id
        newest = await page.ask("items.list", thread_id=thread_id)
        oldest = await page.ask("items.list", thread_id=thread_id, order="asc")
        thread = await page.ask("threads.get_by_id", thread_id=thread_id)
        one = await page.ask("items.list", thread_id=thread_id, limit=1)
        rest = await page.ask("items.list", thread_id=thread_id, limit=1, after=one["after"])
        assert text_of([{"item": newest["data"][0]}]) == "".join(WORDS[:4])
        assert newest["data"][::-1] == oldest["data"] == thread["items"]["data"]
        assert one["data"] + rest["data"] == newest["data"], json.dumps([one, rest])
        release(replica)
        await first.ended()
        done = await page.ask("items.list", thread_id=thread_id)
        assert text_of([{"item": done["data"][0]}]) == ANSWER
        assert len(done["data"]) == 2
