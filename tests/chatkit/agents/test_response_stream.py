"""The bridge: messages, annotations, ids."""

from types import SimpleNamespace
from typing import Any

import pytest
from agents import (
    RunContextWrapper,
    function_tool,
)

from app.chatkit.agents import AgentContext, ClientToolCall
from app.chatkit.agents.stream import RECENT_ITEMS
from app.chatkit.protocol.events import ProgressUpdateEvent
from app.chatkit.protocol.items import AssistantMessageItem, now
from tests.chatkit.agents.agent_runs import (
    THREAD_ID,
    create_context,
    items,
    run,
    run_fake,
    shape,
    streamed_text,
    updates,
)
from tests.support.scripted_model import (
    ScriptedModel,
    call,
    chat_text,
    image,
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


@function_tool
async def search() -> str:
    """Search."""
    return "found"


@function_tool
async def ask(wrapper: RunContextWrapper[AgentContext[Any]]) -> str:
    """Ask the page."""
    wrapper.context.client_tool_call = ClientToolCall(name="ask", arguments={})
    return ""


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


async def test_nothing_is_made_up_when_the_provider_never_announces_the_message() -> None:
    output = text("Hi", id="msg_a", announced=False, parts_announced=False)
    events = await run([turn(output)])
    assert shape(events)[0] == "update text_delta"  # as the official helper does
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
    steps = turn(output, ending="none")
    events = await run_fake([*steps, output.steps(0)[1]])
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
    events = await run_fake(turn(text("Hello", annotations=annotations)))
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
    events = await run_fake(turn(text("Hello", annotations=[unknown, URL])))
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
    events = await run(
        [turn(text("New", id="msg_a"))], await create_context(chatkit_loaded_history=[older])
    )
    assert items(events)[0].id != "msg_a"


@pytest.mark.parametrize("loaded", [0, 5, None])
async def test_id_is_replaced_when_an_item_beyond_the_loaded_history_has_it(
    loaded: int | None,
) -> None:
    older = [
        AssistantMessageItem(id=f"msg_{number}", thread_id=THREAD_ID, created_at=now(), content=[])
        for number in range(RECENT_ITEMS + 1)
    ]
    history = None if loaded is None else older[len(older) - loaded :]
    context = await create_context(*older, chatkit_loaded_history=history)
    turns = [turn(text("One", id="msg_0"), call("ask", id="msg_0")), turn(text("2", id="msg_new"))]
    one, asked = items(await run(turns, context, tools=[ask], stop_at=["ask"]))
    assert "msg_0" not in (one.id, asked.id)


async def test_id_is_replaced_when_an_earlier_run_of_the_context_had_it() -> None:
    context = await create_context(chatkit_loaded_history=[], chatkit_history_is_whole=True)
    [one] = items(await run([turn(text("One", id="msg_0"))], context))
    [two] = items(await run([turn(text("Two", id="msg_0"))], context))
    assert one.id == "msg_0" != two.id


@pytest.mark.parametrize(
    "fields", [{}, {"chatkit_loaded_history": [], "chatkit_history_is_whole": True}]
)
async def test_store_is_not_asked_for_an_id_when_the_whole_history_is_known(
    fields: dict[str, Any],
) -> None:
    context = await create_context(**fields)
    context.store.load_item = None  # type: ignore[method-assign] - any call would fail
    assert items(await run([turn(text("Hi", id="msg_0"))], context))[0].id == "msg_0"


async def test_store_is_not_read_when_the_caller_gives_the_history() -> None:
    context = await create_context(chatkit_loaded_history=[])
    context.store.load_thread_items = None  # type: ignore[method-assign] - any call would fail
    assert items(await run([turn(text("Hi"))], context))


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
