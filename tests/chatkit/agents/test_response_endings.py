"""The bridge: how runs end, by themselves, by failure, by guardrail, by cancellation."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from agents import (
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    OutputGuardrail,
    OutputGuardrailTripwireTriggered,
    RunContextWrapper,
    function_tool,
)

from app.chatkit.agents import AgentContext, ResponseStreamConverter, stream_agent_response
from app.chatkit.agents.tool_memory import is_tool_call
from app.chatkit.errors import CustomStreamError
from app.chatkit.protocol.events import ThreadItemDoneEvent, ThreadStreamEvent
from app.chatkit.protocol.items import HiddenContextItem, now
from tests.chatkit.agents.agent_runs import (
    THREAD_ID,
    FakeRun,
    collect,
    create_context,
    items,
    other_tasks,
    run,
    run_fake,
    shape,
    start,
    streamed_text,
)
from tests.support.scripted_model import (
    ScriptedModel,
    Step,
    call,
    error_event,
    failed,
    image,
    incomplete,
    refusal,
    text,
    turn,
)
from tests.support.scripted_outputs import reasoning


def forever() -> Any:
    """Return a step that never ends."""

    async def wait() -> None:
        await asyncio.Event().wait()

    return wait


@function_tool
async def search() -> str:
    """Search."""
    return "found"


# --- endings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("max_output_tokens", "too long"),
        ("content_filter", "content filter"),
        ("steered", "incomplete"),
        (None, "incomplete"),
    ],
)
async def test_notice_says_why_when_the_response_is_incomplete(
    reason: str | None, words: str
) -> None:
    events = await run([turn(text("Half"), ending=incomplete(reason))])
    assert shape(events)[-2:] == ["done message", "notice"]
    notice: Any = events[-1]
    assert notice.level == "warning"
    assert words in notice.message


@pytest.mark.parametrize(
    ("ending", "words", "allow_retry"),
    [
        (failed("rate_limit_exceeded"), "Too many requests", True),
        (failed("server_error"), "problem on its side", True),
        (failed("vector_store_timeout"), "too long to answer", True),
        (failed("bio_policy"), "content filter", False),
        (failed("invalid_image_url"), "images", False),
        (error_event("context_length_exceeded"), "start a new one", False),
        (error_event(None), "problem on its side", True),
    ],
)
async def test_error_is_told_in_plain_words_when_the_response_fails(
    ending: list[Step], words: str, allow_retry: bool
) -> None:
    events: list[ThreadStreamEvent] = []
    context = await create_context()
    result = start([turn(text("Half", finished=False), ending=ending)], context)
    with pytest.raises(CustomStreamError, match=words) as caught:
        await collect(events, context, result)
    assert caught.value.allow_retry is allow_retry
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is not None
    assert streamed_text(events) == "Half"
    assert not other_tasks()


async def test_text_is_streamed_before_the_error_when_the_provider_breaks_off() -> None:
    events: list[ThreadStreamEvent] = []
    context = await create_context()
    timeout = openai.APITimeoutError(request=None)  # type: ignore[arg-type] - not looked at
    model = ScriptedModel([turn(text("Half", finished=False), ending=[timeout])], paced=True)
    with pytest.raises(CustomStreamError, match="too long to answer"):
        await collect(events, context, start(model, context))
    assert streamed_text(events) == "Half"
    assert not other_tasks()


async def test_error_is_raised_as_it_is_when_it_is_no_providers() -> None:
    with pytest.raises(ZeroDivisionError):
        await run([turn(ending=[ZeroDivisionError()])])
    assert not other_tasks()


async def test_failure_is_raised_when_the_run_itself_ends_quietly() -> None:
    result = FakeRun(failed("rate_limit_exceeded"))
    with pytest.raises(CustomStreamError, match="Too many"):
        await collect([], await create_context(), result)
    assert result.is_cancelled


async def test_error_is_told_when_the_run_takes_too_many_turns() -> None:
    turns = [turn(call("search", call_id=f"c{number}")) for number in range(3)]
    with pytest.raises(CustomStreamError, match="too many steps"):
        await run(turns, tools=[search], max_turns=2)


async def test_notice_names_the_tools_when_they_wait_for_approval() -> None:
    @function_tool(needs_approval=True)
    async def delete() -> str:
        """Delete."""
        return "gone"

    steps = turn(call("delete", call_id="a"), call("delete", call_id="b"))
    events = await run([steps], tools=[delete])
    [notice] = [event for event in events if event.type == "notice"]
    assert (notice.level, notice.message) == ("info", "Waiting for approval: delete")


@pytest.mark.parametrize(
    "turns",
    [
        [turn()],
        [turn()[1:]],
        [turn(call("search")), turn()],
        [turn(call("search")), turn()[1:]],
        [turn(reasoning(["Hm"]))],
    ],
)
async def test_run_fails_when_the_model_says_nothing_at_all(turns: list[list[Step]]) -> None:
    with pytest.raises(CustomStreamError, match="problem on its side") as caught:
        await run(turns, tools=[search])
    assert caught.value.allow_retry
    assert caught.value.__cause__ is not None
    assert not other_tasks()


@pytest.mark.parametrize(
    "turns",
    [
        [turn(text(""))],
        [turn(refusal("No."))],
        [turn(image()), turn()],
    ],
)
async def test_run_ends_quietly_when_the_model_has_nothing_to_say(turns: list[list[Step]]) -> None:
    assert "error" not in shape(await run(turns, tools=[search]))


# --- cancellation --------------------------------------------------------------------------------


async def test_model_is_cancelled_when_the_stream_is_closed() -> None:
    context = await create_context()
    model = ScriptedModel([turn(text("a", finished=False), ending=[forever()])])
    result = start(model, context)
    stream = stream_agent_response(context, result)
    async for event in stream:
        if event.type == "thread.item.updated":
            break
    await stream.aclose()

    assert model.closed == 1
    assert result.is_complete
    assert not other_tasks()


async def test_model_is_cancelled_when_the_reading_task_is_cancelled() -> None:
    context = await create_context()
    model = ScriptedModel([turn(text("a", finished=False), ending=[forever()])])
    seen: list[ThreadStreamEvent] = []
    reader = asyncio.create_task(collect(seen, context, start(model, context)))
    while not streamed_text(seen):
        await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader

    assert model.closed == 1
    assert not other_tasks()


async def test_tool_is_cancelled_when_the_stream_is_closed_while_it_runs() -> None:
    ended: list[str] = []

    @function_tool
    async def slow(wrapper: RunContextWrapper[AgentContext[Any]]) -> str:
        """Take for ever."""
        await wrapper.context.stream_progress("working")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")
        return ""

    context = await create_context()
    stream = stream_agent_response(context, start([turn(call("slow"))], context, tools=[slow]))
    event = await anext(stream)
    assert event.type == "progress_update"
    await stream.aclose()
    assert ended == ["slow"]
    assert not other_tasks()


async def test_no_task_is_left_when_the_history_cannot_be_read() -> None:
    context = await create_context()
    context.thread.id = "unknown"
    with pytest.raises(Exception, match="not found"):
        await collect([], context, start([turn(ending=[forever()])], context))
    assert not other_tasks()


async def test_no_task_is_left_when_a_converter_fails() -> None:
    class Broken(ResponseStreamConverter):
        async def base64_image_to_url(self, *args: Any, **kwargs: Any) -> str:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await run([turn(image(), ending=[forever()])], converter=Broken())
    assert not other_tasks()


async def test_no_task_is_left_when_the_run_succeeds() -> None:
    await run([turn(text("Hi"))])
    assert not other_tasks()


async def test_stream_can_be_read_when_each_step_is_in_another_task() -> None:
    context = await create_context()
    model = ScriptedModel([turn(text(*"abc"))], paced=True)
    stream = stream_agent_response(context, start(model, context))
    events: list[ThreadStreamEvent] = []
    while True:
        try:
            events.append(await asyncio.create_task(anext(stream)))  # type: ignore[arg-type] - a coroutine here
        except StopAsyncIteration:
            break
    assert streamed_text(events) == "abc"
    assert not other_tasks()


async def test_stream_ends_quietly_when_the_run_is_cancelled_elsewhere() -> None:
    context = await create_context()
    result = start([turn(text("a", finished=False), ending=[forever()])], context)
    events: list[ThreadStreamEvent] = []
    async for event in stream_agent_response(context, result):
        events.append(event)
        result.cancel()
    assert not other_tasks()


async def test_model_is_cancelled_when_the_stream_is_closed_before_its_first_event() -> None:
    context = await create_context()
    model = ScriptedModel([turn(ending=[forever()])])
    stream = stream_agent_response(context, start(model, context))
    while not model.calls:
        await asyncio.sleep(0)
    await stream.aclose()
    assert model.closed == 1
    assert not other_tasks()


async def test_cancellation_is_a_failure_when_it_comes_from_within_the_run() -> None:
    with pytest.raises(RuntimeError, match="cancelled from within"):
        await run_fake([asyncio.CancelledError()])
    assert not other_tasks()


async def test_no_cyclic_garbage_is_made_when_text_streams() -> None:
    async def garbage_of(deltas: int) -> int:
        context = await create_context(chatkit_loaded_history=[])
        steps = turn(text(*["x"] * deltas))
        gc.collect()
        await collect([], context, FakeRun(steps))
        del context, steps
        return gc.collect()

    gc.disable()
    try:
        await garbage_of(1)
        assert await garbage_of(500) <= await garbage_of(1)
    finally:
        gc.enable()


# --- guardrails ----------------------------------------------------------------------------------


async def _trip(*_: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)


async def test_what_was_produced_is_removed_in_order_when_an_output_guardrail_trips() -> None:
    @function_tool
    async def note(wrapper: RunContextWrapper[AgentContext[Any]]) -> str:
        """Take a note."""
        item = HiddenContextItem(id="hid_1", thread_id=THREAD_ID, created_at=now(), content="x")
        await wrapper.context.stream(ThreadItemDoneEvent(item=item))
        return "ok"

    context = await create_context()
    turns = [
        turn(text("One", id="msg_a"), call("note", id="fc_1")),
        turn(text("Two", id="msg_b"), image(id="ig")),
    ]
    result = start(
        turns, context, tools=[note], output_guardrails=[OutputGuardrail(guardrail_function=_trip)]
    )
    events: list[ThreadStreamEvent] = []
    with pytest.raises(OutputGuardrailTripwireTriggered):
        await collect(events, context, result)
    removed = [event.item_id for event in events if event.type == "thread.item.removed"]
    image_id = next(
        item.id for item in items(events, "thread.item.added") if item.type == "generated_image"
    )
    remembered = next(
        event.item.id
        for event in events
        if event.type == "thread.item.done" and is_tool_call(event.item)
    )
    assert removed == ["msg_a", "fc_1", "hid_1", remembered, "msg_b", image_id]
    assert not other_tasks()


async def test_queued_events_are_dropped_when_a_guardrail_trips() -> None:
    context = await create_context(chatkit_loaded_history=[])
    stream = stream_agent_response(
        context,
        FakeRun(  # type: ignore[arg-type] - as much of a result as is needed
            [
                *turn(text("a", id="msg_a")),
                _tripwire(),
            ]
        ),
    )
    events: list[ThreadStreamEvent] = []
    with pytest.raises(InputGuardrailTripwireTriggered):
        async for event in stream:
            events.append(event)
    assert shape(events) == ["removed"]


def _tripwire() -> Exception:
    guardrail = InputGuardrail[Any](guardrail_function=_trip)
    return InputGuardrailTripwireTriggered(SimpleNamespace(guardrail=guardrail))  # type: ignore[arg-type] - only its guardrail is read


async def test_nothing_is_left_over_when_the_context_is_used_again() -> None:
    context = await create_context(chatkit_loaded_history=[])
    with pytest.raises(InputGuardrailTripwireTriggered):
        await collect([], context, FakeRun([*turn(text("a")), _tripwire()]))
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun([]))
    assert events == []
