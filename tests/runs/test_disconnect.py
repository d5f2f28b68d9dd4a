"""What a closed connection means, over real sockets, at every point of a stream."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from tests.providers.fake_openai import Reply, run_fake_openai
from tests.runs.tabs import hold_answer, release
from tests.support.assistants import WORDS, SlowStore
from tests.support.local_replicas import StartLocal, ThreadLook
from tests.support.replica import Page, message
from tests.support.waiting import PATIENCE

ANSWER = "".join(WORDS)
FRAMES = 3 + 2 + len(WORDS) + 1  # created, user, options; added, part; words; done
Look = Callable[[str], Awaitable[ThreadLook]]


async def read_and_leave(
    page: Page, frames: int, *, metadata: dict | None = None, headers: dict | None = None
) -> str:
    """Read that many frames of a new thread's stream, close the connection; return its id."""
    async with page.client.stream(
        "POST",
        "/chatkit",
        json={
            "type": "threads.create",
            "params": {"input": message("Count")},
            "metadata": metadata or {},
        },
        headers=page.headers | (headers or {}),
    ) as response:
        seen = 0
        thread_id = ""
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                seen += 1
                if seen == 1:
                    thread_id = json.loads(line.removeprefix("data: "))["thread"]["id"]
                if seen >= frames:
                    break
    return thread_id


