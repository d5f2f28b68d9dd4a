"""The bridge: reasoning, hosted tools, images, client tool calls."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from agents import RunContextWrapper, function_tool

from app.chatkit.agents import (
    AgentContext,
    ClientToolCall,
    ResponseStreamConverter,
    stream_agent_response,
)
from app.chatkit.agents.client_tool_calls import FunctionCall, bind_client_tool_calls
from app.chatkit.errors import CustomStreamError
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.held_calls import read_held_calls
from app.chatkit.protocol.items import CustomTask, SearchTask, Task
from tests.chatkit.agents.agent_runs import (
    FakeRun,
    collect,
    create_context,
    items,
    run,
    shape,
    updates,
)
from tests.chatkit.scripted_server import ScriptedServer, say, store_with, stream, types, visible
from tests.support.scripted_model import (
    Output,
    ScriptedModel,
    call,
    code_interpreter,
    computer_call,
    failed,
    file_search,
    image,
    mcp_call,
    mcp_list_tools,
    open_reasoning,
    reasoning,
    text,
    turn,
    web_search,
)

# --- reasoning -----------------------------------------------------------------------------------


async def test_only_the_first_thought_streams_when_the_model_reasons() -> None:
    model = ScriptedModel([turn(reasoning(["Hm", "m"], ["Well", "..."]), text("Hi"))], paced=True)
    events = await run(model)
    assert shape(events)[:6] == [
        "added workflow",
        "update added",
        "update updated",
        "update updated",
        "update added",
        "done workflow",
    ]
    assert [update.task.content for update in updates(events, "task.updated")] == ["Hmm", "Hmm"]
    done = items(events)[0].workflow
    assert done.type == "reasoning"
    assert [thought.content for thought in done.tasks] == ["Hmm", "Well..."]


async def test_thoughts_get_indexes_of_their_own_when_they_are_equal() -> None:
    events = await run([turn(reasoning(["same"], ["same"], ["same"]), text("Hi"))])
    assert [update.task_index for update in updates(events, "task.added")] == [0, 1, 2]


async def test_reasoning_is_shown_when_an_open_model_sends_no_summary() -> None:
    events = await run([turn(open_reasoning("Let me ", "see"), text("Hi"))])
    assert [thought.content for thought in items(events)[0].workflow.tasks] == ["Let me see"]


async def test_summary_takes_the_place_when_reasoning_was_streaming() -> None:
    raw, summary = open_reasoning("long ", "winded"), reasoning(["short"])

    def steps(index: int) -> list[Any]:
        return [*raw.steps(index)[:2], *summary.steps(index), raw.steps(index)[2]]

    events = await run([turn(Output(summary.added, steps, summary.done), text("Hi"))])
    assert [thought.content for thought in items(events)[0].workflow.tasks] == ["short"]


async def test_reasoning_is_shown_when_its_item_was_never_announced() -> None:
    output = reasoning(["Hm"])
    output.added = None
    events = await run([turn(output, text("Hi"))])
    assert shape(events)[:2] == ["added workflow", "update added"]


async def test_thought_is_added_when_done_when_a_custom_workflow_is_open() -> None:
    context = await create_context()
    await context.add_workflow_task(CustomTask(title="Mine"))
    events = await run([turn(reasoning(["a", "b"]), text("Hi"))], context)
    assert shape(events)[:2] == ["added workflow", "update added"]
    assert updates(events, "task.added")[0].task.content == "ab"


# --- hosted tools --------------------------------------------------------------------------------


def last_tasks(events: list[ThreadStreamEvent]) -> list[Any]:
    return items(events)[0].workflow.tasks


async def test_search_is_a_task_when_the_provider_searches_the_web() -> None:
    sources = ["https://a.b/c", "https://a.b/c", "javascript:alert(1)"]
    events = await run([turn(web_search("cats", "dogs", sources=sources), text("Hi"))])
    loading = items(events, "thread.item.added")[0].workflow
    assert loading.type == "custom"
    assert loading.tasks[0].status_indicator == "loading"
    [task] = last_tasks(events)
    assert (task.type, task.status_indicator) == ("web_search", "complete")
    assert (task.title_query, task.queries) == ("cats", ["cats", "dogs"])
    assert [source.url for source in task.sources] == ["https://a.b/c"]


@pytest.mark.parametrize(
    ("output", "kind", "title"),
    [
        (file_search("terms", files=["a.pdf"]), "file", "terms"),
        (code_interpreter(), "custom", "Ran code"),
        (computer_call(), "custom", "Used the computer"),
        (mcp_call("lookup", "docs"), "custom", "docs: lookup"),
        (mcp_list_tools("docs"), "custom", "Tools of docs"),
    ],
)
async def test_hosted_tool_is_a_task_when_the_provider_runs_it(
    output: Output, kind: str, title: str
) -> None:
    context = await create_context()
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun(turn(output, text("Hi"))))
    [task] = last_tasks(events)
    assert (task.type, task.title, task.status_indicator) == (kind, title, "complete")
    assert shape(events)[:3] == ["added workflow", "update updated", "done workflow"]


@pytest.mark.parametrize(
    "output", [web_search("cats", status="failed"), mcp_call("lookup", error="no")]
)
async def test_task_is_not_complete_when_a_hosted_tool_fails(output: Output) -> None:
    events: list[ThreadStreamEvent] = []
    await collect(events, await create_context(), FakeRun(turn(output, text("Hi"))))
    [task] = last_tasks(events)
    assert task.status_indicator == "none"
    assert task.title is None or task.title.endswith("(failed)")


async def test_hosted_tools_join_the_workflow_when_the_model_reasons() -> None:
    steps = turn(reasoning(["Hm"]), web_search("cats"), web_search("cats", id="ws_2"), text("Hi"))
    events = await run([steps])
    assert [task.type for task in last_tasks(events)] == ["thought", "web_search", "web_search"]
    assert [update.task_index for update in updates(events, "task.updated")] == [0, 1, 2]


@pytest.mark.parametrize("behind", [[], [text("Hi")]])
@pytest.mark.parametrize("ending", ["completed", "none", failed("server_error")])
async def test_task_is_at_rest_when_its_hosted_tool_never_finished(
    behind: list[Output], ending: Any
) -> None:
    search = replace(web_search("cats"), done=None)
    events: list[ThreadStreamEvent] = []
    with suppress(CustomStreamError):
        steps = turn(search, *behind, ending=ending)
        await collect(events, await create_context(), FakeRun(steps))
    [update] = updates(events, "task.updated")
    assert (update.task_index, update.task.status_indicator) == (0, "none")


async def test_stored_workflow_shows_the_result_when_its_hosted_tool_finishes_behind_it() -> None:
    async def respond(thread: Any, message: Any, context: Any) -> AsyncIterator[ThreadStreamEvent]:
        run_context = AgentContext(thread=thread, store=store, request_context=context)
        steps = turn(web_search("cats"), text("Hi"), interleaved=True)
        async for event in stream_agent_response(run_context, FakeRun(steps)):  # type: ignore[arg-type] - as much of a result as is needed
            yield event

    store = await store_with()
    events = await stream(ScriptedServer(respond, store), say())
    assert types(events)[-2:] == ["workflow.task.updated", "thread.item.done"]
    [workflow] = [each for each in await visible(store) if each["type"] == "workflow"]
    [task] = workflow["workflow"]["tasks"]
    assert (task["status_indicator"], task["title_query"]) == ("complete", "cats")


async def test_hosted_tool_is_hidden_when_the_converter_says_so() -> None:
    class Quiet(ResponseStreamConverter):
        async def chatkit_hosted_tool_to_task(self, item: Any, *, done: bool) -> Task | None:
            return None if item.type == "web_search_call" else SearchTask()

    events = await run([turn(web_search("cats"), text("Hi"))], converter=Quiet())
    assert shape(events)[0] == "added message"


async def test_own_tools_stay_silent_when_the_model_calls_them() -> None:
    @function_tool
    async def search() -> str:
        """Search."""
        return "found"

    events = await run([turn(call("search", id="fc_1")), turn(text("Hi"))], tools=[search])
    assert shape(events)[0] == "added message"


# --- images --------------------------------------------------------------------------------------


async def test_image_shows_its_previews_when_it_is_generated() -> None:
    converter = ResponseStreamConverter(partial_images=2)
    steps = turn(image("UDE=", "UDI=", id="ig_1"), text("There"))
    events = await run([steps], converter=converter)
    assert shape(events)[:4] == [
        "added generated_image",
        "update updated",
        "update updated",
        "done generated_image",
    ]
    assert items(events, "thread.item.added")[0].image is None
    assert [update.progress for update in updates(events, "image.updated")] == [0.0, 0.5]
    done = items(events)[0]
    assert done.id != "ig_1"
    assert (done.image.id, done.image.url) == ("ig_1", "data:image/png;base64,RklOQUw=")


async def test_no_image_stays_pending_when_several_are_generated_at_a_time() -> None:
    context = await create_context()
    images = [image("UDE=", id="ig_1", result="QQ=="), image("UDI=", id="ig_2", result="Qg==")]
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun(turn(*images, interleaved=True)))
    added = [item.id for item in items(events, "thread.item.added")]
    assert [item.id for item in items(events)] == added
    assert [item.image.url[-4:] for item in items(events)] == ["QQ==", "Qg=="]
    assert context.generated_image_item is None


async def test_image_is_removed_with_a_notice_when_it_fails() -> None:
    events = await run([turn(image("UDE=", result=None), text("Sorry"))])
    assert shape(events)[:4] == ["added generated_image", "update updated", "removed", "notice"]


async def test_image_is_removed_when_the_response_leaves_it_unfinished() -> None:
    output = image("UDE=")
    output.done = None
    events = await run([turn(output, text("Sorry"))])
    assert shape(events)[-2:] == ["removed", "notice"]


async def test_image_has_an_id_of_its_own_when_the_provider_sends_none() -> None:
    events: list[ThreadStreamEvent] = []
    await collect(events, await create_context(), FakeRun(turn(image("UDE=", id=""))))
    [done] = items(events)
    assert done.image.id == done.id


# --- client tool calls ---------------------------------------------------------------------------


def client_tool(name: str, *, client_name: str | None = None) -> Any:
    """Return a tool of the agent that hands over to the page."""

    async def hand_over(wrapper: RunContextWrapper[AgentContext[Any]], number: int = 0) -> str:
        """Hand over."""
        wrapper.context.client_tool_call = ClientToolCall(
            name=client_name or name, arguments={"number": number}
        )
        return "ok"

    return function_tool(hand_over, name_override=name)


@function_tool
async def search() -> str:
    """Search."""
    return "found"


async def test_client_tool_call_comes_last_when_a_tool_hands_over() -> None:
    steps = turn(text("One moment"), call("pick", {"number": 1}, call_id="c1", id="fc_1"))
    events = await run([steps], tools=[client_tool("pick")], stop_at=["pick"])
    item = items(events)[-1]
    assert shape(events)[-1] == "done client_tool_call"
    assert (item.id, item.call_id, item.status) == ("fc_1", "c1", "pending")
    assert (item.name, item.arguments) == ("pick", {"number": 1})


async def test_client_tool_call_gets_an_id_when_the_providers_has_none() -> None:
    events = await run(
        [turn(call("pick", call_id="c1", id=None))], tools=[client_tool("pick")], stop_at=["pick"]
    )
    [item] = items(events)
    assert item.id.startswith("tc_")
    assert item.call_id == "c1"


async def test_client_tool_call_is_bound_by_name_when_calls_are_parallel() -> None:
    steps = turn(call("pick", call_id="c1", id="fc_1"), call("search", call_id="c2", id="fc_2"))
    events = await run([steps], tools=[client_tool("pick"), search], stop_at=["pick"])
    assert [(item.id, item.call_id) for item in items(events)] == [("fc_1", "c1")]


async def test_client_tool_call_is_bound_by_the_stopping_tool_when_names_differ() -> None:
    steps = turn(call("pick", call_id="c1"), call("search", call_id="c2"))
    tool = client_tool("pick", client_name="open_picker")
    events = await run([steps], tools=[tool, search], stop_at=["pick"])
    assert [(item.name, item.call_id) for item in items(events)] == [("open_picker", "c1")]


async def test_every_client_tool_call_is_kept_when_several_are_made_in_a_turn() -> None:
    steps = turn(
        call("pick", {"number": 1}, call_id="c1"),
        call("show", {"number": 2}, call_id="c2"),
        call("pick", {"number": 3}, call_id="c3"),
    )
    events = await run(
        [steps], tools=[client_tool("pick"), client_tool("show")], stop_at=["pick", "show"]
    )
    first, held = items(events)
    calls = read_held_calls(held)
    assert calls is not None
    pending = [first, *calls.calls]
    found = {(item.name, item.arguments["number"], item.call_id) for item in pending}
    assert found == {("pick", 1, "c1"), ("show", 2, "c2"), ("pick", 3, "c3")}


def made(name: str, call_id: str, turn: int = 1, arguments: str = "{}") -> FunctionCall:
    return FunctionCall(turn=turn, name=name, call_id=call_id, item_id="", arguments=arguments)


@pytest.mark.parametrize(
    ("calls", "function_calls", "stop_names", "expected"),
    [
        ([("a", {})], [], [], [None]),
        ([("a", {})], [made("x", "1"), made("y", "2")], [], ["2"]),
        ([("a", {})], [made("x", "1"), made("y", "2")], ["x"], ["1"]),
        ([("a", {}), ("b", {})], [made("x", "1"), made("y", "2")], [], ["1", "2"]),
        ([("a", {})], [made("a", "1"), made("a", "2", turn=2)], [], ["2"]),
        ([("a", {"n": 2})], [made("a", "1"), made("a", "2", arguments='{"n": 2}')], [], ["2"]),
        ([("a", {"n": 2})], [made("a", "1", arguments="broken"), made("b", "2")], [], ["1"]),
        ([("a", {}), ("a", {})], [made("a", "1")], [], ["1", None]),
        ([("b", {}), ("a", {})], [made("a", "1"), made("b", "2")], [], ["2", "1"]),
    ],
)
def test_function_calls_are_bound_when_client_tools_are_called(
    calls: list[Any], function_calls: list[FunctionCall], stop_names: list[str], expected: list[Any]
) -> None:
    bound = bind_client_tool_calls(
        [ClientToolCall(name=name, arguments=arguments) for name, arguments in calls],
        function_calls,
        stop_names,
    )
    assert [match.call_id if match else None for match in bound] == expected
