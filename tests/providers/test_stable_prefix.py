"""Each request begins with exactly what was sent before, so that prompt caches hold.

Compared are the bodies of every two requests in a row, within a turn and from turn to turn. On
purpose, and tested elsewhere, this does not hold for:

- images and files that a tool returned, which are a note in later turns; and what else it returned
  beyond ``MAX_OUTPUT`` characters;
- images and files that were left out since the model refused them;
- a card, a form or a question that has changed since the model was told of it;
- what an @-mention stands for, where the converter looks it up anew;
- history that was left out at the front (``HISTORY_ITEMS``, files beyond their budget);
- reasoning that a provider keeps by an id alone, and what its own tools did;
- Chat Completions: a message that got no answer, which the next one is joined to.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from agents import RunContextWrapper, function_tool

from tests.providers.fake_openai import FakeOpenAI, ReceivedRequest, Reply, ToolCall
from tests.support.conversation import Conversation, answer_text, done_items

Start = Callable[..., Conversation]

WEATHER = ToolCall("get_weather", '{ "city": "Reykjavík" }')
DARK = ToolCall("switch_theme", '{"theme":"dark"}')


def sent(request: ReceivedRequest) -> list[dict[str, Any]]:
    """Return what a request tells the model, its instructions first."""
    body = request.body
    if "messages" in body:
        return body["messages"]
    return [{"role": "system", "content": body["instructions"]}, *body["input"]]


def check_prefixes(fake: FakeOpenAI) -> None:
    """Check that every request begins with the whole of the one before, and offers the same."""
    for before, after in zip(fake.streamed, fake.streamed[1:], strict=False):
        earlier, later = sent(before), sent(after)
        assert later[: len(earlier)] == earlier, json.dumps([earlier, later], indent=1)
        assert len(later) > len(earlier)
        assert before.body["tools"] == after.body["tools"]


def check_rules(fake: FakeOpenAI) -> None:
    """Check what the strictest servers ask of a history."""
    for request in fake.streamed:
        waiting: list[str] = []
        before = ""
        for each in sent(request):
            role = each.get("role") or each["type"]
            if role in ("function_call_output", "tool"):
                waiting.remove(each.get("call_id") or each["tool_call_id"])
            elif role == "function_call":
                waiting.append(each["call_id"])
            elif role == "user":
                assert waiting == []
            waiting += [call["id"] for call in each.get("tool_calls", [])]
            if "messages" in request.body:
                assert role != before or role == "tool"
                assert (before, role) not in (("tool", "user"), ("system", "assistant"))
            before = role
        assert waiting == []


async def finish(conversation: Conversation, fake: FakeOpenAI) -> None:
    """Say something twice more, and check all requests."""
    fake.replies.extend([Reply(text="You are welcome."), Reply(text="Bye.")])
    assert answer_text(await conversation.say("Thanks")) == "You are welcome."
    assert answer_text(await conversation.say("That is all")) == "Bye."
    assert not fake.replies
    check_prefixes(fake)
    check_rules(fake)


async def test_text(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.append(Reply(text="Hello."))
    await conversation.say("Hi")
    await finish(conversation, fake)


@pytest.mark.parametrize("text", ["", "One moment."])
async def test_tool_that_shows_a_card(
    conversation: Conversation, fake: FakeOpenAI, text: str
) -> None:
    fake.replies.extend([Reply(text=text, tool_calls=(WEATHER,)), Reply(text="Bring a coat.")])
    events = await conversation.say("Weather?")
    assert done_items(events, "widget")
    await finish(conversation, fake)
    last = json.dumps(sent(fake.streamed[-1]), ensure_ascii=False)
    assert last.count("In Reykjavík it is") == 2  # what the tool returned, and the card
    assert last.count("One moment.") == bool(text)


async def test_tools_one_after_the_other(conversation: Conversation, fake: FakeOpenAI) -> None:
    oslo = ToolCall("get_weather", '{"city": "Oslo"}')
    fake.replies.extend(
        [
            Reply(text="First Reykjavík.", tool_calls=(WEATHER,)),
            Reply(text="Then Oslo.", tool_calls=(oslo,)),
            Reply(text="Both are cold."),
        ]
    )
    await conversation.say("Weather?")
    await finish(conversation, fake)


async def test_tools_at_the_same_time(conversation: Conversation, fake: FakeOpenAI) -> None:
    oslo = ToolCall("get_weather", '{"city": "Oslo"}')
    fake.replies.extend([Reply(tool_calls=(WEATHER, oslo)), Reply(text="Both are cold.")])
    await conversation.say("Weather?")
    await finish(conversation, fake)


async def test_tool_that_was_called_wrongly(conversation: Conversation, fake: FakeOpenAI) -> None:
    wrong = ToolCall("get_weather", '{"town": 1}')
    fake.replies.extend([Reply(tool_calls=(wrong,)), Reply(text="Where do you mean?")])
    await conversation.say("Weather?")
    await finish(conversation, fake)


@pytest.mark.parametrize("text", ["", "Lights out."])
async def test_client_tool(conversation: Conversation, fake: FakeOpenAI, text: str) -> None:
    fake.replies.extend([Reply(text=text, tool_calls=(DARK,)), Reply(text="It is dark.")])
    await conversation.say("Dark")
    await conversation.return_tool_output({"theme": "dark", "größe": "ü"})
    await finish(conversation, fake)
    told = json.dumps(sent(fake.streamed[-1]))
    assert told.count(json.dumps(DARK.arguments)) == 1


async def test_client_tool_behind_a_tool(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.extend(
        [Reply(tool_calls=(WEATHER,)), Reply(tool_calls=(DARK,)), Reply(text="It is dark.")]
    )
    await conversation.say("Weather, then dark")
    await conversation.return_tool_output({"theme": "dark"})
    await finish(conversation, fake)


async def test_client_tool_beside_a_tool(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.extend([Reply(tool_calls=(WEATHER, DARK)), Reply(text="It is dark.")])
    await conversation.say("Weather and dark")
    await conversation.return_tool_output({"theme": "dark"})
    await finish(conversation, fake)


async def test_client_tool_that_nobody_answers(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(tool_calls=(DARK,)))
    await conversation.say("Dark")
    await finish(conversation, fake)
    assert "without answering" in json.dumps(sent(fake.streamed[-1]))


async def test_questions_to_the_user(conversation: Conversation, fake: FakeOpenAI) -> None:
    ask = ToolCall("ask_user", '{"question": "How?", "options": ["Train", "Boat"]}')
    fake.replies.extend([Reply(tool_calls=(ask,)), Reply(text="By boat, then.")])
    (item,) = done_items(await conversation.say("A trip"), "structured_input")
    await conversation.answer_questions(item["id"], {"question": ["Boat"]})
    await finish(conversation, fake)
    assert "Boat" in json.dumps(sent(fake.streamed[1])[-1])


async def test_questions_that_nobody_answers(conversation: Conversation, fake: FakeOpenAI) -> None:
    ask = ToolCall("ask_user", '{"question": "How?", "options": []}')
    fake.replies.append(Reply(tool_calls=(ask,)))
    await conversation.say("A trip")
    await finish(conversation, fake)


async def test_form_and_its_action(conversation: Conversation, fake: FakeOpenAI) -> None:
    offer = ToolCall("offer_trip", '{"city": "Oslo"}')
    fake.replies.extend([Reply(tool_calls=(offer,)), Reply(text="I will book it.")])
    (form,) = done_items(await conversation.say("A trip to Oslo"), "widget")
    action = {"type": "trip.request", "payload": {"city": "Oslo", "by": "train"}}
    events = await conversation.stream(
        "threads.custom_action",
        thread_id=conversation.thread_id,
        item_id=form["id"],
        action=action,
    )
    assert answer_text(events) == "I will book it."
    await finish(conversation, fake)


async def test_button_that_is_pressed_later(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.extend([Reply(tool_calls=(WEATHER,)), Reply(text="Bring a coat.")])
    (card,) = done_items(await conversation.say("Weather?"), "widget")
    button = next(
        each for each in card["widget"]["children"][-1]["children"] if each["label"] == "Star"
    )
    await conversation.ask(
        "threads.sync_custom_action",
        thread_id=conversation.thread_id,
        item_id=card["id"],
        action=button["onClickAction"],
    )
    await finish(conversation, fake)
    assert "starred" in json.dumps(sent(fake.streamed[-1]))


async def test_tool_behind_a_quote(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.extend([Reply(tool_calls=(WEATHER,)), Reply(text="Cold.")])
    message = {
        "content": [
            {"type": "input_text", "text": "Weather in "},
            {"type": "input_tag", "id": "1", "text": "Iceland", "data": {"code": "IS"}},
        ],
        "attachments": [],
        "quoted_text": "a passage",
        "inference_options": {},
    }
    events = await conversation.stream("threads.create", input=message)
    conversation.thread_id = events[0]["thread"]["id"]
    await finish(conversation, fake)


async def test_turn_that_fails_behind_a_tool(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.extend([Reply(tool_calls=(WEATHER,)), Reply(status=401)])
    await conversation.say("Weather?")
    await finish(conversation, fake)


async def test_turn_that_breaks_off_behind_a_tool(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(tool_calls=(WEATHER,)), Reply(text="Bring a", broken=True)])
    await conversation.say("Weather?")
    await finish(conversation, fake)


async def test_answer_that_is_stopped(conversation: Conversation, fake: FakeOpenAI) -> None:
    fake.replies.extend([Reply(tool_calls=(WEATHER,)), Reply(text="word " * 500, pause=0.02)])
    stream = await conversation.start_saying("Weather?")
    async for event in stream:
        if event["type"] == "thread.created":
            conversation.thread_id = event["thread"]["id"]
        if event.get("item", {}).get("type") == "assistant_message":
            break
    await stream.aclose()
    await finish(conversation, fake)
    assert "stopped the previous response" in json.dumps(sent(fake.streamed[-1]))


async def test_tool_that_is_stopped(converse: Start, model_api: str, fake: FakeOpenAI) -> None:
    @function_tool
    async def wait_for_ever(call: RunContextWrapper[Any]) -> str:
        """Wait."""
        await call.context.stream_progress("Waiting")
        await asyncio.Event().wait()
        return "never"

    conversation = converse(model_api)
    conversation.server.agent.tools.append(wait_for_ever)
    try:
        fake.replies.append(Reply(text="I wait.", tool_calls=(ToolCall("wait_for_ever"),)))
        stream = await conversation.start_saying("Wait")
        async for event in stream:
            if event["type"] == "thread.created":
                conversation.thread_id = event["thread"]["id"]
            if event["type"] == "progress_update":
                break
        await stream.aclose()
        await finish(conversation, fake)
    finally:
        conversation.server.agent.tools.remove(wait_for_ever)
    assert "wait_for_ever" in json.dumps(sent(fake.streamed[-1]))


async def test_tool_that_needs_approval(converse: Start, model_api: str, fake: FakeOpenAI) -> None:
    @function_tool(needs_approval=True)
    async def delete_everything() -> str:
        """Delete everything."""
        return "deleted"

    conversation = converse(model_api)
    conversation.server.agent.tools.append(delete_everything)
    try:
        calls = (ToolCall("delete_everything"), WEATHER)
        fake.replies.append(Reply(text="Really?", tool_calls=calls))
        await conversation.say("Delete it all")
        await finish(conversation, fake)
    finally:
        conversation.server.agent.tools.remove(delete_everything)