async def test_run_is_cancelled_and_its_text_kept_when_the_connection_closes_at_any_frame(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        for frames in range(1, FRAMES):
            thread_id = await read_and_leave(page, frames)
            await asyncio.wait_for(replica.idle(), PATIENCE)
            found = await look(thread_id)
            state = found.run_states[0]
            assert state in ("cancelled", "completed"), frames
            if state == "completed":
                assert found.texts == [ANSWER]
                continue
            assert found.types[-1] == "sdk_hidden_context", frames
            assert found.types.count("sdk_hidden_context") == 1
            assert len(found.texts) <= 1
            assert all(ANSWER.startswith(each) for each in found.texts)
            words_seen = max(0, frames - 5)
            assert sum(map(len, found.texts)) >= len("".join(WORDS[:words_seen]))
    assert "cancelled" in replica.assistant.ended


async def test_text_is_kept_when_the_connection_closes_and_every_write_is_slow(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local()
    replica.assistant.store = SlowStore(replica.assistant.store, 0.03)  # type: ignore[assignment]
    async with Page(replica.url) as page:
        for frames in range(4, FRAMES, 3):
            thread_id = await read_and_leave(page, frames)
            await asyncio.wait_for(replica.idle(), PATIENCE)
            found = await look(thread_id)
            if found.run_states == ["completed"]:
                assert found.texts == [ANSWER]
                continue
            assert found.run_states == ["cancelled"]
            assert found.types.count("sdk_hidden_context") == 1
            assert sum(map(len, found.texts)) >= len("".join(WORDS[: max(0, frames - 5)]))


@pytest.mark.parametrize("model_api", ["responses", "chat_completions"])
async def test_model_call_ends_when_the_connection_closes(
    start_local: StartLocal, look: Look, model_api: str
) -> None:
    with run_fake_openai() as provider:
        provider.replies.append(Reply(text="word " * 400, pause=0.02))
        replica = await start_local(
            assistant_server="app.assistant.server:AssistantServer",
            openai_api_key="sk-test",
            openai_base_url=provider.base_url,
            model_api=model_api,
        )
        async with Page(replica.url) as page:
            thread_id = await read_and_leave(page, 12)
            await asyncio.wait_for(replica.idle(), PATIENCE)
        assert await asyncio.to_thread(provider.hung_up.wait, 5)
    found = await look(thread_id)
    assert found.run_states == ["cancelled"]
    assert "word word" in found.texts[0]
    assert found.types[-1] == "sdk_hidden_context"


@pytest.mark.parametrize(
    ("metadata", "headers"),
    [({"allow_cancel": False}, {}), ({}, {"X-ChatKit-Stop": "explicit"})],
    ids=["not-cancellable", "explicit-stop"],
)
async def test_run_finishes_when_a_closed_connection_means_nothing(
    start_local: StartLocal, look: Look, metadata: dict, headers: dict
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        for frames in range(1, FRAMES, 3):
            thread_id = await read_and_leave(page, frames, metadata=metadata, headers=headers)
            await asyncio.wait_for(replica.idle(), PATIENCE)
            found = await look(thread_id)
            assert found.run_states == ["completed"]
            assert found.types == ["user_message", "assistant_message"]
            assert found.texts == [ANSWER]


async def test_run_is_not_slowed_when_its_reader_takes_nothing(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(replica.url.split(":")[2]))
        body = b'{"type":"threads.create","params":{"input":{"content":[{"type":"input_text",'
        body += b'"text":"Count"}],"attachments":[],"inference_options":{}}}}'
        writer.write(
            b"POST /chatkit HTTP/1.1\r\nhost: x\r\nx-chatkit-stop: explicit\r\n"
            + f"authorization: Bearer {page.secret}\r\n".encode()
            + f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        while not replica.assistant.ended:
            await asyncio.sleep(0.01)
        assert replica.assistant.ended == ["completed"]
        writer.close()
        del reader


async def test_stop_is_immediate_when_it_is_sent_explicitly(
    start_local: StartLocal, look: Look
) -> None:
    replica = await start_local()
    replica.assistant.hold_at = 4
    async with Page(replica.url) as page:
        async with page.open(
            "threads.create", headers={"X-ChatKit-Stop": "explicit"}, input=message("Count")
        ) as stream:
            run_id = stream.response.headers["x-chatkit-run"]
            events = aiter(stream)
            thread_id = (await anext(events))["thread"]["id"]
            await asyncio.wait_for(replica.assistant.held.wait(), PATIENCE)
            stopped = await page.client.post(f"/api/runs/{run_id}/cancel", headers=page.headers)
            assert stopped.status_code == 204
            rest = [event async for event in events]
            assert rest[-1]["type"] == "thread.item.updated"  # the stream ends, without an error
        found = await look(thread_id)
        assert found.run_states == ["cancelled"]
        assert found.texts == ["".join(WORDS[:4])]
        again = await page.client.post(f"/api/runs/{run_id}/cancel", headers=page.headers)
        assert again.status_code == 204


async def test_run_is_not_found_when_it_is_somebody_elses(start_local: StartLocal) -> None:
    replica = await start_local()
    replica.assistant.hold_at = 2
    async with (
        Page(replica.url) as page,
        Page(replica.url) as other,
        page.open("threads.create", input=message("Count")) as stream,
    ):
        run_id = stream.response.headers["x-chatkit-run"]
        thread_id = (await anext(aiter(stream)))["thread"]["id"]
        await asyncio.wait_for(replica.assistant.held.wait(), PATIENCE)
        cancel = await other.client.post(f"/api/runs/{run_id}/cancel", headers=other.headers)
        attach = await other.client.get(f"/api/threads/{thread_id}/stream", headers=other.headers)
        assert (cancel.status_code, attach.status_code) == (404, 404)
        assert len(replica.runs.running) == 1
        replica.assistant.released.set()


@pytest.mark.parametrize(
    ("headers", "state"),
    [({}, "cancelled"), ({"X-ChatKit-Stop": "explicit"}, "completed")],
    ids=["closing-stops", "explicit-stop"],
)
async def test_closed_connection_counts_when_its_message_was_still_waiting_for_the_thread(
    start_local: StartLocal, look: Look, headers: dict, state: str
) -> None:
    replica = await start_local()
    async with Page(replica.url) as page:
        first = await hold_answer(replica, page)
        async with page.open(
            "threads.add_user_message",
            headers=headers,
            thread_id=first.thread_id,
            input=message("Again"),
        ) as stream:
            assert (await anext(aiter(stream)))["type"] == "progress_update"
        while len(replica.uvicorn.server_state.tasks) > 1:  # the server has noticed
            await asyncio.sleep(0.01)
        release(replica)
        await first.ended()
        await asyncio.wait_for(replica.idle(), PATIENCE)
    found = await look(first.thread_id)
    assert found.run_states == ["completed", state]
    assert found.types[:3] == ["user_message", "assistant_message", "user_message"]
