"""Every operation, and everybody who must not get through.

The rows come from the request union and from the application's routes: an operation that is added
without a row here fails.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chatkit.protocol.requests import ChatKitReq
from app.db.pool import ConnectionPool
from app.uploads.file_urls import FileUrls, Purpose
from tests.security.identities import USER_HEADER
from tests.security.tenants import OWNED, Ids, dump, furnish
from tests.support.application import Application
from tests.support.replica import message
from tests.support.servers import SERVER_KEY

Params = Callable[[Ids], dict[str, Any]]


def _action(ids: Ids) -> dict[str, Any]:
    action = {"type": "do", "payload": {}}
    return {"thread_id": ids.thread, "item_id": ids.message, "action": action}


# What each operation of /chatkit is asked, about the things of somebody.
ABOUT: dict[str, Params] = {
    "threads.create": lambda ids: {"input": message("Hi") | {"attachments": [ids.attachment]}},
    "threads.add_user_message": lambda ids: {"thread_id": ids.thread, "input": message("Hi")},
    "threads.add_client_tool_output": lambda ids: {"thread_id": ids.thread, "result": 1},
    "threads.add_structured_input": lambda ids: {
        "thread_id": ids.thread,
        "item_id": ids.question,
        "input": {"answers": {"q": {"values": ["x"]}}},
    },
    "threads.retry_after_item": lambda ids: {"thread_id": ids.thread, "item_id": ids.message},
    "threads.custom_action": _action,
    "threads.sync_custom_action": _action,
    "threads.get_by_id": lambda ids: {"thread_id": ids.thread},
    "threads.list": lambda ids: {"after": ids.thread},
    "threads.update": lambda ids: {"thread_id": ids.thread, "title": "Mine now"},
    "threads.delete": lambda ids: {"thread_id": ids.thread},
    "items.list": lambda ids: {"thread_id": ids.thread},
    "items.feedback": lambda ids: {
        "thread_id": ids.thread,
        "item_ids": [ids.message],
        "kind": "negative",
    },
    "attachments.delete": lambda ids: {"attachment_id": ids.attachment},
}
# Those that name nothing that could be somebody's.
ABOUT_NOBODY: dict[str, Params] = {
    "attachments.create": lambda _: {"name": "a", "size": 1, "mime_type": "text/plain"},
    "input.transcribe": lambda _: {"audio_base64": "", "mime_type": "audio/webm"},
}
REFUSALS = {"attachments.delete": (404, 422)}
"""404, and 422 where the server takes no files at all."""


@dataclass(frozen=True)
class Call:
    """A request, without the secret."""

    method: str
    path: str
    json: Any = None


def chatkit(kind: str, ids: Ids) -> Call:
    return Call("POST", "/chatkit", {"type": kind, "params": (ABOUT | ABOUT_NOBODY)[kind](ids)})


# By route. Those of a session demand a client secret, those of a server its key.
BY_SESSION: dict[str, Callable[[Ids], list[Call]]] = {
    "POST /chatkit": lambda ids: [chatkit(kind, ids) for kind in ABOUT | ABOUT_NOBODY],
    "POST /api/runs/{run_id}/cancel": lambda ids: [Call("POST", f"/api/runs/{ids.run}/cancel")],
    "GET /api/threads/{thread_id}/stream": lambda ids: [
        Call("GET", f"/api/threads/{ids.thread}/stream")
    ],
    "GET /api/attachments/{attachment_id}/link": lambda ids: [
        Call("GET", f"/api/attachments/{ids.attachment}/link")
    ],
    "POST /api/chatkit/session/cancel": lambda _: [Call("POST", "/api/chatkit/session/cancel")],
    "POST /api/uploads": lambda _: [Call("POST", "/api/uploads", {"no": "file"})],
}
BY_SERVER_KEY: dict[str, Callable[[Ids], list[Call]]] = {
    "POST /v1/chatkit/sessions": lambda _: [
        Call("POST", "/v1/chatkit/sessions", {"user": "ada", "workflow": {"id": "x"}})
    ],
    "POST /v1/chatkit/sessions/{session_id}/cancel": lambda _: [
        Call("POST", "/v1/chatkit/sessions/cks_unknown/cancel")
    ],
    "GET /v1/chatkit/threads": lambda ids: [
        Call("GET", "/v1/chatkit/threads"),
        Call("GET", f"/v1/chatkit/threads?after={ids.thread}"),
    ],
    "GET /v1/chatkit/threads/{thread_id}": lambda ids: [
        Call("GET", f"/v1/chatkit/threads/{ids.thread}")
    ],
    "DELETE /v1/chatkit/threads/{thread_id}": lambda ids: [
        Call("DELETE", f"/v1/chatkit/threads/{ids.thread}")
    ],
    "GET /v1/chatkit/threads/{thread_id}/items": lambda ids: [
        Call("GET", f"/v1/chatkit/threads/{ids.thread}/items")
    ],
}
# Those whose address is made by the server and opens one file, for whoever holds it.
BY_LINK: dict[str, Purpose] = {
    "PUT /api/uploads/{token}": "uploads",
    "POST /api/uploads/{token}": "uploads",
    "GET /api/files/{token}": "files",
    "GET /api/previews/{token}": "previews",
}
BY_IDENTITY = {"POST /api/chatkit/session"}
PUBLIC = {"GET /healthz", "GET /readyz", "GET /"}
DOCUMENTATION = {"GET /docs", "GET /openapi.json"}


def routes_of(app: FastAPI) -> Iterator[str]:
    """Yield every route that the application has, as ``METHOD /path``."""
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if included := getattr(route, "original_router", None):
            waiting += included.routes
        elif isinstance(route, APIRoute) or getattr(route, "methods", None):
            for method in route.methods - {"HEAD"}:  # type: ignore[attr-defined]
                yield f"{method} {route.path}"  # type: ignore[attr-defined]


def test_every_operation_has_a_row() -> None:
    union, *_ = get_args(ChatKitReq)
    kinds = {request.model_fields["type"].default for request in get_args(union)}
    assert kinds == set(ABOUT) | set(ABOUT_NOBODY)
    assert not set(ABOUT) & set(ABOUT_NOBODY)


def test_every_route_has_a_row(application: Application) -> None:
    known = {*BY_SESSION, *BY_SERVER_KEY, *BY_LINK, *BY_IDENTITY, *PUBLIC, *DOCUMENTATION}
    assert set(routes_of(application.app)) == known


# --- the two users -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def owner(pool: ConnectionPool) -> str:
    """Somebody with one of everything."""
    user_id = "matrix_owner"
    await furnish(pool, user_id)
    return user_id


@pytest.fixture(scope="module")
async def stranger(pool: ConnectionPool) -> str:
    """Somebody with as much."""
    user_id = "matrix_stranger"
    await furnish(pool, user_id)
    return user_id


@pytest.fixture(scope="module")
async def secrets(application: Application, stranger: str) -> dict[str, str | None]:
    """What somebody may hold that opens nothing, by what is wrong with it."""
    sessions = application.services.sessions
    cancelled = await sessions.mint(stranger, ttl=600)
    await sessions.cancel(cancelled.client_secret)
    good = await sessions.mint(stranger, ttl=600)
    return {
        "none": None,
        "garbage": "ck_garbage",
        "no secret at all": "x",
        "expired": (await sessions.mint(stranger, ttl=0)).client_secret,
        "cancelled": cancelled.client_secret,
        "almost right": good.client_secret[:-1],
        "a server key": SERVER_KEY,
    }


@pytest.fixture
async def client(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    async with application.client() as client:
        yield client


async def send(client: httpx.AsyncClient, call: Call, secret: str | None) -> httpx.Response:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return await client.request(call.method, call.path, json=call.json, headers=headers)


def told(response: httpx.Response, ids: Ids) -> tuple[int, str]:
    """Return what an answer tells, but for the ids that were asked about and the request's own."""
    text = re.sub(r'"request_id":"[^"]*"', "", response.text)
    for name, value in vars(ids).items():
        text = text.replace(value, name)
    return response.status_code, text


