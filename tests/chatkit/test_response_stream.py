"""The bridge: messages, ids, failures, cancellation."""

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
from app.chatkit.errors import CustomStreamError
from app.chatkit.events import ProgressUpdateEvent, ThreadItemDoneEvent, ThreadStreamEvent
from app.chatkit.items import AssistantMessageItem, HiddenContextItem, now
from tests.chatkit.agent_runs import (
    THREAD_ID,
    FakeRun,
    collect,
    create_context,
    items,
    other_tasks,
    run,
    shape,
    start,
    streamed_text,
    updates,
)
from tests.scripted_model import (
    ScriptedModel,
    Step,
    call,
    chat_text,
    error_event,
    failed,
    image,
    incomplete,
    refusal,
    text,
    turn,
)

URL = {"type": "url_citation", "url": "https://a.b", "title": "A", "start_index": 0, "end_index": 5}
FILE = {"type": "file_citation", "filename": "a.pdf", "file_id": "f", "index": 3}
CONTAINER_FILE = {
    "type": "container_file_citation",
    "filename": "b.csv",
    "file_id": "f",
    "container_id": "c",
    "start_index": 0,
    "end_index": 7,
}


def forever() -> Any:
    """Return a step that never ends."""

    async def wait() -> None:
        await asyncio.Event().wait()

    return wait


@function_tool
async def search() -> str:
    """Search."""
    return "found"


# --- messages ------------------------------------------------------------------------------------


async def test_message_streams_its_text_when_the_model_answers() -> None:
    events = await run([turn(text("Hel", "lo", id="msg_a"))])

    assert shape(events) == [
        "added message",
        "update added",
        "update text_delta",
        "update done",
        "done message",
    ]
    assert streamed_text(events) == "Hello"
    [done] = items(events)
    assert (done.id, done.content[0].text) == ("msg_a", "Hello")


async def test_deltas_go_out_one_by_one_when_the_reader_keeps_up() -> None:
    model = ScriptedModel([turn(text(*"abcdef"))], paced=True)
    events = await run(model)
    assert [update.delta for update in updates(events, "text_delta")] == list("abcdef")


async def test_deltas_go_out_as_one_event_when_several_are_ready() -> None:
    events = await run([turn(text(*"abcdef"))])
    assert [update.delta for update in updates(events, "text_delta")] == ["abcdef"]


async def test_order_is_kept_when_parts_and_deltas_alternate() -> None:
    first, second = text("a", "b", id="msg_a"), text("c", "d", id="msg_b")
    steps = turn(first, second, interleaved=True)
    events = await run([steps])
    assert streamed_text(events) == "abcd"
    assert [item.content[0].text for item in items(events)] == ["ab", "cd"]


async def test_added_is_made_up_when_the_provider_never_announces_the_message() -> None:
    output = text("Hi", id="msg_a", announced=False, parts_announced=False)
    events = await run([turn(output)])
    assert shape(events)[:3] == ["added message", "update added", "update text_delta"]
    assert {item.id for item in [*items(events), *items(events, "thread.item.added")]} == {"msg_a"}


async def test_message_stays_pending_when_the_run_ends_before_it() -> None:
    events = await run([turn(text("Hi", finished=False), ending="completed")])
    assert shape(events) == ["added message", "update added", "update text_delta"]


async def test_streamed_text_is_kept_when_the_finished_item_is_empty() -> None:
    output = text("Hi ", "there")
    output.done = output.done.model_copy(update={"content": []})
    events = await run([turn(output)])
    assert items(events)[0].content[0].text == "Hi there"


async def test_late_deltas_are_dropped_when_the_message_is_done() -> None:
    output = text("Hi", id="msg_a")
    events: list[ThreadStreamEvent] = []
    steps = [*turn(output), output.steps(0)[1]]
    await collect(events, await create_context(), FakeRun(steps[:-2] + steps[-1:]))
    assert shape(events).count("update text_delta") == 1


async def test_created_at_is_stable_when_a_message_goes_from_added_to_done() -> None:
    model = ScriptedModel([turn(text("a"), image(id="ig"))], paced=True)
    events = await run(model)
    added = {item.id: item.created_at for item in items(events, "thread.item.added")}
    done = {item.id: item.created_at for item in items(events)}
    assert added == done
    assert all(moment.tzinfo is not None for moment in added.values())


async def test_refusal_streams_when_the_model_refuses() -> None:
    events = await run([turn(refusal("I can", "not"))])
    assert streamed_text(events) == "I cannot"
    assert updates(events, "part.done")[0].content.text == "I cannot"
    assert items(events)[0].content[0].text == "I cannot"


# --- annotations ---------------------------------------------------------------------------------


async def test_annotations_are_converted_when_they_are_dicts() -> None:
    events = await run([turn(text("Hello", annotations=[FILE, CONTAINER_FILE, URL]))])
    annotations = [update.annotation for update in updates(events, "annotation_added")]
    assert [(each.source.title, each.index) for each in annotations] == [
        ("a.pdf", 3),
        ("b.csv", 7),
        ("A", 5),
    ]
    assert items(events)[0].content[0].annotations == annotations


