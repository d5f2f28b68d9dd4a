"""Hosted mode: sessions that OpenAI mints, against a server that plays OpenAI."""

import json
import logging
from typing import Any

import pytest

from app.auth.hosted import ATTEMPTS, HostedSessions
from app.errors import RateLimitedError, UpstreamError
from tests.auth.fake_http import FakeAnswer, FakeRequest, FakeServer, fake_server
from tests.support.application import running_application

KEY = "sk-hosted-key-that-nobody-may-see"
GOOD = FakeAnswer(body={"id": "cksess_1", "client_secret": "ek_1", "expires_at": 1_790_000_000})


def refusal(status: int, code: str = "server_error", **headers: str) -> FakeAnswer:
    """Return an error as OpenAI says it, with things in it that are not for the page."""
    body = {"error": {"message": f"Incorrect key {KEY}", "type": "some_error", "code": code}}
    return FakeAnswer(status, body, headers)


def hosted(server: FakeServer, waits: list[float] | None = None) -> HostedSessions:
    async def sleep(seconds: float) -> None:
        (waits if waits is not None else []).append(seconds)

    return HostedSessions("wf_1", KEY, api_base=server.url, ttl=600, sleep=sleep)


def answers(*given: FakeAnswer | None) -> Any:
    """Return a function that gives these answers one after the other."""
    left = iter(given)
    return lambda _: next(left)


async def test_session_is_minted_for_the_user_and_the_workflow() -> None:
    async with fake_server(answers(GOOD)) as server:
        session = await hosted(server).mint("ada")
    assert (session.client_secret, session.expires_at) == ("ek_1", 1_790_000_000)
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chatkit/sessions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["openai-beta"] == "chatkit_beta=v1"
    assert json.loads(request.body) == {
        "user": "ada",
        "workflow": {"id": "wf_1"},
        "expires_after": {"anchor": "created_at", "seconds": 600},
    }


async def test_openai_is_asked_again_when_it_is_busy_fails_or_hangs_up() -> None:
    waits: list[float] = []
    busy = refusal(429, **{"Retry-After": "3"})
    async with fake_server(answers(busy, None, GOOD)) as server:
        assert (await hosted(server, waits).mint("ada")).client_secret == "ek_1"
    assert waits == [3.0, 5.0]
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_openai_is_not_asked_again_when_it_has_refused(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with fake_server(answers(refusal(status, "invalid_api_key"))) as server:
            with pytest.raises(UpstreamError, match=f"{status}: invalid_api_key") as caught:
                await hosted(server).mint("ada")
    assert len(server.requests) == 1
    assert KEY not in caught.value.message
    assert KEY not in caplog.text


async def test_page_learns_when_to_come_back_when_openai_stays_busy() -> None:
    busy = [refusal(429, "rate_limit_exceeded", **{"Retry-After": "7"})] * ATTEMPTS
    async with fake_server(answers(*busy)) as server:
        with pytest.raises(RateLimitedError) as caught:
            await hosted(server).mint("ada")
    assert caught.value.headers == {"Retry-After": "7"}
    assert len(server.requests) == ATTEMPTS


@pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "soon"])
async def test_wait_is_our_own_when_openai_names_none_that_makes_sense(wait: str) -> None:
    waits: list[float] = []
    busy = [refusal(429, **{"Retry-After": wait})] * ATTEMPTS
    async with fake_server(answers(*busy)) as server:
        with pytest.raises(RateLimitedError) as caught:
            await hosted(server, waits).mint("ada")
    assert caught.value.headers == {"Retry-After": "5"}
    assert waits == [0.5, 1.0]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "answer",
    [
        None,
        refusal(500),
        FakeAnswer(body={}),
        FakeAnswer(body=["odd"]),
        FakeAnswer(body={"client_secret": None, "expires_at": 1}),
        FakeAnswer(body={"client_secret": "", "expires_at": 1}),
        FakeAnswer(body={"client_secret": {"a": 1}, "expires_at": 1}),
        FakeAnswer(body={"client_secret": "ek_1", "expires_at": float("inf")}),
        FakeAnswer(body=nested(100_000)),
        FakeAnswer(403, nested(100_000)),
    ],
)
async def test_error_is_clear_when_openai_does_not_answer_as_it_should(
    answer: FakeAnswer | None,
) -> None:
    async with fake_server(answers(*[answer] * ATTEMPTS)) as server:
        with pytest.raises(UpstreamError) as caught:
            await hosted(server).mint("ada")
    assert caught.value.status == 502
    assert KEY not in caught.value.message


async def test_one_backend_serves_both_when_a_workflow_is_configured(database_url: str) -> None:
    seen: list[FakeRequest] = []

    def answer(request: FakeRequest) -> FakeAnswer:
        seen.append(request)
        return GOOD if len(seen) == 1 else refusal(403, "workflow_not_found")

    async with (
        fake_server(answer) as server,
        running_application(
            database_url,
            chatkit_workflow_id="wf_1",
            openai_api_key=KEY,
            chatkit_api_base=server.url,
            signing_secret="s" * 32,
        ) as application,
        application.client() as client,
    ):
        minted = await client.post("/api/chatkit/session", json={})
        assert minted.json() == {"client_secret": "ek_1", "expires_at": 1_790_000_000}
        refused = await client.post("/api/chatkit/session", json={})
    assert refused.status_code == 502
    assert refused.json()["error"]["code"] == "upstream_error"
    assert "workflow_not_found" in refused.json()["error"]["message"]
    assert json.loads(seen[0].body)["user"] == json.loads(seen[1].body)["user"]  # the cookie's
    assert KEY not in refused.text
