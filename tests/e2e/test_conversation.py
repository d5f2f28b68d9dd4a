"""The main job, on a real server process over a real socket."""

import asyncio

import httpx
import pytest

from tests.support.replica import Page, Replica, answer_text, message
from tests.support.servers import StartReplica


async def test_answer_streams_in_the_protocols_order_when_a_thread_is_created(
    replica: Replica,
) -> None:
    async with (
        Page(replica.url) as page,
        page.open("threads.create", input=message("Hello there")) as stream,
    ):
        events = [event async for event in stream]

    kinds = [event["type"] for event in events if event["type"] != "thread.item.updated"]
    assert kinds == [
        "thread.created",
        "thread.item.done",
        "stream_options",
        "thread.item.added",
        "thread.item.done",
    ]
    assert events[1]["item"]["type"] == "user_message"
    assert "Hello there" in answer_text(events)
    deltas = [
        event["update"]["delta"]
        for event in events
        if event["type"] == "thread.item.updated" and "delta" in event["update"]
    ]
    assert "".join(deltas) == answer_text(events)
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    run_id = headers["x-chatkit-run"]
    assert stream.ids == [f"{run_id}:{number}" for number in range(1, len(events) + 1)]


async def test_conversation_is_still_there_when_the_server_was_killed(
    start_replica: StartReplica,
) -> None:
    replica = await start_replica()
    async with Page(replica.url) as page:
        thread_id = (await page.create("Remember the number 42"))[0]["thread"]["id"]
        await replica.kill()

        await replica.start()
        threads = await page.ask("threads.list")
        items = await page.ask("items.list", thread_id=thread_id, order="asc")
        events = await page.stream(
            "threads.add_user_message", thread_id=thread_id, input=message("And again")
        )

    assert [thread["id"] for thread in threads["data"]] == [thread_id]
    assert [item["type"] for item in items["data"]] == ["user_message", "assistant_message"]
    # The offline model counts what its input holds: the history has reached it.
    assert "message 2 of our conversation" in answer_text(events)


async def test_threads_can_be_listed_read_renamed_and_deleted(replica: Replica) -> None:
    async with Page(replica.url) as page:
        ids = [(await page.create(f"Thread {n}"))[0]["thread"]["id"] for n in range(3)]

        newest = await page.ask("threads.list", limit=2)
        rest = await page.ask("threads.list", limit=2, after=newest["after"])
        assert [each["id"] for each in newest["data"] + rest["data"]] == ids[::-1]
        assert (newest["has_more"], rest["has_more"]) == (True, False)
        oldest = await page.ask("threads.list", order="asc", limit=1)
        assert oldest["data"][0]["id"] == ids[0]

        renamed = await page.ask("threads.update", thread_id=ids[0], title="Renamed")
        thread = await page.ask("threads.get_by_id", thread_id=ids[0])
        assert renamed["title"] == thread["title"] == "Renamed"
        assert [each["type"] for each in thread["items"]["data"]] == [
            "user_message",
            "assistant_message",
        ]

        assert await page.ask("threads.delete", thread_id=ids[0]) == {}
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await page.ask("threads.get_by_id", thread_id=ids[0])
        assert refused.value.response.status_code == 404


async def test_request_is_refused_when_it_has_no_valid_secret(replica: Replica) -> None:
    async with Page(replica.url) as page:
        body = {"type": "threads.list", "params": {}}
        for headers in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer ck_made-up"},
            {"Authorization": f"Basic {page.secret}"},
            {"Authorization": f"Bearer {page.secret[:-1]}"},
        ):
            response = await page.client.post("/chatkit", json=body, headers=headers)
            assert response.status_code == 401, headers
            error = response.json()["error"]
            assert error["code"] == "unauthorized"
            assert error["request_id"] == response.headers["x-request-id"]


async def test_visitors_see_only_their_own_threads_when_each_has_a_cookie(replica: Replica) -> None:
    async with Page(replica.url) as one, Page(replica.url) as other:
        thread_id = (await one.create("Mine"))[0]["thread"]["id"]
        await one.mint()  # the cookie keeps the identity

        assert [each["id"] for each in (await one.ask("threads.list"))["data"]] == [thread_id]
        assert (await other.ask("threads.list"))["data"] == []
        foreign = await other.client.post(
            "/chatkit",
            json={"type": "threads.get_by_id", "params": {"thread_id": thread_id}},
            headers=other.headers,
        )
        invented = await other.client.post(
            "/chatkit",
            json={"type": "threads.get_by_id", "params": {"thread_id": "thr_invented"}},
            headers=other.headers,
        )
        assert foreign.status_code == invented.status_code == 404


async def test_cookie_is_ignored_when_its_signature_is_wrong(replica: Replica) -> None:
    async with Page(replica.url) as page:
        await page.create("Mine")
        name, value = next(iter(page.client.cookies.items()))
        async with httpx.AsyncClient(
            base_url=replica.url, cookies={name: value[:-2] + "xx"}
        ) as thief:
            minted = (await thief.post("/api/chatkit/session", json={})).json()
        page.secret = minted["client_secret"]
        assert (await page.ask("threads.list"))["data"] == []


async def test_bad_requests_name_the_field_and_are_no_half_stream(replica: Replica) -> None:
    async with Page(replica.url) as page:

        async def post(content: bytes) -> httpx.Response:
            return await page.client.post("/chatkit", content=content, headers=page.headers)

        malformed = await post(b'{"type": "threads.create", "params": {"input": {}}}')
        assert malformed.status_code == 400
        assert malformed.json()["error"]["field"] == "params.input.content"
        assert (await post(b"{")).status_code == 400
        assert (await post(b'{"type": "threads.explode", "params": {}}')).status_code == 400
        assert (await post(b" " * 2_100_000)).status_code == 413
        unknown = await post(
            b'{"type":"threads.retry_after_item","params":{"thread_id":"thr_x","item_id":"msg_x"}}'
        )
        assert unknown.status_code == 404
        assert unknown.headers["content-type"] == "application/json"
        assert (await page.ask("threads.list"))["data"] == []


async def test_server_ends_cleanly_when_interrupted(start_replica: StartReplica) -> None:
    replica = await start_replica()
    async with Page(replica.url) as page:
        await page.create("Hello")
    assert await replica.stop() == 0
    assert "Traceback" not in replica.log


async def test_health_tells_process_from_database(replica: Replica) -> None:
    async with httpx.AsyncClient(base_url=replica.url) as client:
        alive, ready = await asyncio.gather(client.get("/healthz"), client.get("/readyz"))
    assert (alive.status_code, ready.status_code) == (200, 200)
