"""The examples of the README and of the pages beside the code, run as they stand."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from tests.readme.pages import ALL, example
from tests.support.browser import needs_browser
from tests.support.replica import Page, Replica, answer_text
from tests.support.waiting import PATIENCE

# Each fetch mints a session of its own: the second one knows the thread if it knows the user.
CREATE_AND_LIST = """async () => {
  const { createChatKitFetch } = await import('/web/api.js');
  const ask = async (type, params) => {
    const body = JSON.stringify({ type, params });
    const headers = { 'Content-Type': 'application/json' };
    const chatkitFetch = createChatKitFetch(OPTIONS);
    return (await chatkitFetch('URL/chatkit', { method: 'POST', headers, body })).text();
  };
  const content = [{ type: 'input_text', text: 'Hello' }];
  const input = { content, attachments: [], inference_options: {} };
  const created = await ask('threads.create', { input });
  const listed = JSON.parse(await ask('threads.list', {}));
  const first = JSON.parse(/^data: (.*)$/m.exec(created)[1]);
  return [first.thread.id, listed.data.map((thread) => thread.id)];
}"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
async def test_readmes_curl_prints_an_answer(replica: Replica) -> None:
    printed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example("the curl example", "sh")],
        env={"BASE_URL": replica.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
    kinds = re.findall(r'^data: \{"type":"([a-z_.]+)"', printed, re.MULTILINE)
    assert kinds[0] == "thread.created"
    assert kinds[-1] == "thread.item.done"


async def test_readmes_own_identity_and_server_api_work(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "myapp.py").write_text(example("an identity", "python"))
    key = "readme-server-key-0123456789"
    replica = Replica(
        database_url, tmp_path, identity="myapp:identify", server_api_keys=f"2026:{key}"
    )
    await replica.start()
    try:
        async with httpx.AsyncClient(cookies={"login": "token-of-ada"}) as known:
            assert (await known.post(f"{replica.url}/api/chatkit/session")).status_code == 200
            page = Page(replica.url)
            page.client.cookies.set("login", "token-of-ada")
            async with page:
                thread_id = (await page.create("Hello"))[0]["thread"]["id"]
        async with httpx.AsyncClient(cookies={"login": "token-of-eve"}) as unknown:
            assert (await unknown.post(f"{replica.url}/api/chatkit/session")).status_code == 401
        finished = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", example("the server API", "python")],
            env={"BASE_URL": replica.url, "SERVER_API_KEY": key},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    finally:
        await replica.kill()
    assert finished.returncode == 0, finished.stderr
    secret, *rest = finished.stdout.splitlines()
    assert secret.startswith("ck_")
    assert rest == [
        f"{thread_id} chatkit.user_message",
        f"{thread_id} chatkit.assistant_message",
    ]
    assert '"server_key": "2026"' in replica.log


async def test_pages_own_server_answers_and_titles(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "myapp.py").write_text(example("a server of your own", "python"))
    replica = Replica(database_url, tmp_path, assistant_server="myapp:MyServer")
    await replica.start()
    try:
        async with Page(replica.url) as page:
            events = await page.create("Hello there")
    finally:
        await replica.kill()
    assert events[0]["thread"]["title"] == "Hello there"
    assert "Hello there" in answer_text(events)
    assert events[-1]["type"] == "thread.item.done"


async def test_pages_form_is_filled_in_and_used_up(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "tickets.py").write_text(example("a widget and its action", "python"))
    replica = Replica(database_url, tmp_path, assistant_server="tickets:TicketServer")
    await replica.start()
    try:
        async with Page(replica.url) as page:
            events = await page.create("I have a ticket")
            thread_id = events[0]["thread"]["id"]
            (form,) = widgets_of(await page.ask("items.list", thread_id=thread_id))
            action = find_action(form["widget"])
            action["payload"]["reason"] = "solved"
            answered = await page.stream(
                "threads.custom_action", thread_id=thread_id, item_id=form["id"], action=action
            )
            (closed,) = widgets_of(await page.ask("items.list", thread_id=thread_id))
    finally:
        await replica.kill()
    assert action["type"] == "ticket.close"
    assert [each["type"] for each in answered] == ["stream_options", "thread.item.replaced"]
    field = closed["widget"]["children"][0]["children"][0]
    assert (field["defaultValue"], field["disabled"]) == ("solved", True)


def widgets_of(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the widget items of a page of items."""
    return [item for item in page["data"] if item["type"] == "widget"]


def find_action(widget: dict[str, Any]) -> dict[str, Any]:
    """Return the action of the form in a card, as the page sends it."""
    offered = widget["children"][0]["onSubmitAction"]
    return {"type": offered["type"], "payload": dict(offered["payload"])}


@needs_browser
async def test_readmes_page_of_another_origin_keeps_its_identity(
    replica: Replica, database_url: str, tmp_path: Path, browser: Browser
) -> None:
    options = re.search(r"createChatKitFetch\((\{[^()]*sessionInit[^()]*\})\)", ALL)
    assert options is not None
    given = options[1].replace("https://chat.example", "URL")
    elsewhere = Replica(database_url, tmp_path, cors_origins=replica.url)
    await elsewhere.start()
    context = await browser.new_context(bypass_csp=True)  # the page would only speak to its own
    try:
        page = await context.new_page()
        await page.goto(f"{replica.url}/healthz")
        script = CREATE_AND_LIST.replace("OPTIONS", given).replace("URL", elsewhere.url)
        created, listed = await page.evaluate(script)
    finally:
        await context.close()
        await elsewhere.kill()
    assert listed == [created]
