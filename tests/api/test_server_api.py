"""The server API, through the official ``openai`` client."""

import json
import time
from contextlib import closing
from typing import Any

import httpx
import openai
import pytest
from openai.types.beta.chatkit.chatkit_thread_item_list import ChatKitThreadItemList
from pydantic import TypeAdapter

from app.api.server_objects import item_object
from app.chatkit.protocol.items import ThreadItem
from app.chatkit.protocol.serialization import dump_wire
from tests.api.samples import ITEMS
from tests.security.assistants import WaitingServer
from tests.support.application import running_application
from tests.support.local_replicas import StartLocal
from tests.support.replica import Page, Replica, answer_text, message
from tests.support.servers import SERVER_KEY, page_with

WORKFLOW: Any = {"id": "default", "state_variables": {"plan": "pro", "seats": 5, "trial": True}}


async def mint(client: openai.AsyncOpenAI, user: str, **params: Any) -> Any:
    return await client.beta.chatkit.sessions.create(
        user=user, workflow={"id": "default"}, **params
    )


async def test_client_mints_chats_lists_reads_deletes_and_cancels(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    chatkit = client.beta.chatkit
    session = await chatkit.sessions.create(
        user=user_id,
        workflow=WORKFLOW,
        expires_after={"anchor": "created_at", "seconds": 120},
        rate_limits={"max_requests_per_1_minute": 50},
    )
    assert (session.object, session.status, session.user) == ("chatkit.session", "active", user_id)
    assert session.max_requests_per_1_minute == 50
    assert session.workflow.state_variables == WORKFLOW["state_variables"]
    assert session.chatkit_configuration.model_dump() == {
        "automatic_thread_titling": {"enabled": True},
        "file_upload": {"enabled": False, "max_file_size": 512, "max_files": 10},
        "history": {"enabled": True, "recent_threads": None},
    }

    page = page_with(server, session.client_secret)
    ids = [(await page.create(f"Hello {n}"))[0]["thread"]["id"] for n in range(3)]

    listed = [each async for each in await chatkit.threads.list(user=user_id, limit=2)]
    assert [each.id for each in listed] == ids[::-1]
    assert {each.user for each in listed} == {user_id}
    assert listed[0].status.type == "active"
    assert listed[0].title == "Hello 2"

    thread = await chatkit.threads.retrieve(ids[0])
    assert (thread.id, thread.object) == (ids[0], "chatkit.thread")

    items = [each async for each in await chatkit.threads.list_items(ids[0], order="asc", limit=1)]
    assert [each.type for each in items] == ["chatkit.user_message", "chatkit.assistant_message"]
    assert items[0].content[0].text == "Hello 0"
    assert "Hello 0" in items[1].content[0].text

    deleted = await chatkit.threads.delete(ids[0])
    assert (deleted.id, deleted.deleted) == (ids[0], True)
    with pytest.raises(openai.NotFoundError):
        await chatkit.threads.retrieve(ids[0])

    cancelled = await chatkit.sessions.cancel(session.id)
    assert (cancelled.id, cancelled.status) == (session.id, "cancelled")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await page.ask("threads.list")
    await page.client.aclose()

    log = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    told = [line for line in log if line["logger"] == "audit" and line.get("user_id") == user_id]
    assert [line["event"] for line in told] == [
        "session.minted",
        "thread.deleted",
        "session.cancelled",
    ]
    assert {line["server_key"] for line in told} == {"tests"}
    assert all("request_id" in line for line in told)
    for secret in (session.client_secret, SERVER_KEY, "Hello"):
        assert secret not in server.log


async def test_pages_go_both_ways_and_over_all_users(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    page = page_with(server, (await mint(client, user_id)).client_secret)
    ids = [(await page.create(f"Thread {n}"))[0]["thread"]["id"] for n in range(5)]
    await page.client.aclose()
    threads = client.beta.chatkit.threads

    async def page_of(**params: Any) -> tuple[list[str], bool | None]:
        found = await threads.list(**params)
        return [each.id for each in found.data], found.has_more

    mine = {"user": user_id}
    assert await page_of(**mine, limit=2) == ([ids[4], ids[3]], True)
    assert await page_of(**mine, limit=2, after=ids[1]) == ([ids[0]], False)
    assert await page_of(**mine, limit=2, before=ids[1]) == ([ids[3], ids[2]], True)
    assert await page_of(**mine, limit=2, before=ids[3]) == ([ids[4]], False)
    assert await page_of(**mine, limit=2, order="asc") == (ids[:2], True)
    assert await page_of(**mine, limit=9, order="asc", after=ids[2]) == (ids[3:], False)
    assert await page_of(**mine, limit=2, order="asc", before=ids[4]) == (ids[2:4], True)
    assert await page_of(user=f"nobody_{user_id}") == ([], False)
    everybody, more = await page_of(limit=5)
    assert everybody == ids[::-1]
    assert more
    with pytest.raises(openai.NotFoundError):
        await threads.list(user=f"nobody_{user_id}", after=ids[0])
    with pytest.raises(openai.NotFoundError):
        await threads.list_items(ids[0], after="msg_unknown")
    with pytest.raises(openai.BadRequestError):
        await threads.list(after=ids[0], before=ids[1])


@pytest.mark.parametrize("variables", [r'{"k": "\ud800"}', r'{"\udfff": 1}'])
async def test_state_variables_are_refused_when_they_are_no_unicode(
    client: openai.AsyncOpenAI, variables: str
) -> None:
    body = f'{{"user": "ada", "workflow": {{"id": "x", "state_variables": {variables}}}}}'
    async with httpx.AsyncClient() as raw:
        answer = await raw.post(
            f"{client.base_url}chatkit/sessions",
            content=body,
            headers={"Authorization": f"Bearer {SERVER_KEY}", "Content-Type": "application/json"},
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("workflow")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "user"),
        ({"user": "", "workflow": {"id": "x"}}, "user"),
        ({"user": "a\x00b", "workflow": {"id": "x"}}, "user"),
        ({"user": "ada"}, "workflow"),
        ({"user": "ada", "workflow": {"id": "x", "state_variables": {"k": []}}}, "workflow"),
        ({"user": "ada", "workflow": {"id": "x", "state_variables": {"k" * 65: 1}}}, "workflow"),
        (
            {
                "user": "ada",
                "workflow": {"id": "x"},
                "expires_after": {"anchor": "created_at", "seconds": 0},
            },
            "expires_after",
        ),
        (
            {
                "user": "ada",
                "workflow": {"id": "x"},
                "rate_limits": {"max_requests_per_1_minute": 0},
            },
            "rate_limits",
        ),
    ],
    ids=str,
)
async def test_error_names_the_parameter_when_a_body_is_malformed(
    client: openai.AsyncOpenAI, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/chatkit/sessions", body=body, cast_to=object)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code == "invalid_request"
    assert (caught.value.param or "").startswith(param)


@pytest.mark.parametrize("key", ["wrong", SERVER_KEY[:-1], "an-older-server-key-0123456789"])
async def test_server_api_opens_only_to_its_keys(server: Replica, key: str) -> None:
    with closing(openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)) as client:
        if key.startswith("an-older"):
            assert client.beta.chatkit.threads.list(user="nobody").data == []
            return
        with pytest.raises(openai.AuthenticationError) as caught:
            client.beta.chatkit.sessions.create(user="ada", workflow={"id": "default"})
    assert caught.value.type == "authentication_error"


