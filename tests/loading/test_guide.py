"""What older guides show works, and every old name is told once, with today's.

The server of ``guide.py`` is served twice: by its own endpoint, as the guides do it, and by this
backend. Its imports say ``chatkit``, which means ours there.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.loading.test_serving import answers
from tests.providers.fake_openai import FakeOpenAI, Reply, ToolCall, run_fake_openai
from tests.support.replica import ROOT, EventStream, Page, Replica, message

OWN_ENDPOINT = """
import logging, socket, sys
logging.basicConfig()
from app.assistant_loading import prepare_process
from app.settings import load_settings
prepare_process(load_settings())
import guide, uvicorn
uvicorn.run(guide.app, port=int(sys.argv[1]), log_level="warning")
"""
EXPECTED_WARNINGS = (
    "to_input_item is of an older guide: write chatkit.agents.ThreadItemConverter",
    "FileStore is of an older guide: write chatkit.store.AttachmentStore",
    "ClientToolCallOutputItem is of an older guide: write chatkit.types.ClientToolCallItem",
    "Event is of an older guide: write chatkit.types.ThreadStreamEvent",
    "FilePart is of an older guide: write chatkit.types.FileAttachment",
    "ImagePart is of an older guide: write chatkit.types.ImageAttachment",
    'Button(type="submit") is of an older guide: write Button(submit=True)',
    "HiddenContextItem without thread_id is of an older guide: write thread_id=thread.id",
    'the item type "msg" is of an older guide: write "message"',
)

Serve = Callable[[], Awaitable[Page]]


class Guide:
    """A running server of the guide, a page on it, and what it has logged."""

    def __init__(self, page: Page, read_log: Callable[[], str]) -> None:
        self.page = page
        self.read_log = read_log


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with run_fake_openai() as fake:
        yield fake


@pytest.fixture(params=["own endpoint", "this backend"])
async def guide(
    request: pytest.FixtureRequest, fake: FakeOpenAI, database_url: str, tmp_path: Path
) -> AsyncIterator[Guide]:
    """The guide's server, whose ``chatkit`` is ours though the official package is there."""
    settings = {"openai_api_key": "sk-x", "openai_base_url": fake.base_url, "chatkit_alias": "true"}
    (tmp_path / "guide.py").write_text((Path(__file__).parent / "guide.py").read_text())
    if request.param == "this backend":
        replica = Replica(
            database_url, tmp_path, assistant_server="guide:ShoppingServer", **settings
        )
        await replica.start()
        async with Page(replica.url) as page:
            yield Guide(page, lambda: replica.log)
        await replica.kill()
        return
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {name.upper(): value for name, value in settings.items()}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", OWN_ENDPOINT, str(port)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{tmp_path}", **environment},
            stdout=file,
            stderr=file,
        )
    page = Page(f"http://127.0.0.1:{port}")
    page.secret = "nobody asks for it"
    try:
        await _until_listening(port, process, log)
        yield Guide(page, log.read_text)
    finally:
        process.kill()
        process.wait()
        await page.client.aclose()


async def _until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    async with httpx.AsyncClient() as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            try:
                await client.get(f"http://127.0.0.1:{port}/")
                return
            except httpx.TransportError:
                time.sleep(0.05)
    raise TimeoutError(log.read_text())


async def test_conversation_with_the_guides_server(guide: Guide, fake: FakeOpenAI) -> None:
    page = guide.page
    fake.replies.extend(
        [
            Reply(text="Hello, what do you need?"),
            Reply(tool_calls=(ToolCall("put_on_list", '{"thing": "milk"}'),)),
            Reply(text="It is on the list."),
            Reply(tool_calls=(ToolCall("show_shop"),)),
            Reply(text="Here it is."),
        ]
    )
    created = await page.create("Hi")
    assert answers(created) == ["Hello, what do you need?"]
    thread = {"thread_id": created[0]["thread"]["id"]}

    asked = await page.stream("threads.add_user_message", **thread, input=message("Milk"))
    call = asked[-1]["item"]
    assert (call["type"], call["arguments"]) == ("client_tool_call", {"thing": "milk"})

    told = await page.stream("threads.add_client_tool_output", **thread, result={"count": 1})
    assert answers(told) == ["It is on the list."]
    (output,) = [
        each for each in fake.streamed[2].body["input"] if each["type"] == "function_call_output"
    ]
    assert (output["call_id"], output["output"]) == (call["call_id"], '{"count": 1}')

    shown = await page.stream("threads.add_user_message", **thread, input=message("The shop"))
    (widget,) = [each["item"] for each in shown if each.get("item", {}).get("type") == "widget"]
    form = widget["widget"]["children"][0]
    assert form["children"][1] == {"type": "Button", "label": "Order", "submit": True}

    action = {"type": "order", "payload": {"shop": 7}}
    ordered = await page.stream(
        "threads.custom_action", **thread, item_id=widget["id"], action=action
    )
    assert answers(ordered) == ["Ordered."]
    reloaded = await page.ask("items.list", **thread, limit=20, order="desc")
    assert reloaded["data"][0]["content"][0]["text"] == "Ordered."
    assert "The user has ordered" not in str(reloaded)

    log = guide.read_log().replace('\\"', '"')
    for expected in EXPECTED_WARNINGS:
        assert log.count(expected) == 1 + (expected.startswith("the item type")), (expected, log)


async def test_composers_choice_is_where_recipes_look_for_it(
    fake: FakeOpenAI, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "guide.py").write_text((Path(__file__).parent / "guide.py").read_text())
    replica = Replica(
        database_url,
        tmp_path,
        assistant_server="guide:ShoppingServer",
        openai_api_key="sk-x",
        openai_base_url=fake.base_url,
        chatkit_alias="true",
    )
    fake.replies.extend(Reply(text="Hi") for _ in range(4))
    await replica.start()
    try:
        async with Page(replica.url) as page:
            chosen = message("Hi") | {
                "inference_options": {"tool_choice": {"id": "search"}, "model": "large"}
            }
            created = await page.stream("threads.create", input=chosen)
            assert progress(created) == "tool search, model large"
            thread = {"thread_id": created[0]["thread"]["id"]}
            message_id = created[1]["item"]["id"]
            again = await page.stream("threads.retry_after_item", **thread, item_id=message_id)
            assert progress(again) == "tool search, model large"
            plain = await page.stream("threads.add_user_message", **thread, input=message("Hi"))
            assert progress(plain) == "tool None, model None"
            body = {
                "type": "threads.add_user_message",
                "params": {**thread, "input": chosen},
                "metadata": {"tool_choice": "the page's own"},
            }
            async with page.client.stream(
                "POST", "/chatkit", json=body, headers=page.headers
            ) as response:
                events = [each async for each in EventStream(response)]
            assert progress(events) == "tool the page's own, model large"
    finally:
        await replica.kill()


def progress(events: list[dict[str, Any]]) -> str:
    """Return what the guide's server says of the composer's choice."""
    return next(each["text"] for each in events if each["type"] == "progress_update")
