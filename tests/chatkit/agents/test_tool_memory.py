"""Defect 15: the model forgot its tool calls with every turn. Here they stay in the thread."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest
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
    RememberedResponse,
    create_memory,
    is_tool_call,
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
    call = {"type": "function_call", "call_id": "call_1", "name": "tool", "arguments": arguments}
    returned = {"type": "function_call_output", "call_id": "call_1", "output": output}
    return create_memory("thr_1", RememberedResponse([call, returned]))


async def told(*items: Any) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", await ThreadItemConverter().to_agent_input(items))


async def test_long_outputs_are_cut_and_long_arguments_left_out() -> None:
    made, returned = await told(remembered("x" * (MAX_ARGUMENTS + 1), "y z " * MAX_OUTPUT))
    assert made["arguments"] == "{}"
    assert len(returned["output"]) < MAX_OUTPUT + 100
    assert str(4 * MAX_OUTPUT) in returned["output"]


@given(st.text(max_size=50), st.text(max_size=50))
async def test_call_comes_back_as_it_was(arguments: str, output: str) -> None:
    item = remembered(arguments, output)
    assert is_tool_call(item)
    made, returned = await told(item)
    assert (made["call_id"], made["arguments"]) == ("call_1", arguments)
    assert (returned["call_id"], returned["output"]) == ("call_1", output)


BASE64 = "iVBORw0KGgo" * 200


@pytest.mark.parametrize(
    ("output", "later"),
    [
        (
            [{"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}],
            "(image that you were given here)",
        ),
        (
            [
                {"type": "input_text", "text": "A cat:"},
                {"type": "input_image", "image_url": "https://example.com/cat.png"},
            ],
            "A cat:\n(image that you were given here: https://example.com/cat.png)",
        ),
        (
            [{"type": "input_file", "filename": "a.pdf", "file_data": BASE64}],
            '(file "a.pdf" that you were given here)',
        ),
        ([{"type": "input_file", "file_id": "file_1"}], "(file that you were given here: file_1)"),
        (f"data:image/png;base64,{BASE64}", f"(image/png of {len(BASE64)} characters, left out)"),
        (
            json.dumps({"image": f"data:image/jpeg;base64,{BASE64}", "n": 1}),
            f'{{"image": "(image/jpeg of {len(BASE64)} characters, left out)", "n": 1}}',
        ),
        (
            "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)),
            f"(data of {len(BASE64) + (len(BASE64) - 1) // 76} characters, left out)",
        ),
        ("word " * 1000, "word " * 1000),
    ],
)
async def test_files_that_a_tool_returned_are_a_note_later(output: Any, later: str) -> None:
    item = remembered(output=output)
    assert len(str(item.content)) < 6000
    _, returned = await told(item)
    assert returned["output"] == later


async def test_note_that_only_looks_like_a_call_says_nothing() -> None:
    for content in (
        "",
        "no JSON",
        "[]",
        "{}",
        '{"call_id": "x"}',
        '{"items": [1, {}, {"type": 2}]}',
    ):
        item = SDKHiddenContextItem(
            id="call_x", thread_id="thr_1", created_at=now(), content=content
        )
        assert await told(item) == []


async def test_call_of_the_first_version_is_still_told() -> None:
    content = {"call_id": "call_1", "name": "tool", "arguments": '{"a": 1}', "output": "done"}
    item = SDKHiddenContextItem(
        id="call_x", thread_id="thr_1", created_at=now(), content=json.dumps(content)
    )
    assert await told(item) == [
        {"type": "function_call", "call_id": "call_1", "name": "tool", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "done"},
    ]
