"""A tool that the composer forces is used, also by a server that heeds no names."""

from collections.abc import Callable

import pytest
from agents import Agent, ModelSettings, handoff

from app.providers.openai_models import offer_forced_tool
from tests.providers.checks import answers, check_turn
from tests.providers.fake_openai import FakeOpenAI, Reply, ToolCall
from tests.providers.scripts import call, chat, llamacpp
from tests.support.conversation import Conversation, done_items

TRIP = {"tool_choice": {"id": "offer_trip"}}


def names(body: dict) -> list[str]:
    return [each.get("name") or each["function"]["name"] for each in body["tools"]]


async def test_forced_tool_is_all_that_is_offered(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(tool_calls=(ToolCall("offer_trip", '{"city": "Rome"}'),))])
    events = await conversation.say("Rome", inference_options=TRIP)
    await check_turn(conversation, events)
    assert done_items(events, "widget")
    (request,) = fake.streamed
    assert (names(request.body), request.body["tool_choice"]) == (["offer_trip"], "required")


async def test_trip_form_comes_of_a_server_that_heeds_no_names(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    form = chat(call("offer_trip", '{"city": "Rome"}', id="a"))
    conversation = play(llamacpp.ignore_named_choice(form, chat("Rome is nice.")))
    events = await conversation.say("Rome", inference_options=TRIP)
    await check_turn(conversation, events)
    assert done_items(events, "widget")
    assert answers(events) == []


async def test_everything_is_offered_once_the_tool_was_used(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    weather = {"tool_choice": {"id": "get_weather"}}
    asks = Reply(tool_calls=(ToolCall("get_weather", '{"city": "Rome"}'),))
    fake.replies.extend([asks, Reply(text="Nice.")])
    events = await conversation.say("Rome", inference_options=weather)
    assert answers(events) == ["Nice."]
    assert len(names(fake.streamed[1].body)) > 1
    assert fake.streamed[1].body.get("tool_choice", "auto") == "auto"


async def test_everything_is_offered_when_nothing_is_forced(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.append(Reply(text="Nice."))
    await conversation.say("Rome", inference_options={"tool_choice": {"id": "no_such_tool"}})
    assert len(names(fake.streamed[0].body)) > 1


@pytest.mark.parametrize("choice", [None, "auto", "required", "none", "no_such_tool"])
def test_other_choices_are_left_alone(choice):
    settings = ModelSettings(tool_choice=choice)
    assert offer_forced_tool(settings, [], []) == (settings, [], [])


def test_forced_handoff_is_all_that_is_offered():
    other = handoff(Agent(name="Other"))
    settings, tools, handoffs = offer_forced_tool(
        ModelSettings(tool_choice=other.tool_name, temperature=0.5),
        [],
        [handoff(Agent(name="Third")), other],
    )
    assert (settings.tool_choice, settings.temperature) == ("required", 0.5)
    assert (tools, handoffs) == ([], [other])
