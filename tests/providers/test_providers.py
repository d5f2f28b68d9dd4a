"""The real ``openai`` client against a provider on loopback, through both of its APIs."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.chatkit.agents.provider_errors import ERROR_TEXTS
from app.chatkit.agents.provider_errors import ProviderErrorKind as Kind
from tests.providers.fake_openai import FakeOpenAI, ReceivedRequest, Reply, ToolCall
from tests.support.conversation import Conversation, answer_text, done_items, types

BEGIN = ["thread.created", "thread.item.done(user_message)", "stream_options"]
ANSWER = [
    "thread.item.added(assistant_message)",
    "assistant_message.content_part.added",
    "assistant_message.content_part.text_delta",
    "thread.item.done(assistant_message)",
]
PART_DONE = "assistant_message.content_part.done"
"""Not in ``ANSWER``: the SDK tells the end of a part for the Responses API alone."""


def streamed_text(events: list[dict[str, Any]]) -> str:
    """Return the text as it came in deltas."""
    return "".join(event.get("update", {}).get("delta", "") for event in events)


def without_title(events: list[dict[str, Any]]) -> list[str]:
    return types([event for event in events if event["type"] != "thread.updated"])


def said(request: ReceivedRequest) -> list[tuple[str, str]]:
    """Return role and text of the messages in a request, but for the instructions."""
    pairs: list[tuple[str, str]] = []
    for each in request.body.get("input", request.body.get("messages")):
        content = each.get("content")
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        if each.get("role") not in (None, "system", "developer") and content:
            pairs.append((each["role"], content))
    return pairs


def tool_output(request: ReceivedRequest) -> str:
    """Return what the request says that the last tool returned."""
    if "input" in request.body:
        outputs = [i for i in request.body["input"] if i.get("type") == "function_call_output"]
        return outputs[-1]["output"]
    return [each for each in request.body["messages"] if each["role"] == "tool"][-1]["content"]


# --- answers -------------------------------------------------------------------------------------


async def test_text_is_streamed_and_stored(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.append(Reply(text="Hello, I am a fake model."))
    events = await conversation.say("hi")
    assert [each for each in without_title(events) if each != PART_DONE] == BEGIN + ANSWER
    assert answer_text(events) == streamed_text(events) == "Hello, I am a fake model."
    stored = await conversation.load_items()
    assert [item["type"] for item in stored] == ["user_message", "assistant_message"]


async def test_text_comes_in_pieces_when_the_model_is_slow(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(text="Warm up."), Reply(text="Hello, I am a fake.", pause=0.02)])
    await conversation.say("one")
    events = await conversation.say("two")
    assert len([event for event in events if "delta" in event.get("update", {})]) > 1
    assert answer_text(events) == streamed_text(events) == "Hello, I am a fake."


async def test_request_is_what_was_configured(
    converse: Callable[..., Conversation], fake: FakeOpenAI, model_api: str
) -> None:
    fake.replies.append(Reply(text="ok"))
    await converse(model_api, assistant_model="my-model").say("hi")
    (request,) = fake.streamed
    path = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions"}[model_api]
    assert request.path == path
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.body["model"] == "my-model"
    names = [each.get("name") or each["function"]["name"] for each in request.body["tools"]]
    assert "get_weather" in names


async def test_history_is_in_the_second_turns_input(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(text="Hello Ada."), Reply(text="It is Ada.")])
    await conversation.say("My name is Ada")
    await conversation.say("What is my name?")
    assert said(fake.streamed[1]) == [
        ("user", "My name is Ada"),
        ("assistant", "Hello Ada."),
        ("user", "What is my name?"),
    ]


async def test_second_answer_has_an_id_of_its_own(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(text="One."), Reply(text="Two.")])
    events = await conversation.say("first") + await conversation.say("second")
    first, second = done_items(events, "assistant_message")
    assert first["id"] != second["id"]
    answers = [i for i in await conversation.load_items() if i["type"] == "assistant_message"]
    assert [each["content"][0]["text"] for each in answers] == ["One.", "Two."]


async def test_id_stays_the_same_from_added_to_done(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(text="One answer."))
    events = await conversation.say("hi")
    (item,) = done_items(events, "assistant_message")
    added = [e["item"]["id"] for e in events if e["type"] == "thread.item.added"]
    updated = {e["item_id"] for e in events if e["type"] == "thread.item.updated"}
    assert added == [item["id"]]
    assert updated == {item["id"]}


async def test_reasoning_is_shown_as_a_workflow(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(reasoning="Let me think about it.", text="Done."))
    events = await conversation.say("hi")
    (item,) = done_items(events, "workflow")
    assert item["workflow"]["tasks"][0]["content"] == "Let me think about it."
    assert answer_text(events) == "Done."


async def test_refusal_is_shown_as_text(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.append(Reply(refusal="I can't help with that."))
    events = await conversation.say("hi")
    assert answer_text(events) == "I can't help with that."


# --- tools ---------------------------------------------------------------------------------------


async def test_tool_call_goes_round_and_its_widget_is_shown(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    arguments = json.dumps({"city": "Reykjavík"})
    fake.replies.extend(
        [Reply(tool_calls=(ToolCall("get_weather", arguments),)), Reply(text="Bring a coat.")]
    )
    events = await conversation.say("weather?")
    (widget,) = done_items(events, "widget")
    assert tool_output(fake.streamed[1]) == widget["copy_text"]
    assert "Reykjavík" in widget["copy_text"]
    assert answer_text(events) == "Bring a coat."


async def test_parallel_tool_calls_both_go_round(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    calls = tuple(ToolCall("get_weather", f'{{"city": "{city}"}}') for city in ("Rome", "Oslo"))
    fake.replies.extend([Reply(tool_calls=calls), Reply(text="Both are fine.")])
    events = await conversation.say("weather?")
    assert len({item["id"] for item in done_items(events, "widget")}) == 2
    assert answer_text(events) == "Both are fine."


async def test_client_tool_output_reaches_the_provider(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    arguments = '{"theme": "dark"}'
    fake.replies.extend(
        [Reply(tool_calls=(ToolCall("switch_theme", arguments),)), Reply(text="It is dark now.")]
    )
    events = await conversation.say("dark please")
    (call,) = done_items(events, "client_tool_call")
    assert call["arguments"] == {"theme": "dark"}
    assert len(fake.streamed) == 1

    events = await conversation.return_tool_output({"theme": "dark"})
    assert answer_text(events) == "It is dark now."
    assert json.loads(tool_output(fake.streamed[1])) == {"theme": "dark"}


async def test_model_is_told_when_it_called_a_tool_wrongly(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend(
        [Reply(tool_calls=(ToolCall("get_weather", '{"town": 1}'),)), Reply(text="Sorry.")]
    )
    events = await conversation.say("weather?")
    assert "error" in tool_output(fake.streamed[1])
    assert answer_text(events) == "Sorry."


# --- titles --------------------------------------------------------------------------------------


async def test_title_comes_from_the_model(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.title = "Talking to Ada"
    fake.replies.append(Reply(text="ok"))
    events = await conversation.say("My name is Ada and I want to talk")
    titles = [each["thread"]["title"] for each in events if each["type"] == "thread.updated"]
    assert titles == ["Talking to Ada"]
    (request,) = [each for each in fake.requests if not each.is_stream]
    assert ("user", "My name is Ada and I want to talk") in said(request)


async def test_title_is_the_first_words_when_the_provider_refuses(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.title = 401
    fake.replies.append(Reply(text="ok"))
    events = await conversation.say("My name is Ada")
    titles = [each["thread"]["title"] for each in events if "thread" in each]
    assert titles == ["My name is Ada"]
    assert answer_text(events) == "ok"


# --- failures ------------------------------------------------------------------------------------


def the_error(events: list[dict[str, Any]]) -> dict[str, Any]:
    (error,) = [event for event in events if event["type"] == "error"]
    return error


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_provider_error_is_told_and_the_thread_lives_on(
    conversation: Conversation, fake: FakeOpenAI, status: int
) -> None:
    fake.replies.extend([Reply(status=status), Reply(text="Back again.")])
    error = the_error(await conversation.say("hi"))
    assert "sk-test" not in json.dumps(error)
    assert answer_text(await conversation.say("again")) == "Back again."
    if conversation.server.settings.model_api == "chat_completions":
        # Strict servers refuse two messages of one role in a row.
        assert said(fake.streamed[-1]) == [("user", "hi\n\nagain")]
    else:
        assert said(fake.streamed[-1]) == [("user", "hi"), ("user", "again")]


async def test_rate_limited_request_is_repeated_as_the_provider_says(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    headers = {"x-should-retry": "true", "retry-after-ms": "1"}
    fake.replies.extend([Reply(status=429, headers=headers), Reply(text="Now.")])
    assert answer_text(await conversation.say("hi")) == "Now."
    assert len(fake.streamed) == 2


@pytest.mark.parametrize("reply", [{"broken": True}, {"failed": "server_error"}])
async def test_text_so_far_is_kept_when_the_provider_breaks_off(
    conversation: Conversation, fake: FakeOpenAI, reply: dict[str, Any]
) -> None:
    fake.replies.append(Reply(text="Half of an answer", **reply))
    events = await conversation.say("hi")
    assert the_error(events)["allow_retry"] is True
    shown = streamed_text(events)
    kept = [i for i in await conversation.load_items() if i["type"] == "assistant_message"]
    assert [each["content"][0]["text"] for each in kept] == ([shown] if shown else [])


@pytest.mark.parametrize("is_second", [False, True])
@pytest.mark.parametrize(
    "page",
    [
        ("text/html", "<html><body>Sign in</body></html>"),
        ("application/json", '{"choices": [{"message": {"content": "Hello"}}]}'),
        ("text/event-stream", ""),
        ("text/event-stream", "data: <html>\n\n"),
    ],
)
async def test_answer_that_is_no_stream_is_told(
    conversation: Conversation, fake: FakeOpenAI, page: tuple[str, str], is_second: bool
) -> None:
    call = Reply(tool_calls=(ToolCall("get_weather", '{"city": "Oslo"}'),))
    fake.replies.extend([call] * is_second + [Reply(page=page), Reply(text="Back again.")])
    events = await conversation.say("hi")
    error = the_error(events)
    assert (error["message"], error["allow_retry"]) == (ERROR_TEXTS[Kind.SERVER_ERROR], True)
    assert answer_text(await conversation.say("again")) == "Back again."


async def test_empty_answer_is_told(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.append(Reply())
    assert the_error(await conversation.say("hi"))["allow_retry"] is True


async def test_empty_answer_is_fine_behind_a_tool_that_has_shown_something(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    call = ToolCall("get_weather", '{"city": "Oslo"}')
    fake.replies.extend([Reply(tool_calls=(call,)), Reply()])
    events = await conversation.say("weather?")
    assert [event for event in events if event["type"] == "error"] == []
    assert done_items(events, "widget")


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
async def test_text_is_kept_when_the_answer_is_incomplete(
    conversation: Conversation, fake: FakeOpenAI, reason: str
) -> None:
    fake.replies.append(Reply(text="As far as I got", incomplete=reason))
    events = await conversation.say("hi")
    assert answer_text(events) == "As far as I got"
    kept = [i for i in await conversation.load_items() if i["type"] == "assistant_message"]
    assert len(kept) == 1


async def test_provider_that_is_not_there_is_told(
    converse: Callable[..., Conversation], model_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.providers.client.MAX_RETRIES", 0)
    conversation = converse(model_api, openai_base_url="http://127.0.0.1:9/v1")
    assert the_error(await conversation.say("hi"))["allow_retry"] is True


async def test_silent_provider_is_asked_once_when_the_model_times_out(
    converse: Callable[..., Conversation], fake: FakeOpenAI, model_api: str
) -> None:
    fake.replies.extend([Reply(silent=True)] * 3)
    error = the_error(await converse(model_api, model_timeout=0.3).say("hi"))
    assert error["message"] == ERROR_TEXTS[Kind.TIMEOUT]
    assert error["allow_retry"] is True
    assert len(fake.streamed) == 1