async def test_annotations_are_converted_when_they_are_of_an_unknown_class() -> None:
    annotations = [SimpleNamespace(**URL), SimpleNamespace(**FILE)]
    events = await run([turn(text("Hello", annotations=annotations))])
    assert len(updates(events, "annotation_added")) == 2


@pytest.mark.parametrize(
    "unknown",
    [
        None,
        7,
        {},
        {"type": "hologram"},
        {"type": "file_path", "file_id": "f", "index": 1},
        {**FILE, "filename": ""},
        {"type": "url_citation"},
        SimpleNamespace(),
    ],
)
async def test_annotation_is_skipped_when_its_kind_is_unknown(unknown: Any) -> None:
    events = await run([turn(text("Hello", annotations=[unknown, URL]))])
    [update] = updates(events, "annotation_added")
    assert update.annotation_index == 0
    assert streamed_text(events) == "Hello"


async def test_part_done_carries_annotations_when_they_were_streamed() -> None:
    output = text("Hello", annotations=[URL, None, FILE])

    def text_done_last(index: int) -> list[Any]:
        steps = list(output_steps(index))
        return sorted(steps, key=lambda step: step.type == "response.output_text.done")

    output_steps, output.steps = output.steps, text_done_last
    events = await run([turn(output)])
    [done] = updates(events, "part.done")
    assert [each.source.title for each in done.content.annotations] == ["A", "a.pdf"]


# --- ids -----------------------------------------------------------------------------------------


async def test_answers_get_ids_of_their_own_when_the_provider_sends_a_placeholder() -> None:
    turns = [turn(chat_text("One"), call("search")), turn(chat_text("Two"))]
    events = await run(turns, tools=[search])
    added, done = items(events, "thread.item.added"), items(events)
    assert [item.id for item in added] == [item.id for item in done]
    assert len({item.id for item in done}) == 2
    assert not any("fake" in item.id for item in done)
    named = {event.item_id for event in events if event.type == "thread.item.updated"}
    assert named == {item.id for item in done}


@pytest.mark.parametrize("raw_id", ["", "msg_a", "msg_\x00", "m" * 500])
async def test_id_is_replaced_when_it_is_unfit_or_taken(raw_id: str) -> None:
    turns = [turn(text("One", id="msg_a"), call("search")), turn(text("Two", id=raw_id))]
    events = await run(turns, tools=[search])
    one, two = items(events)
    assert one.id == "msg_a"
    assert two.id.startswith("msg_0")
    assert two.id != raw_id


async def test_id_is_replaced_when_an_older_item_of_the_thread_has_it() -> None:
    older = AssistantMessageItem(id="msg_a", thread_id=THREAD_ID, created_at=now(), content=[])
    events = await run([turn(text("New", id="msg_a"))], await create_context(history=[older]))
    assert items(events)[0].id != "msg_a"


async def test_store_is_not_read_when_the_caller_gives_the_history() -> None:
    context = await create_context(history=[])
    context.store.load_thread_items = None  # type: ignore[method-assign] - any call would fail
    assert items(await run([turn(text("Hi"))], context))


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


async def test_no_cyclic_garbage_is_made_when_text_streams() -> None:
    async def garbage_of(deltas: int) -> int:
        context = await create_context(history=[])
        steps = [step for step in turn(text(*["x"] * deltas)) if not callable(step)]
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
    assert removed == ["msg_a", "fc_1", "hid_1", "msg_b", image_id]
    assert not other_tasks()


async def test_queued_events_are_dropped_when_a_guardrail_trips() -> None:
    context = await create_context(history=[])
    stream = stream_agent_response(
        context,
        FakeRun(  # type: ignore[arg-type] - as much of a result as is needed
            [
                *(step for step in turn(text("a", id="msg_a")) if not callable(step)),
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
    context = await create_context(history=[])
    with pytest.raises(InputGuardrailTripwireTriggered):
        await collect([], context, FakeRun([*turn(text("a")), _tripwire()]))
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun([]))
    assert events == []


# --- tools that stream ---------------------------------------------------------------------------


async def test_tool_events_come_in_order_of_arrival_when_the_model_goes_on() -> None:
    @function_tool
    async def progress(wrapper: RunContextWrapper[AgentContext[Any]]) -> str:
        """Report."""
        await wrapper.context.stream(ProgressUpdateEvent(text="working"))
        return "ok"

    turns = [turn(text("One", id="msg_a"), call("progress")), turn(text("Two", id="msg_b"))]
    for paced in (True, False):
        events = await run(ScriptedModel(turns, paced=paced), tools=[progress])
        names = shape(events)
        assert names.index("done message") < names.index("progress_update")
        assert names.index("progress_update") < names.index("added message", 1)
