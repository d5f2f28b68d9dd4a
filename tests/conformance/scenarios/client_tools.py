"""Tools that the page runs."""

from collections.abc import AsyncIterator
from typing import Any

from agents import FunctionTool, StopAtTools

from tests.conformance.answering import do_nothing, tool
from tests.conformance.building import done, item
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario
from tests.support.scripted_model import call, text, turn


def call_client_tool(talk: Talk, name: str, **arguments: Any) -> FunctionTool:
    """Return a tool that asks the page to do the work."""

    async def work(context: Any) -> None:
        tool_call = talk.kit.agents.ClientToolCall(name=name, arguments=arguments)
        context.client_tool_call = tool_call

    return tool(name, work)


@scenario
async def page_runs_a_client_tool(talk: Talk) -> None:
    talk.answer_by_model(
        turn(text("Wait", id="answer_1"), call("open", {"a": 1}, id="fc_1", call_id="call_1")),
        turn(call("open", {"a": 2}, id="fc_2", call_id="call_2")),
        turn(text("Thanks", id="answer_2")),
        tools=[call_client_tool(talk, "open", a=None, b=[None])],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["open"]),
    )
    await talk.say()
    await talk.send_to_thread("threads.add_client_tool_output", result={"x": None, "y": [1]})
    await talk.send_to_thread("threads.add_client_tool_output", result=None)
    await talk.send_to_thread("threads.add_client_tool_output", result="late")
    await talk.send_to_thread("items.list")


@scenario
async def client_tool_is_left_unanswered(talk: Talk) -> None:
    talk.answer_by_model(
        turn(call("open", id="fc_1")),
        turn(call("open", id="fc_2")),
        turn(text("Thanks", id="answer_1")),
        tools=[call_client_tool(talk, "open")],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["open"]),
    )
    await talk.say()
    await talk.say("Never mind")
    await talk.send_to_thread("threads.add_client_tool_output", result=1)
    await talk.send_to_thread("items.list")


@scenario
async def client_tool_call_has_no_item_id(talk: Talk) -> None:
    talk.answer_by_model(
        turn(call("open", call_id="call_1")),
        tools=[call_client_tool(talk, "open")],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["open"]),
    )
    await talk.say()


@scenario
async def client_tool_is_called_beside_another(talk: Talk) -> None:
    talk.answer_by_model(
        turn(call("open", id="fc_1"), call("work", id="fc_2")),
        tools=[call_client_tool(talk, "open"), tool("work", do_nothing)],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["open"]),
    )
    await talk.say()


@scenario
async def two_client_tools_are_called_at_once(talk: Talk) -> None:
    talk.answer_by_model(
        turn(call("open", id="fc_1"), call("close", id="fc_2")),
        turn(text("Thanks", id="answer_1")),
        tools=[call_client_tool(talk, "open"), call_client_tool(talk, "close")],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["open", "close"]),
    )
    await talk.say()
    await talk.send_to_thread("threads.add_client_tool_output", result=1)
    await talk.send_to_thread("items.list")


@scenario
async def tool_waits_for_an_approval(talk: Talk) -> None:
    waiting = tool("work", do_nothing)
    waiting.needs_approval = True
    talk.answer_by_model(turn(call("work", id="fc_1")), tools=[waiting])
    await talk.say()


@scenario
async def hidden_note_stands_behind_the_client_tool_call(talk: Talk) -> None:
    talk.answer_by_model(
        turn(call("open", id="fc_1")),
        turn(text("Thanks", id="answer_1")),
        tools=[call_client_tool(talk, "open")],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["open"]),
    )
    by_model = talk.responds[0]

    async def respond(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        async for event in by_model(thread, user_message, context):
            yield event
        if user_message is not None:
            note = item(talk.kit, "HiddenContextItem", thread, "hidden_1", content="x")
            yield done(talk.kit, note)

    talk.answer(respond)
    await talk.say()
    await talk.send_to_thread("threads.add_client_tool_output", result=1)