# --- what a session may do -----------------------------------------------------------------------


async def test_only_recent_threads_are_listed_when_the_session_says_so(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    page = page_with(server, (await mint(client, user_id)).client_secret)
    ids = [(await page.create(f"Thread {n}"))[0]["thread"]["id"] for n in range(4)]
    recent: Any = {"history": {"recent_threads": 3}}
    page.secret = (await mint(client, user_id, chatkit_configuration=recent)).client_secret
    first = await page.ask("threads.list", limit=2)
    rest = await page.ask("threads.list", limit=2, after=first["after"])
    assert [each["id"] for each in first["data"] + rest["data"]] == ids[:0:-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    oldest = await page.ask("threads.list", limit=1, order="asc")
    assert [each["id"] for each in oldest["data"]] == [ids[1]]
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await page.ask("threads.list", after=ids[0])

    off: Any = {"history": {"enabled": False}}
    page.secret = (await mint(client, user_id, chatkit_configuration=off)).client_secret
    assert (await page.ask("threads.list"))["data"] == []
    await page.client.aclose()


async def test_thread_stays_untitled_when_the_session_says_so(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    quiet: Any = {"automatic_thread_titling": {"enabled": False}}
    session = await mint(client, user_id, chatkit_configuration=quiet)
    page = page_with(server, session.client_secret)
    events = await page.create("Hello there")
    thread = await page.ask("threads.get_by_id", thread_id=events[0]["thread"]["id"])
    assert answer_text(events)
    assert thread.get("title") is None
    await page.client.aclose()


async def test_files_are_refused_when_the_session_does_not_allow_them(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    page = page_with(server, (await mint(client, user_id)).client_secret)
    params = {"name": "a.txt", "size": 1, "mime_type": "text/plain"}
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        await page.ask("attachments.create", **params)
    await page.client.aclose()


async def test_page_is_told_when_to_come_back_when_the_session_asks_too_often(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    few: Any = {"max_requests_per_1_minute": 2}
    session = await mint(client, user_id, rate_limits=few)
    page = page_with(server, session.client_secret)
    for _ in range(2):
        await page.ask("threads.list")
    refused = await page.client.post(
        "/chatkit",
        json={"type": "threads.create", "params": {"input": message("Hello")}},
        headers=page.headers,
    )
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["code"] == "rate_limited"
    await page.client.aclose()
    assert (await client.beta.chatkit.threads.list(user=user_id)).data == []


async def test_older_thread_opens_by_its_id_when_it_is_not_listed(
    server: Replica, client: openai.AsyncOpenAI, user_id: str
) -> None:
    """History is about the list; a page that is reloaded comes back to the thread it shows."""
    off: Any = {"history": {"enabled": False}}
    page = page_with(server, (await mint(client, user_id, chatkit_configuration=off)).client_secret)
    thread_id = (await page.create("Hello"))[0]["thread"]["id"]
    assert (await page.ask("threads.list"))["data"] == []
    assert (await page.ask("threads.get_by_id", thread_id=thread_id))["id"] == thread_id
    await page.client.aclose()


@pytest.mark.parametrize(("seconds", "fine"), [(1, True), (86_400, True), (86_401, False)])
async def test_session_lives_as_long_as_it_was_minted_for(
    client: openai.AsyncOpenAI, user_id: str, seconds: int, fine: bool
) -> None:
    life: Any = {"anchor": "created_at", "seconds": seconds}
    before = int(time.time())
    if not fine:
        with pytest.raises(openai.BadRequestError, match="expires_after"):
            await mint(client, user_id, expires_after=life)
        return
    session = await mint(client, user_id, expires_after=life)
    assert before + seconds - 2 <= session.expires_at <= int(time.time()) + seconds + 2


async def test_assistant_gets_the_state_variables(database_url: str, user_id: str) -> None:
    async with (
        running_application(
            database_url,
            server_api_keys=f"tests:{SERVER_KEY}",
            assistant_server="tests.security.assistants:RepeatingServer",
            signing_secret="s" * 32,
        ) as application,
        application.client() as page,
    ):
        key = {"Authorization": f"Bearer {SERVER_KEY}"}
        body = {"user": user_id, "workflow": WORKFLOW}
        minted = await page.post("/v1/chatkit/sessions", json=body, headers=key)
        told = await page.post(
            "/chatkit",
            json={"type": "threads.create", "params": {"input": message("Hello")}},
            headers={"Authorization": f"Bearer {minted.json()['client_secret']}"},
        )
    for name, value in WORKFLOW["state_variables"].items():
        assert f"{name}={value!r}" in told.text


# --- a session that ends while something is written ----------------------------------------------


async def test_answer_is_finished_but_nothing_more_when_its_session_is_cancelled(
    start_local: StartLocal,
    user_id: str,
) -> None:
    """On two replicas: what was asked for in time is answered, and the secret opens nothing."""
    settings: Any = {
        "server_api_keys": f"tests:{SERVER_KEY}",
        "assistant_server": "tests.security.assistants:WaitingServer",
    }
    one, other = await start_local(**settings), await start_local(**settings)
    async with openai.AsyncOpenAI(base_url=f"{other.url}/v1", api_key=SERVER_KEY) as client:
        session = await mint(client, user_id)
        page = Page(one.url)
        page.secret = session.client_secret
        async with page.open("threads.create", input=message("Hello")) as events:
            run_id = events.response.headers["x-chatkit-run"]
            stream = aiter(events)
            thread_id = (await anext(stream))["thread"]["id"]
            await client.beta.chatkit.sessions.cancel(session.id)
            for replica in (one, other):
                for method, path in (
                    ("POST", "/chatkit"),
                    ("POST", f"/api/runs/{run_id}/cancel"),
                    ("GET", f"/api/threads/{thread_id}/stream"),
                    ("POST", "/api/chatkit/session/cancel"),
                ):
                    refused = await page.client.request(
                        method, f"{replica.url}{path}", headers=page.headers
                    )
                    assert refused.status_code == 401, path
            assert one.runs.running
            WaitingServer.open_all()
            rest = [event["type"] async for event in stream]
        assert "error" not in rest
        await page.client.aclose()


# --- objects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ITEMS, ids=lambda sample: sample["type"])
def test_items_fit_the_types_of_the_client(sample: dict[str, Any]) -> None:
    stored = TypeAdapter[Any](ThreadItem).validate_python(sample)
    item = item_object(dump_wire(stored).decode())
    page = {"object": "list", "data": [item], "has_more": False}
    known = TypeAdapter(ChatKitThreadItemList).validate_json(json.dumps(page)).data[0]
    assert known.type == item["type"]
    assert known.model_dump(exclude_none=True) == _without_nulls(item)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


async def test_cookie_is_no_way_into_the_server_api(server: Replica) -> None:
    async with Page(server.url) as page:
        answer = await page.client.get("/v1/chatkit/threads", headers=page.headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
