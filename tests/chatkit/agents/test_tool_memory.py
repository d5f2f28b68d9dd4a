"""Defect 15: the model forgot its tool calls with every turn. Here they stay in the thread."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from agents import Agent, RunConfig, RunContextWrapper, Runner, function_tool
from agents.agent import StopAtTools
from hypothesis import given
from hypothesis import strategies as st

from app.chatkit.agents import (
    AgentContext,
    ClientToolCall,
    ThreadItemConverter,
    stream_agent_response,
)
from app.chatkit.agents.tool_memory import (
    MAX_ARGUMENTS,
    MAX_OUTPUT,
    is_tool_call,
    read_call_id,
    remember_tool_call,
    tool_call_to_input,
)
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import SDKHiddenContextItem, ThreadMetadata, now
from app.chatkit.server import ChatKitServer, NonStreamingResult
from tests.support.conversation import Conversation
from tests.support.memory_store import MemoryStore
from tests.support.scripted_model import ScriptedModel, Step, call, text, turn

Context = RunContextWrapper[AgentContext[RequestContext]]


@function_tool
async def look_up(wrapper: Context, city: str) -> str:
    """Look a city up."""
    return f"{city}: 21 degrees"


@function_tool
async def ask_page(wrapper: Context) -> str:
    """Ask the page."""
    wrapper.context.client_tool_call = ClientToolCall(name="ask_page", arguments={})
    return ""


class ToolServer(ChatKitServer[RequestContext]):
    """Plays a script with two tools, on the whole thread each time."""

    def __init__(self, turns: list[list[Step]]) -> None:
        super().__init__(MemoryStore())
        self.model = ScriptedModel(turns)
        self.agent = Agent[Any](
            name="test",
            model=self.model,
            tools=[look_up, ask_page],
            tool_use_behavior=StopAtTools(stop_at_tool_names=["ask_page"]),
        )

    async def respond(
        self, thread: ThreadMetadata, input_user_message: Any, context: RequestContext
    ) -> AsyncIterator[ThreadStreamEvent]:
        page = await self.store.load_thread_items(thread.id, None, 100, "desc", context)
        history = page.data[::-1]
        agent_context = AgentContext[RequestContext](
            thread=thread,
            store=self.store,
            request_context=context,
            chatkit_loaded_history=history,
        )
        result = Runner.run_streamed(
            self.agent,
            await ThreadItemConverter().to_agent_input(history),
            context=agent_context,
            run_config=RunConfig(tracing_disabled=True),
        )
        async with aclosing(stream_agent_response(agent_context, result)) as events:
            async for event in events:
                yield event


def calls_in(model_input: Any) -> list[tuple[str, str, str]]:
    """Return the tool calls and outputs that a model was told, in order."""
    return [
        (each["type"], each["call_id"], each.get("output") or each["arguments"])
        for each in model_input
        if each.get("type") in {"function_call", "function_call_output"}
    ]


async def test_calls_and_outputs_are_told_again_in_the_next_turn() -> None:
    asked = {"city": "Rome"}
    server = ToolServer(
        [
            turn(text("One moment"), call("look_up", asked, call_id="call_1")),
            turn(text("It is warm.")),
            turn(text("As I said.")),
        ]
    )
    talk = Conversation(server)
    await talk.say("How warm is it in Rome?")
    await talk.say("Say it again")
    told = server.model.calls[-1].input
    assert calls_in(told) == [
        ("function_call", "call_1", json.dumps(asked)),
        ("function_call_output", "call_1", "Rome: 21 degrees"),
    ]
    kinds = [each.get("role") or each["type"] for each in told]
    assert kinds == [
        *("user", "assistant", "function_call", "function_call_output"),
        *("assistant", "user"),
    ]


async def test_client_sees_nothing_of_remembered_calls() -> None:
    asked = {"city": "Rome"}
    server = ToolServer([turn(call("look_up", asked)), turn(text("Warm."))])
    talk = Conversation(server)
    events = await talk.say("How warm is it in Rome?")
    assert "21 degrees" not in json.dumps(events)
    for request_type in ("items.list", "threads.get_by_id"):
        body = json.dumps({"type": request_type, "params": {"thread_id": talk.thread_id}})
        page = await server.process(body, talk.context)
        assert isinstance(page, NonStreamingResult)
        assert b"21 degrees" not in page.json


async def test_call_that_the_page_answers_is_told_once() -> None:
    server = ToolServer([turn(call("ask_page", call_id="call_1")), turn(text("Thanks"))])
    talk = Conversation(server)
    await talk.say("Ask the page")
    await talk.return_tool_output({"answer": 42})
    told = calls_in(server.model.calls[-1].input)
    assert [each[:2] for each in told] == [
        ("function_call", "call_1"),
        ("function_call_output", "call_1"),
    ]
    assert json.loads(told[1][2]) == {"answer": 42}


async def test_retry_forgets_the_calls_of_the_answer_that_it_replaces() -> None:
    asked = {"city": "Rome"}
    server = ToolServer(
        [
            turn(call("look_up", asked)),
            turn(text("Warm.")),
            turn(text("Cold, I guess.")),
        ]
    )
    talk = Conversation(server)
    events = await talk.say("How warm is it in Rome?")
    message_id = next(each["item"]["id"] for each in events if each["type"] == "thread.item.done")
    params = {"thread_id": talk.thread_id, "item_id": message_id}
    await talk.stream("threads.retry_after_item", **params)
    assert calls_in(server.model.calls[-1].input) == []


def remembered(arguments: str = "{}", output: Any = "") -> SDKHiddenContextItem:
    return remember_tool_call(
        "thr_1", call_id="call_1", name="tool", arguments=arguments, output=output
    )


def outputs(items: Sequence[Any]) -> list[str]:
    return [each["output"] for each in items if each["type"] == "function_call_output"]


def test_long_outputs_are_cut_and_long_arguments_left_out() -> None:
    long = remembered("x" * (MAX_ARGUMENTS + 1), "y" * (MAX_OUTPUT + 1))
    made, returned = tool_call_to_input(long)
    assert made["arguments"] == "{}"  # type: ignore[typeddict-item]
    assert len(returned["output"]) < MAX_OUTPUT + 100  # type: ignore[typeddict-item,arg-type]
    assert str(MAX_OUTPUT + 1) in outputs([returned])[0]


@given(st.text(max_size=50), st.text(max_size=50) | st.lists(st.integers()))
def test_call_comes_back_as_it_was(arguments: str, output: Any) -> None:
    item = remembered(arguments, output)
    assert is_tool_call(item)
    assert read_call_id(item) == "call_1"
    made, returned = tool_call_to_input(item)
    assert made["arguments"] == (arguments or "{}")  # type: ignore[typeddict-item]
    assert outputs([returned]) == [output if isinstance(output, str) else json.dumps(output)]


def test_note_that_only_looks_like_a_call_says_nothing() -> None:
    for content in ("", "no JSON", "[]", "{}", '{"call_id": "x"}'):
        item = SDKHiddenContextItem(
            id="call_x", thread_id="thr_1", created_at=now(), content=content
        )
        assert tool_call_to_input(item) == []