# --- who has no valid secret ---------------------------------------------------------------------


@pytest.mark.parametrize("route", [*BY_SESSION, *BY_SERVER_KEY])
async def test_nobody_gets_through_without_a_valid_secret(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    secrets: dict[str, str | None],
    owner: str,
    stranger: str,
    route: str,
) -> None:
    before = await dump(engine, owner, stranger, tables=[*OWNED, "chat_sessions"])
    mine = Ids.of(stranger)
    for call in (BY_SESSION | BY_SERVER_KEY)[route](mine):
        answers: set[tuple[int, str]] = set()
        for name, secret in secrets.items():
            if name == "a server key" and route in BY_SERVER_KEY:
                continue
            response = await send(client, call, secret)
            assert response.status_code == 401, (name, call)
            assert response.headers["www-authenticate"] == "Bearer"
            if secret is not None and secret != "x":
                answers.add(told(response, mine))
        assert len(answers) == 1, "unknown, expired and cancelled must look the same"
    assert await dump(engine, owner, stranger, tables=[*OWNED, "chat_sessions"]) == before


async def test_nobody_gets_through_to_the_server_api_with_a_client_secret(
    application: Application, client: httpx.AsyncClient, stranger: str
) -> None:
    minted = await application.services.sessions.mint(stranger, ttl=600)
    for calls in BY_SERVER_KEY.values():
        for call in calls(Ids.of(stranger)):
            assert (await send(client, call, minted.client_secret)).status_code == 401


async def test_nobody_gets_a_session_without_an_identity(
    client: httpx.AsyncClient, engine: AsyncEngine, owner: str, stranger: str
) -> None:
    before = await dump(engine, owner, stranger, tables=["chat_sessions"])
    for headers in ({}, {USER_HEADER: ""}, {USER_HEADER: "x" * 300}, {"Cookie": "chatkit_x=y"}):
        response = await client.post("/api/chatkit/session", json={}, headers=headers)
        assert response.status_code == 401
    assert await dump(engine, owner, stranger, tables=["chat_sessions"]) == before


