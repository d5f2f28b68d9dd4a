"""The README's examples, run as they stand."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser

from tests.e2e.pages import CHROMIUM
from tests.e2e.replica import ROOT, Page, Replica

README = (ROOT / "README.md").read_text()
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


def example(name: str, language: str) -> str:
    """Return the code below the comment that says that it is tested."""
    pattern = rf"<!-- tested: {name} -->\n```{language}\n(.*?)```"
    found = re.search(pattern, README, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
async def test_readmes_curl_prints_an_answer(replica: Replica) -> None:
    printed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example("the curl example", "sh")],
        env={"BASE_URL": replica.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
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
            timeout=30,
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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_readmes_page_of_another_origin_keeps_its_identity(
    replica: Replica, database_url: str, tmp_path: Path, browser: Browser
) -> None:
    options = re.search(r"createChatKitFetch\((\{[^()]*sessionInit[^()]*\})\)", README)
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
