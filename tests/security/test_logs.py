"""The log of a whole conversation, with everything that goes wrong: nothing private is in it."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.observability import format_exception
from tests.providers.fake_openai import FakeOpenAI, Reply, ToolCall, run_fake_openai
from tests.support.replica import Page, Replica
from tests.support.servers import SERVER_KEY

WORDS = "marzipan-7431"
"""In all that is said; whatever quotes it is found by it."""
PROVIDER_KEY = "sk-private-4711"
SIGNING_SECRET = "signing-secret-of-at-least-32-characters"

REPLIES = [
    Reply(text=f"You said {WORDS}"),
    Reply(reasoning=f"Hm, {WORDS}", tool_calls=(ToolCall("get_weather", f'{{"city":"{WORDS}"}}'),)),
    Reply(text=f"The weather in {WORDS}"),
    Reply(tool_calls=(ToolCall("get_weather", f'{{"{WORDS}'),)),
    Reply(text="What was that?"),
    Reply(tool_calls=(ToolCall(WORDS, "{}"),)),
    Reply(text=f"{WORDS}, and then", failed="server_error"),
    Reply(text=f"{WORDS}, and then", broken=True),
    Reply(refusal=f"I will not talk of {WORDS}"),
    *[Reply(status=status) for status in (400, 401, 500, 500, 500)],
]
"""One per request of the model, for as long as there are any."""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    """A provider that answers in private words, and fails in all of its ways."""
    with run_fake_openai() as fake:
        yield fake


async def talk(page: Page, text: str) -> list[dict[str, Any]]:
    return await page.create(f"{text} {WORDS}")


async def go_wrong(page: Page, thread_id: str) -> None:
    """Send what is refused or cannot be read."""
    url = "/chatkit"
    bodies = [
        f'{{"type": "{WORDS}"}}',
        f'{{"{WORDS}',
        f'{{"type":"threads.create","params":{{"input":"{WORDS}"}}}}',
        f'{{"type":"threads.get_by_id","params":{{"thread_id":"{WORDS}"}}}}',
    ]
    for body in bodies:
        answer = await page.client.post(url, content=body, headers=page.headers)
        assert 400 <= answer.status_code < 500
    for header in (f"Bearer ck_{WORDS}", f"Basic {WORDS}", WORDS):
        answer = await page.client.post(url, json={}, headers={"Authorization": header})
        assert answer.status_code == 401
        answer = await page.client.get("/v1/chatkit/threads", headers={"Authorization": header})
        assert answer.status_code == 401
    key = {"Authorization": f"Bearer {SERVER_KEY}"}
    for user in (f"{WORDS}\x00", [WORDS]):
        body: Any = {"user": user, "workflow": {"id": WORDS}}
        answer = await page.client.post("/v1/chatkit/sessions", json=body, headers=key)
        assert answer.status_code == 400
    await page.ask("threads.update", thread_id=thread_id, title=f"About {WORDS}")
    await page.client.get(f"/v1/chatkit/threads/{thread_id}/items?after={WORDS}", headers=key)
    await page.client.get(f"/nowhere?secret={page.secret}")


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_nothing_private_is_logged_when_everything_is_and_much_fails(
    database_url: str, tmp_path: Path, fake: FakeOpenAI, log_format: str
) -> None:
    fake.reset()
    fake.replies.extend(REPLIES)
    fake.title = f"All about {WORDS}"
    replica = Replica(
        database_url,
        tmp_path,
        log_level="DEBUG",
        log_format=log_format,
        log_error_messages="false",
        assistant_server="tests.security.assistants:FailingServer",
        openai_api_key=PROVIDER_KEY,
        openai_base_url=fake.base_url,
        server_api_keys=f"tests:{SERVER_KEY}",
        signing_secret=SIGNING_SECRET,
        run_heartbeat=0.1,
    )
    await replica.start()
    try:
        async with Page(replica.url) as page:
            thread_id = (await talk(page, "Hello"))[0]["thread"]["id"]
            while len(fake.replies) > 2:
                fake.title = 500 if isinstance(fake.title, str) else f"All about {WORDS}"
                await talk(page, "Tell me of")
            fake.replies.clear()
            for failing in ("validate", "wrapped", "afterwards"):
                fake.replies.append(Reply(text=WORDS))
                events = await talk(page, failing)
                assert "error" in [event["type"] for event in events], failing
            fake.replies.clear()
            fake.replies.append(Reply(text=WORDS))
            await talk(page, "forgotten")
            await go_wrong(page, thread_id)
            token = await download(page)
            cookie = page.client.cookies["chatkit_visitor"]
            old = page.secret
            await page.client.post("/api/chatkit/session", json={"client_secret": old})
            await page.client.post("/api/chatkit/session/cancel", headers=page.headers)
            await page.client.post("/api/chatkit/session", headers={"Origin": f"http://{WORDS}"})
    finally:
        await replica.stop()
    private = (WORDS, page.secret, old, cookie, token, PROVIDER_KEY, SERVER_KEY, SIGNING_SECRET)
    for each in private:
        lines = [line for line in replica.log.splitlines() if each in line]
        assert lines == [], each
    for told in ("session.minted", "session.refused", "server_key.refused", "origin.refused"):
        assert told in replica.log
    assert "Task exception was never retrieved" in replica.log
    for error in ("ValidationError", "ExceptionGroup", "KeyError", "RuntimeError"):
        assert error in replica.log


async def download(page: Page) -> str:
    """Upload a file and download it; return the token in its address, which is all it takes."""
    sent = await page.client.post(
        "/api/uploads", files={"file": ("a.txt", b"some text")}, headers=page.headers
    )
    link = await page.client.get(f"/api/attachments/{sent.json()['id']}/link", headers=page.headers)
    url = link.json()["url"]
    assert (await page.client.get(url)).content == b"some text"
    return url.rpartition("/")[2]


def raise_three() -> None:
    try:
        raise KeyError("first secret")
    except KeyError as error:
        raise ExceptionGroup("second secret", [ValueError("third secret")]) from error


def test_error_is_told_by_its_types_and_places_alone() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        raise_three()
    told = format_exception(caught.value, in_words=False)
    assert "secret" not in told.replace('KeyError("first secret")', "").replace(
        'ExceptionGroup("second secret", [ValueError("third secret")])', ""
    )
    for name in (
        "builtins.KeyError",
        "builtins.ExceptionGroup",
        "builtins.ValueError",
        "in raise_",
    ):
        assert name in told
    assert format_exception(caught.value, in_words=True) == "".join(
        traceback.format_exception(caught.value)
    )


def test_error_keeps_what_the_system_says_of_itself() -> None:
    told = format_exception(ConnectionRefusedError(111, "Connect call failed"), in_words=False)
    assert told == "builtins.ConnectionRefusedError: [Errno 111] Connect call failed"
