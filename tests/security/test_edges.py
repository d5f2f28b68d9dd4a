"""The edges: session routes, origins, bodies, headers, and how many answers run at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.security.identities import USER_HEADER
from tests.support.application import BASE_URL, Application, running_application
from tests.support.replica import message
from tests.support.servers import SERVER_KEY

SESSION = "/api/chatkit/session"


@pytest.fixture
async def client(application: Application, user_id: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests are the user's."""
    async with application.client(headers={USER_HEADER: user_id}) as client:
        yield client


async def mint(client: httpx.AsyncClient, old: str | None = None) -> str:
    answer = await client.post(SESSION, json={"client_secret": old} if old else {})
    assert answer.status_code == 200, answer.text
    return answer.json()["client_secret"]


async def ask(client: httpx.AsyncClient, secret: str, kind: str, **params: Any) -> httpx.Response:
    return await client.post(
        "/chatkit",
        json={"type": kind, "params": params},
        headers={"Authorization": f"Bearer {secret}"},
    )


# --- session routes ------------------------------------------------------------------------------


async def test_old_secret_is_retired_when_the_page_exchanges_it(client: httpx.AsyncClient) -> None:
    old = await mint(client)
    new = await mint(client, old)
    assert (await ask(client, old, "threads.list")).status_code == 401
    assert (await ask(client, new, "threads.list")).status_code == 200


async def test_secret_opens_nothing_when_the_page_has_cancelled_it(
    client: httpx.AsyncClient,
) -> None:
    headers = {"Authorization": f"Bearer {await mint(client)}"}
    assert (await client.post(f"{SESSION}/cancel", headers=headers)).status_code == 204
    again = await client.post(f"{SESSION}/cancel", headers=headers)
    unknown = await client.post(f"{SESSION}/cancel", headers={"Authorization": "Bearer ck_x"})
    assert (again.status_code, unknown.status_code) == (401, 401)
    assert (await client.post(f"{SESSION}/cancel")).status_code == 401


async def test_secret_alone_gets_no_new_one_when_nobody_is_signed_in(
    application: Application, client: httpx.AsyncClient
) -> None:
    old = await mint(client)
    async with application.client() as nobody:
        refused = await nobody.post(SESSION, json={"client_secret": old})
    assert refused.status_code == 401
    assert (await ask(client, old, "threads.list")).status_code == 200


# --- origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        (BASE_URL, 200),
        ("https://page.example", 200),
        ("https://evil.example", 403),
        ("http://chat.example.evil.example", 403),
        ("http://chat.example:8000", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_session_is_minted_only_when_the_page_is_one_of_ours(
    client: httpx.AsyncClient, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert (await client.post(SESSION, json={}, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("settings", "origin", "status"),
    [
        ({"public_url": "https://chat.example/app"}, "https://chat.example", 200),
        ({"public_url": "https://chat.example/app"}, "http://chat.example", 403),
        ({"cors_origins": "*"}, "https://anything.example", 200),
        ({}, "https://anything.example", 403),
    ],
)
async def test_session_is_minted_for_the_page_behind_a_proxy_and_where_every_origin_is_named(
    database_url: str, user_id: str, settings: dict[str, Any], origin: str, status: int
) -> None:
    identity = "tests.security.identities:from_header"
    async with (
        running_application(database_url, identity=identity, **settings) as application,
        application.client(headers={USER_HEADER: user_id}) as client,
    ):
        headers = {"Origin": origin, "Host": "inner:8000"}
        assert (await client.post(SESSION, json={}, headers=headers)).status_code == status


async def test_answer_can_be_stopped_when_there_were_too_many_requests(
    database_url: str, user_id: str
) -> None:
    gate = asyncio.Event()
    async with (
        running_application(
            database_url,
            identity="tests.security.identities:from_header",
            assistant_server="tests.security.assistants:WaitingServer",
            user_requests_per_minute=2,
        ) as application,
        application.client(headers={USER_HEADER: user_id}) as client,
    ):
        application.services.server.gate = gate  # type: ignore[attr-defined]
        secret = await mint(client)
        asking = asyncio.create_task(ask(client, secret, "threads.create", input=message("Hello")))
        while not application.services.runs.running:
            await asyncio.sleep(0.01)
        (run,) = application.services.runs.running
        await run.opened()
        assert (await ask(client, secret, "threads.list")).status_code == 429
        stopped = await client.post(
            f"/api/runs/{run.id}/cancel", headers={"Authorization": f"Bearer {secret}"}
        )
        assert stopped.status_code == 204
        assert (await asking).status_code == 200  # its stream has ended


async def test_minting_is_limited_as_every_request_of_a_user(
    database_url: str, user_id: str
) -> None:
    identity = "tests.security.identities:from_header"
    async with (
        running_application(
            database_url, identity=identity, user_requests_per_minute=3
        ) as application,
        application.client(headers={USER_HEADER: user_id}) as client,
    ):
        answers = [await client.post(SESSION, json={}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 200)])
async def test_session_is_minted_only_on_the_same_site_when_the_browser_hides_the_origin(
    client: httpx.AsyncClient, site: str, status: int
) -> None:
    answer = await client.post(SESSION, json={}, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://page.example", True), ("https://evil.example", False)]
)
async def test_browser_lets_a_page_read_only_when_its_origin_is_named(
    client: httpx.AsyncClient, origin: str, allowed: bool
) -> None:
    for path in ("/chatkit", "/api/uploads", SESSION):
        preflight = await client.options(
            path,
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,x-chatkit-stop",
            },
        )
        assert preflight.status_code == (200 if allowed else 400)
        assert preflight.headers.get("access-control-allow-origin") == (origin if allowed else None)
    answer = await client.get("/healthz", headers={"Origin": origin})
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)


