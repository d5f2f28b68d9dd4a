"""Servers as people bring them, served by the real process: official imports, clients of their own,
keys that stand only in ``.env``."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.chatkit.alias import is_name_taken
from tests.providers.fake_openai import FakeOpenAI, Reply, run_fake_openai
from tests.support.replica import ROOT, Page, Replica, message
from tests.test_cli import PRODUCTION, run_app

ECHO = """
from datetime import datetime

from chatkit.agents import AgentContext, ClientToolCall
from chatkit.errors import CustomStreamError
from chatkit.server import ChatKitServer
from chatkit.store import NotFoundError
from chatkit.types import AssistantMessageContent, AssistantMessageItem, ThreadItemDoneEvent


class EchoServer(ChatKitServer[dict]):
    async def respond(self, thread, input, context):
        said = "".join(part.text for part in input.content)
        if said == "fail":
            raise CustomStreamError("As asked")
        try:
            await self.store.load_item(thread.id, "nothing", context)
        except NotFoundError:
            said += " (found nothing)"
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(),
                content=[AssistantMessageContent(text=said)],
            )
        )
"""

AGENT = """
from agents import Agent, Runner
from openai import AsyncOpenAI

from app.chatkit.agents import AgentContext, simple_to_agent_input, stream_agent_response
from app.chatkit.server import ChatKitServer

client = AsyncOpenAI()  # while the module is imported, as many do


class Ported(ChatKitServer):
    agent = Agent(name="Ported", instructions="Be brief.")

    async def respond(self, thread, input_user_message, context):
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        result = Runner.run_streamed(
            self.agent, await simple_to_agent_input(input_user_message), context=agent_context
        )
        async for event in stream_agent_response(agent_context, result):
            yield event
        async with await client.responses.create(model="own", input="x", stream=True) as stream:
            async for _ in stream:
                pass
"""

Serve = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def serve(database_url: str, tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve a module's text: ``await serve(code, "Class", **settings)``."""
    replicas: list[Replica] = []

    async def start(code: str, name: str, **settings: Any) -> Replica:
        (tmp_path / "theirs.py").write_text(code)
        replica = Replica(database_url, tmp_path, assistant_server=f"theirs:{name}", **settings)
        replicas.append(replica)
        return await replica.start()

    yield start
    for replica in replicas:
        await replica.kill()


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with run_fake_openai() as fake:
        yield fake


def answers(events: list[dict[str, Any]]) -> list[str]:
    """Return the texts of the assistant's finished messages."""
    items = [each["item"] for each in events if each["type"] == "thread.item.done"]
    messages = [each for each in items if each["type"] == "assistant_message"]
    return ["".join(part["text"] for part in each["content"]) for each in messages]


async def test_server_with_official_imports_answers_when_the_alias_is_on(serve: Serve) -> None:
    replica = await serve(ECHO, "EchoServer", chatkit_alias="true")
    async with Page(replica.url) as page:
        created = await page.create("Hello")
        assert answers(created) == ["Hello (found nothing)"]
        thread_id = created[0]["thread"]["id"]
        failed = await page.stream(
            "threads.add_user_message", thread_id=thread_id, input=message("fail")
        )
        assert failed[-1] == {
            "type": "error",
            "code": "custom",
            "message": "As asked",
            "allow_retry": False,
        }
    assert "Assistant: theirs:EchoServer" in replica.log


async def test_official_classes_are_explained_when_the_alias_is_off(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "theirs.py").write_text(ECHO)
    variables = {"DATABASE_URL": database_url, "ASSISTANT_SERVER": "theirs:EchoServer"}
    ended = await run_app(tmp_path, "serve", **variables, CHATKIT_ALIAS="false")
    assert ended.code == 2
    (line,) = ended.errors.splitlines()
    assert line.startswith("error: ASSISTANT_SERVER: 'theirs:EchoServer' is made of the official")
    assert "CHATKIT_ALIAS=true" in line


WITHOUT_OFFICIAL = """
import sys
sys.path[:0] = ["{root}", "{packages}"]
from app.assistant_loading import load_assistant
from app.settings import Settings
factory = load_assistant(Settings(_env_file=None, assistant_server="theirs:EchoServer"))
import chatkit, chatkit.agents, chatkit.server, chatkit.types, chatkit.version
import app.chatkit, app.chatkit.agents, app.chatkit.server, app.chatkit.types
assert chatkit is app.chatkit
assert chatkit.server is app.chatkit.server
assert chatkit.agents is app.chatkit.agents
assert chatkit.types.UserMessageItem is app.chatkit.types.UserMessageItem
assert issubclass(factory.create, app.chatkit.server.ChatKitServer)
print(chatkit.__name__)
"""


