"""The fake provider, and conversations with it through either API."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from app.assistant.server import AssistantServer
from app.chatkit.context import RequestContext
from app.chatkit.store import AttachmentStore
from app.settings import Settings
from tests.providers.fake_openai import FakeOpenAI, Script, run_fake_openai
from tests.support.conversation import Conversation
from tests.support.memory_store import MemoryStore


@pytest.fixture(scope="session")
def running_fake() -> Iterator[FakeOpenAI]:
    """One provider for all tests."""
    with run_fake_openai() as fake:
        yield fake


@pytest.fixture
def fake(running_fake: FakeOpenAI) -> FakeOpenAI:
    """The provider, without anything scripted."""
    running_fake.reset()
    return running_fake


@pytest.fixture(params=["responses", "chat_completions"])
def model_api(request: pytest.FixtureRequest) -> str:
    """Each of the APIs."""
    return request.param


@pytest.fixture
async def converse(fake: FakeOpenAI) -> AsyncIterator[Callable[..., Conversation]]:
    """A factory of conversations with an assistant that uses the fake provider."""
    servers: list[AssistantServer] = []

    def create(
        model_api: str,
        attachments: AttachmentStore[RequestContext] | None = None,
        **values: Any,
    ) -> Conversation:
        given = {"openai_api_key": "sk-test", "openai_base_url": fake.base_url, **values}
        settings = Settings(_env_file=None, model_api=model_api, **given)  # type: ignore[call-arg]
        servers.append(AssistantServer(MemoryStore(), attachments, settings=settings))
        return Conversation(servers[-1])

    yield create
    for server in servers:
        await server.aclose()


@pytest.fixture
def conversation(converse: Callable[..., Conversation], model_api: str) -> Conversation:
    """A conversation through each of the APIs."""
    return converse(model_api)


@pytest.fixture
def play(converse: Callable[..., Conversation], fake: FakeOpenAI) -> Callable[..., Conversation]:
    """Let the provider play a script; returns a conversation through the script's API."""

    def start(script: Script, **values: Any) -> Conversation:
        fake.play(script)
        return converse(script.api, **values)

    return start
