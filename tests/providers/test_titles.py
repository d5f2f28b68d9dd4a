"""Titles on their way from a provider, through both APIs."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.providers.fake_openai import FakeOpenAI, ReceivedRequest, Reply, ToolCall
from tests.providers.scripts import refusal
from tests.support.conversation import Conversation, answer_text

Start = Callable[..., Conversation]


def title_requests(fake: FakeOpenAI) -> list[ReceivedRequest]:
    return [each for each in fake.requests if not each.is_stream]


def titles(events: list[dict[str, Any]]) -> list[str]:
    return [each["thread"]["title"] for each in events if each["type"] == "thread.updated"]


async def stored_title(conversation: Conversation) -> str:
    return (await conversation.ask("threads.get_by_id", thread_id=conversation.thread_id))["title"]


async def test_answer_comes_first_where_a_server_has_one_slot(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.has_one_slot = True
    fake.title = "Talking to Ada"
    fake.replies.append(Reply(text="Hello."))
    events = await conversation.say("My name is Ada and I want to talk")
    assert [each.is_stream for each in fake.requests] == [True, False]
    kinds = [each["type"] for each in events]
    assert kinds.index("thread.updated") > kinds.index("thread.item.added")
    assert kinds[-1] == "thread.updated"
    assert titles(events) == ["Talking to Ada"]


async def test_slow_title_comes_behind_the_end_of_the_stream(
    conversation: Conversation, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.assistant.titles.TITLE_GRACE", 0.01)
    fake.title, fake.title_delay = "Talking to Ada", 0.3
    fake.replies.append(Reply(text="Hello."))
    events = await conversation.say("My name is Ada")
    assert titles(events) == []
    assert await stored_title(conversation) == "My name is Ada"
    while await stored_title(conversation) != "Talking to Ada":
        await asyncio.sleep(0.01)


async def test_title_is_asked_for_when_the_page_has_answered(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    call = ToolCall("switch_theme", '{"theme": "dark"}')
    fake.replies.extend([Reply(tool_calls=(call,)), Reply(text="It is dark.")])
    await conversation.say("Dark, please, and quickly")
    assert title_requests(fake) == []
    events = await conversation.return_tool_output({"theme": "dark"})
    assert answer_text(events) == "It is dark."
    assert titles(events) == ["A fake title"]
    assert "Dark, please, and quickly" in json.dumps(title_requests(fake)[0].body)


async def test_title_is_not_asked_for_when_there_was_no_answer(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(status=401))
    await conversation.say("My name is Ada")
    assert title_requests(fake) == []
    assert await stored_title(conversation) == "My name is Ada"


async def test_title_is_asked_for_once(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.title = "<think>no title</think>"
    fake.replies.extend([Reply(text="Hello.")] * 2)
    await conversation.say("My name is Ada")
    await conversation.say("My name is still Ada")
    assert len(title_requests(fake)) == 1
    assert await stored_title(conversation) == "My name is Ada"


async def test_title_is_written_by_its_own_model_in_a_few_tokens(
    converse: Start, model_api: str, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(text="Hello."))
    conversation = converse(model_api, assistant_model="large", title_model="small")
    await conversation.say("My name is Ada")
    (request,) = title_requests(fake)
    assert request.body["model"] == "small"
    limit = {"responses": "max_output_tokens", "chat_completions": "max_tokens"}[model_api]
    assert 16 <= request.body[limit] <= 256
    assert "tools" not in request.body or not request.body["tools"]


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        "max_output_tokens: Extra inputs are not permitted",
    ],
)
async def test_title_is_written_without_a_limit_where_that_is_refused(
    conversation: Conversation, fake: FakeOpenAI, words: str
) -> None:
    def refuse(body: dict[str, Any]) -> Any:
        is_limited = any(name.startswith("max_") for name in body)
        return refusal(400, {"error": {"message": words}}) if is_limited else None

    fake.rules.append(refuse)
    fake.title = "Talking to Ada"
    fake.replies.append(Reply(text="Hello."))
    assert titles(await conversation.say("My name is Ada")) == ["Talking to Ada"]


async def test_no_title_is_asked_for_when_titles_are_off(
    converse: Start, model_api: str, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(text="Hello."))
    conversation = converse(model_api, titles=False)
    events = await conversation.say("My name is Ada")
    assert title_requests(fake) == []
    assert titles(events) == []
    assert await stored_title(conversation) == "My name is Ada"