def test_alias_is_on_by_itself_where_the_official_package_is_not_installed(tmp_path: Path) -> None:
    """The packages of this environment, but for the official one."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith(("chatkit", "openai_chatkit")):
            (packages / each.name).symlink_to(each)
    (tmp_path / "theirs.py").write_text(ECHO)
    code = WITHOUT_OFFICIAL.format(root=ROOT, packages=packages)
    printed = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == "app.chatkit\n"


def test_name_is_free_where_there_is_but_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatkit").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [each for each in sys.modules if each.partition(".")[0] == "chatkit"]:
        monkeypatch.delitem(sys.modules, name)
    assert not is_name_taken()
    (tmp_path / "chatkit" / "__init__.py").touch()
    assert is_name_taken()


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_api", ["responses", "chat_completions"])
async def test_key_that_stands_only_in_the_env_file_reaches_ported_code(
    serve: Serve, fake: FakeOpenAI, tmp_path: Path, model_api: str
) -> None:
    (tmp_path / ".env").write_text(
        f"OPENAI_API_KEY=sk-from-the-file\nOPENAI_BASE_URL={fake.base_url}\n"
        f"MODEL_API={model_api}\nASSISTANT_MODEL=the-model\n"
    )
    fake.replies.extend([Reply(text="Hi"), Reply(text="ignored")])
    replica = await serve(AGENT, "Ported")
    async with Page(replica.url) as page:
        events = await page.create("Hello")
        assert answers(events) == ["Hi"]
    agent, own = fake.streamed
    assert agent.path.endswith(model_api.replace("_", "/"))
    assert agent.body["model"] == "the-model"
    assert {each.headers["authorization"] for each in fake.streamed} == {"Bearer sk-from-the-file"}
    assert own.body["model"] == "own"


async def test_production_asks_for_a_key_only_where_an_assistant_of_ours_needs_one(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "theirs.py").write_text(
        ECHO.replace("chatkit.", "app.chatkit.")
        + "from app.assistant.server import AssistantServer\n\n\n"
        "class OfOurs(AssistantServer): ...\n"
    )
    (tmp_path / "who.py").write_text("async def identify(request): ...\n")
    variables = {
        **PRODUCTION,
        "IDENTITY": "who:identify",
        "DATABASE_URL": database_url,
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }
    del variables["OPENAI_API_KEY"]
    outcomes = {
        name: await run_app(tmp_path, "doctor", **variables, ASSISTANT_SERVER=name)
        for name in ("theirs:EchoServer", "theirs:OfOurs", "app.assistant.server:AssistantServer")
    }
    theirs, ours, builtin = outcomes.values()
    assert theirs.code == 0, theirs.output
    assert "ok    assistant: theirs:EchoServer answers" in theirs.output
    assert "ok    model: " in theirs.output
    assert "fail  assistant: APP_ENV=production refuses: OPENAI_API_KEY" in ours.output
    assert "fail  settings: APP_ENV=production refuses: OPENAI_API_KEY" in builtin.output


@pytest.mark.parametrize(
    ("constructor", "problem"),
    [
        ("def __init__(self, store, files, agent): ...", "takes (store, files, agent); it must"),
        ("def __init__(self, store): raise ValueError('no luck')", "ValueError: no luck (theirs"),
    ],
)
async def test_what_is_wrong_with_a_server_is_one_line_for_serve_and_for_doctor(
    tmp_path: Path, database_url: str, constructor: str, problem: str
) -> None:
    code = ECHO.replace("chatkit.", "app.chatkit.") + f"\n    {constructor}\n"
    (tmp_path / "theirs.py").write_text(code)
    variables = {"DATABASE_URL": database_url, "ASSISTANT_SERVER": "theirs:EchoServer"}
    served = await run_app(tmp_path, "serve", **variables)
    assert served.code == 2
    (line,) = served.errors.splitlines()
    assert line.startswith("error: ASSISTANT_SERVER: 'theirs:EchoServer'")
    assert problem in line
    looked_at = await run_app(tmp_path, "doctor", **variables)
    (failed,) = [each for each in looked_at.output.splitlines() if each.startswith("fail")]
    assert failed.startswith("fail  assistant: ASSISTANT_SERVER: ")
    assert problem in failed