@pytest.mark.parametrize("route", BY_LINK)
async def test_nobody_gets_through_without_a_link_of_ours(
    application: Application,
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    owner: str,
    stranger: str,
    route: str,
) -> None:
    before = await dump(engine, owner, stranger)
    method, _, path = route.partition(" ")
    urls = application.services.uploads.urls
    theirs = Ids.of(owner).attachment

    def token_for(purpose: Purpose, user_id: str, attachment_id: str) -> str:
        return urls.make(purpose, "", user_id, attachment_id).rpartition("/")[2]

    others: set[Purpose] = {"uploads", "files", "previews"}
    forged = FileUrls(b"another secret", upload_ttl=600, view_ttl=600)
    made_up = forged.make(BY_LINK[route], "", owner, theirs).rpartition("/")[2]
    for token in ["x", made_up, *(token_for(p, owner, theirs) for p in others - {BY_LINK[route]})]:
        response = await client.request(method, path.format(token=token), content=b"x")
        assert response.status_code == 403
    answers: set[tuple[int, str]] = set()
    for attachment_id in (theirs, Ids.of("nobody").attachment):
        token = token_for(BY_LINK[route], stranger, attachment_id)
        response = await client.request(method, path.format(token=token), content=b"x")
        assert response.status_code == 404
        answers.add(told(response, Ids.of(owner if attachment_id == theirs else "nobody")))
    assert len(answers) == 1
    assert await dump(engine, owner, stranger) == before


# --- who asks for what is somebody else's --------------------------------------------------------


@pytest.mark.parametrize("kind", ABOUT)
async def test_operation_answers_as_if_there_were_nothing_when_it_is_somebody_elses(
    application: Application,
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    owner: str,
    stranger: str,
    kind: str,
) -> None:
    theirs, nobodys = Ids.of(owner), Ids.of("nobody")
    await check_same_refusal(
        application,
        client,
        engine,
        stranger,
        (chatkit(kind, theirs), theirs),
        (chatkit(kind, nobodys), nobodys),
        statuses=REFUSALS.get(kind, (404,)),
    )


@pytest.mark.parametrize("route", list(BY_SESSION)[1:4])
async def test_route_answers_as_if_there_were_nothing_when_it_is_somebody_elses(
    application: Application,
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    owner: str,
    stranger: str,
    route: str,
) -> None:
    theirs, nobodys = Ids.of(owner), Ids.of("nobody")
    for call, same in zip(BY_SESSION[route](theirs), BY_SESSION[route](nobodys), strict=True):
        await check_same_refusal(
            application, client, engine, stranger, (call, theirs), (same, nobodys)
        )


async def test_ids_of_one_thread_open_nothing_in_another(
    application: Application,
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    owner: str,
    stranger: str,
) -> None:
    """My thread with their item: the item is looked for among mine."""
    theirs, mine = Ids.of(owner), Ids.of(stranger)
    for kind in ("items.feedback", "threads.sync_custom_action"):
        for field, name in (("item_id", theirs.message), ("item_ids", [theirs.message])):
            params = ABOUT[kind](mine)
            if field in params:
                params[field] = name
                minted = await application.services.sessions.mint(stranger, ttl=600)
                before = await dump(engine, owner, stranger)
                call = Call("POST", "/chatkit", {"type": kind, "params": params})
                response = await send(client, call, minted.client_secret)
                assert response.status_code == 404
                assert await dump(engine, owner, stranger) == before


async def check_same_refusal(
    application: Application,
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    stranger: str,
    asked: tuple[Call, Ids],
    invented: tuple[Call, Ids],
    *,
    statuses: tuple[int, ...] = (404,),
) -> None:
    """Ask for somebody's things and for nothing that exists: the answers must not differ."""
    users = [stranger, "matrix_owner", "nobody"]
    before = await dump(engine, *users)
    minted = await application.services.sessions.mint(stranger, ttl=600)
    answers = [
        told(await send(client, call, minted.client_secret), ids) for call, ids in (asked, invented)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] in statuses
    assert await dump(engine, *users) == before


async def test_owner_gets_through_with_the_same_requests(
    application: Application, client: httpx.AsyncClient, owner: str
) -> None:
    """The requests above are refused for whose they are, and not because they are malformed."""
    minted = await application.services.sessions.mint(owner, ttl=600)
    ids = Ids.of(owner)
    for kind in ("threads.get_by_id", "threads.list", "items.list", "items.feedback"):
        response = await send(client, chatkit(kind, ids), minted.client_secret)
        assert response.status_code == 200, response.text
    stopped = await send(client, Call("POST", f"/api/runs/{ids.run}/cancel"), minted.client_secret)
    assert stopped.status_code == 204
