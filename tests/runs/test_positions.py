"""A reader who goes from replica to replica: nothing is missing, and nothing comes twice."""

import asyncio
from typing import Any

import pytest

from app.runs.positions import read_position, write_position
from tests.runs.tabs import ANSWER, Look, hold_answer, release, text_of
from tests.support.assistants import WORDS
from tests.support.local_replicas import LocalReplica, StartLocal
from tests.support.replica import EventStream, Page


async def read_some(page: Page, thread_id: str, last: str, events: int) -> tuple[Any, str]:
    """Read that many events of a thread's stream; return them and the last id."""
    headers = page.headers | {"Last-Event-ID": last}
    url = f"/api/threads/{thread_id}/stream"
    async with page.client.stream("GET", url, headers=headers) as response:
        stream = EventStream(response)
        found: list[dict[str, Any]] = []
        async for event in stream:
            found.append(event)
            if len(found) == events:
                break
        return found, stream.ids[-1]


async def say_until(replica: LocalReplica, word: int) -> None:
    """Let the held answer go on up to a word."""
    assistant = replica.assistant
    assistant.held.clear()
    assistant.hold_at = word
    assistant.released.set()
    assistant.released.clear()
    await asyncio.wait_for(assistant.held.wait(), 10)


async def test_text_comes_once_when_the_reader_was_at_another_replica_in_between(
    start_local: StartLocal, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await start_local(run_heartbeat=60, run_takeover=240)
    other = await start_local(run_heartbeat=0.05, run_takeover=60)
    async with Page(here.url) as page, Page(other.url) as elsewhere:
        elsewhere.secret = page.secret
        first = await hold_answer(here, page)
        (run,) = here.runs.running
        # At the first replica up to the fourth word, at the second up to the sixth, and back.
        shown, last = list(first.events), f"{run.id}:{len(first.events)}"
        while text_of(shown) != "".join(WORDS[:4]):
            await asyncio.sleep(0.01)
            shown, last = list(first.events), f"{run.id}:{len(first.events)}"
        await say_until(here, 6)
        await here.runs.send_heartbeats()
        more, last = await read_some(elsewhere, first.thread_id, last, 1)
        assert more[0]["type"] == "thread.item.replaced"
        shown += more
        assert text_of(shown) == "".join(WORDS[:6])
        await say_until(here, 8)
        back = asyncio.create_task(read_some(page, first.thread_id, last, 1000))
        release(here)
        rest, last = await back
        shown += rest
        assert text_of(shown) == ANSWER
        texts = [text_of(shown[: n + 1]) for n in range(len(shown))]
        assert all(ANSWER.startswith(text) for text in texts), "text was shown twice"
        assert rest[0]["type"] == "thread.item.replaced"
    assert (await look(first.thread_id)).texts == [ANSWER]


async def test_reader_gets_the_end_once_when_it_followed_elsewhere(
    start_local: StartLocal,
) -> None:
    here = await start_local(run_heartbeat=60, run_takeover=240)
    other = await start_local(run_heartbeat=0.05, run_takeover=60)
    async with Page(here.url) as page, Page(other.url) as elsewhere:
        elsewhere.secret = page.secret
        first = await hold_answer(here, page)
        await here.runs.send_heartbeats()
        seen, last = await read_some(elsewhere, first.thread_id, "", 1)
        assert seen[0]["type"] == "thread.item.added"
        release(here)
        await first.ended()
        await here.idle()
        for reader in (page, elsewhere):  # wherever it comes back to
            rest, end = await read_some(reader, first.thread_id, last, 1000)
            assert text_of(seen + rest) == ANSWER
            headers = reader.headers | {"Last-Event-ID": end}
            url = f"/api/threads/{first.thread_id}/stream"
            assert (await reader.client.get(url, headers=headers)).status_code == 204


@pytest.mark.parametrize("held", [[], ["msg_1"], ["msg_1", "wf_2"]])
def test_position_is_read_as_it_was_written(held: list[str]) -> None:
    position = read_position(write_position("run_1", held))
    assert (position.run_id, position.held) == ("run_1", tuple(held))


@pytest.mark.parametrize("text", ["", ":", "run_1", "run_1:", "run_1:x", "run_1:-1", "run_1:٣"])
def test_position_is_the_beginning_when_it_cannot_be_read(text: str) -> None:
    assert (read_position(text).frame, read_position(text).held) == (0, None)


@pytest.mark.parametrize("item_id", ["a,b", "a b", "ü", "a\r\nx: y", "", "x" * 200])
def test_position_names_no_item_that_a_header_cannot_hold(item_id: str) -> None:
    assert write_position("run_1", ["msg_1", item_id]) == "run_1:~msg_1"