# --- bodies and headers --------------------------------------------------------------------------

TOO_LONG = b'"' + b"x" * 300_000 + b'"'


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Send a body without saying how long it is."""
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


@pytest.mark.parametrize("path", [SESSION, "/v1/chatkit/sessions"])
@pytest.mark.parametrize("declared", [True, False])
async def test_body_is_refused_when_it_is_too_large(
    client: httpx.AsyncClient, path: str, declared: bool
) -> None:
    answer = await client.post(
        path,
        content=TOO_LONG if declared else in_pieces(TOO_LONG),
        headers={"Authorization": f"Bearer {SERVER_KEY}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/chatkit/threads", SESSION])
async def test_browsers_are_told_to_be_careful(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_page_runs_only_its_own_scripts(client: httpx.AsyncClient) -> None:
    headers = (await client.get("/")).headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("declared", [True, False])
async def test_request_is_read_no_further_than_allowed(
    database_url: str, user_id: str, declared: bool
) -> None:
    """On the way to /chatkit, whose limit is a setting of its own."""
    taken: list[bytes] = []

    async def pour() -> AsyncIterator[bytes]:
        for piece in [b"x" * 1000] * 1000:
            taken.append(piece)
            yield piece

    async with (
        running_application(
            database_url,
            identity="tests.security.identities:from_header",
            max_request_bytes=10_000,
        ) as application,
        application.client(headers={USER_HEADER: user_id}) as client,
    ):
        headers = {"Authorization": f"Bearer {await mint(client)}"}
        if declared:
            headers["Content-Length"] = "1000000"
        answer = await client.post("/chatkit", content=pour(), headers=headers)
        unknown = await client.post("/chatkit", content=pour())
    assert (answer.status_code, unknown.status_code) == (413, 401)
    # Who has no secret is not read at all; nor is a body that says that it is too large.
    assert len(taken) == (0 if declared else 11)


async def test_browser_is_told_to_stay_with_https_only_in_production(
    database_url: str,
) -> None:
    safe = {
        "identity": "tests.security.identities:from_header",
        "signing_secret": "s" * 32,
        "openai_api_key": "sk-test",
    }
    for environment, scheme, outside, told in (
        ("production", "https", "", "max-age=31536000"),
        ("production", "http", "https", "max-age=31536000"),  # a proxy ends TLS
        ("production", "http", "http", None),
        ("production", "http", "", None),
        ("development", "https", "", None),
    ):
        async with (
            running_application(database_url, app_env=environment, **safe) as application,
            application.client() as client,
        ):
            answer = await client.get(
                f"{scheme}://chat.example/healthz", headers={"X-Forwarded-Proto": outside}
            )
        assert answer.headers.get("strict-transport-security") == told


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 200),
        ({"app_env": "production"}, 404),
        ({"app_env": "production", "api_docs": True}, 200),
        ({"api_docs": False}, 404),
    ],
)
async def test_documentation_is_there_only_when_it_is_wanted(
    database_url: str, settings: dict[str, Any], status: int
) -> None:
    async with (
        running_application(
            database_url,
            identity="tests.security.identities:from_header",
            signing_secret="s" * 32,
            **settings,
        ) as application,
        application.client() as client,
    ):
        for path in ("/docs", "/openapi.json", "/docs/assets/swagger-ui-bundle.js"):
            assert (await client.get(path)).status_code == status
        page = await client.get("/docs")
    if status == 200:
        policy = page.headers["content-security-policy"]
        assert "://" not in page.text  # nothing comes from elsewhere
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe-inline'" not in policy.split("style-src")[0]


# --- the audit log -------------------------------------------------------------------------------


async def test_audit_log_has_who_was_refused_and_what_was_deleted(
    client: httpx.AsyncClient, user_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = await mint(client)
    await ask(client, secret, "threads.create", input=message("my words"))
    thread_id = await newest_thread(client, secret)
    with caplog.at_level(logging.INFO, "audit"):
        await ask(client, secret, "threads.delete", thread_id=thread_id)
        await ask(client, secret, "threads.delete", thread_id=thread_id)
        await ask(client, f"{secret}x", "threads.list")
        await client.post(SESSION, headers={"Origin": "https://evil.example"})
        await client.post(SESSION, headers={USER_HEADER: ""})
        await client.get("/v1/chatkit/threads", headers={"Authorization": "Bearer wrong-key"})
        await client.post("/chatkit", json={})
        await client.get(f"/api/files/{'forged' * 5}")
    lines = [record for record in caplog.records if record.name == "audit"]
    assert [line.getMessage() for line in lines] == [
        "thread.deleted",
        "session.refused",
        "origin.refused",
        "identity.refused",
        "server_key.refused",
        "session.refused",
        "access.refused",
    ]
    assert (vars(lines[0])["user_id"], vars(lines[0])["thread_id"]) == (user_id, thread_id)
    told = " ".join(str(vars(record)) for record in caplog.records)
    for private in (secret, "my words", "wrong-key", "forged"):
        assert private not in told


async def newest_thread(client: httpx.AsyncClient, secret: str) -> str:
    return (await ask(client, secret, "threads.list")).json()["data"][0]["id"]


# --- running answers -----------------------------------------------------------------------------


async def test_only_so_many_answers_are_written_for_a_user_at_a_time(
    database_url: str, user_id: str
) -> None:
    gate = asyncio.Event()
    async with running_application(
        database_url,
        identity="tests.security.identities:from_header",
        assistant_server="tests.security.assistants:WaitingServer",
        user_concurrent_runs=2,
    ) as application:
        application.services.server.gate = gate  # type: ignore[attr-defined]
        async with (
            application.client(headers={USER_HEADER: user_id}) as client,
            application.client(headers={USER_HEADER: f"other_{user_id}"}) as other,
        ):
            secret, others = await mint(client), await mint(other)

            def start(client: httpx.AsyncClient, secret: str) -> "asyncio.Task[httpx.Response]":
                asked = ask(client, secret, "threads.create", input=message("Hello"))
                return asyncio.create_task(asked)

            # All at once: none of them is in the database yet when the others ask.
            mine = [start(client, secret) for _ in range(5)]
            theirs = start(other, others)
            done, writing = await asyncio.wait(mine, return_when="FIRST_COMPLETED")
            while len(done) < 3:
                more, writing = await asyncio.wait(writing, return_when="FIRST_COMPLETED")
                done |= more
            for task in done:
                assert task.result().status_code == 429
                assert int(task.result().headers["retry-after"]) > 0
            gate.set()
            assert [(await task).status_code for task in [*writing, theirs]] == [200] * 3
            again = await ask(client, secret, "threads.create", input=message("Hello"))
            assert again.status_code == 200


async def test_no_more_answers_begin_when_several_replicas_are_asked_at_once(
    database_url: str, user_id: str
) -> None:
    settings: dict[str, Any] = {
        "identity": "tests.security.identities:from_header",
        "assistant_server": "tests.security.assistants:WaitingServer",
        "user_concurrent_runs": 2,
    }
    gate = asyncio.Event()
    async with (
        running_application(database_url, **settings) as first,
        running_application(database_url, **settings) as second,
        first.client(headers={USER_HEADER: user_id}) as here,
        second.client(headers={USER_HEADER: user_id}) as there,
    ):
        for application in (first, second):
            application.services.server.gate = gate  # type: ignore[attr-defined]
        secret = await mint(here)
        asked = [
            asyncio.create_task(ask(client, secret, "threads.create", input=message("Hello")))
            for _ in range(6)
            for client in (here, there)
        ]
        refused: set[asyncio.Task[httpx.Response]] = set()
        waiting = set(asked)
        while len(refused) < 10:
            done, waiting = await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
            refused |= done
        assert {task.result().status_code for task in refused} == {429}
        assert {task.result().headers["retry-after"] for task in refused} == {"5"}
        gate.set()
        assert [(await task).status_code for task in waiting] == [200, 200]
        threads = (await ask(here, secret, "threads.list")).json()["data"]
        assert len(threads) == 2  # what was refused left nothing
        thread_id = threads[0]["id"]
        follow_up = await ask(
            here, secret, "threads.add_user_message", thread_id=thread_id, input=message("And?")
        )
        assert follow_up.status_code == 200


async def test_answers_on_other_replicas_count_too(
    application: Application, client: httpx.AsyncClient, user_id: str
) -> None:
    secret = await mint(client)
    await ask(client, secret, "threads.create", input=message("Hello"))
    thread_id = await newest_thread(client, secret)
    session = await application.services.sessions.verify(secret)
    assert session is not None
    assert session.running == 0
    await application.services.database.execute(
        "INSERT INTO runs (user_id, id, thread_id, kind, owner) VALUES ($1, $2, $3, $4, $5)",
        user_id,
        f"run_{user_id}",
        thread_id,
        "threads.add_user_message",
        "rep_other",
    )
    session = await application.services.sessions.verify(secret)
    assert session is not None
    assert session.running == 1
