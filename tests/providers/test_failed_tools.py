"""A tool that ends the run, but failed: the model hears of it and goes on."""

import pytest
from agents import RunContextWrapper, StopAtTools, function_tool

from app.assistant.server import AssistantServer
from tests.providers.checks import (
    answers,
    calls,
    check_calls_are_answered,
    check_turn,
    outputs,
    the_error,
)
from tests.providers.fake_openai import FakeOpenAI, Reply, ToolCall
from tests.support.conversation import Conversation, done_items

FAILURES = {
    "a value that is not allowed": ToolCall("switch_theme", '{"theme": "blue"}'),
    "an argument left out": ToolCall("switch_theme", "{}"),
    "an argument of a wrong kind": ToolCall("ask_user", '{"question": "?", "options": "none"}'),
    "arguments that are no JSON": ToolCall("offer_trip", '{"city": "Ro'),
    "arguments that are a list": ToolCall("offer_trip", '["Rome"]'),
    "no arguments at all": ToolCall("offer_trip", ""),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_model_hears_of_the_failure_and_answers(
    conversation: Conversation, fake: FakeOpenAI, name: str
) -> None:
    fake.replies.extend([Reply(tool_calls=(FAILURES[name],)), Reply(text="There is no such one.")])
    events = await conversation.say("blue please")
    await check_turn(conversation, events)
    assert answers(events) == ["There is no such one."]
    assert done_items(events, "client_tool_call") == []
    (told,) = outputs(fake.streamed[1]).values()
    assert "error" in told
    fake.replies.append(Reply(text="You are welcome."))
    await conversation.say("Thanks")
    check_calls_are_answered(fake.streamed[2])


async def test_run_ends_where_another_tool_waits_for_the_user(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    failing, working = FAILURES["a value that is not allowed"], ToolCall("get_browser_time")
    fake.replies.extend([Reply(tool_calls=(failing, working)), Reply(text="It is noon.")])
    events = await conversation.say("blue, and the time")
    await check_turn(conversation, events)
    (call,) = done_items(events, "client_tool_call")
    assert call["name"] == "get_browser_time"
    assert len(fake.streamed) == 1
    events = await conversation.return_tool_output("noon")
    assert answers(events) == ["It is noon."]
    told = {
        name: outputs(fake.streamed[1])[call_id] for call_id, name, _ in calls(fake.streamed[1])
    }
    assert "error" in told["switch_theme"]
    assert told["get_browser_time"] == '"noon"'


@function_tool
async def fail(context: RunContextWrapper) -> str:
    """Fail."""
    raise OSError("disk 7 of host 10.0.0.3")


@function_tool(failure_error_function=lambda context, error: "It did not work out.")
async def fail_in_its_own_words(context: RunContextWrapper) -> str:
    """Fail."""
    raise OSError


@pytest.mark.parametrize("tool", [fail, fail_in_its_own_words], ids=lambda tool: tool.name)
async def test_exception_is_a_failure_too(
    conversation: Conversation, fake: FakeOpenAI, tool
) -> None:
    server = conversation.server
    assert isinstance(server, AssistantServer)
    server.agent = server.agent.clone(tools=[tool])
    server.agent.tool_use_behavior.stop_at_tool_names.append(tool.name)
    fake.replies.extend([Reply(tool_calls=(ToolCall(tool.name),)), Reply(text="It fails.")])
    events = await conversation.say("hi")
    assert answers(events) == ["It fails."]
    (told,) = outputs(fake.streamed[1]).values()
    assert "disk" not in told


async def test_failure_is_told_where_the_sdk_ends_the_run_with_it(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    server = conversation.server
    assert isinstance(server, AssistantServer)
    server.agent = server.agent.clone(
        tools=[fail], tool_use_behavior=StopAtTools(stop_at_tool_names=["fail"])
    )
    fake.replies.append(Reply(tool_calls=(ToolCall("fail"),)))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert the_error(events)["message"] == "A tool failed: fail"
    assert the_error(events)["allow_retry"] is True
