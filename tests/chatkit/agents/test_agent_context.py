"""``AgentContext``: ids, streaming, and the laws of workflows."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from agents import RunContextWrapper, function_tool

from app.chatkit.agents import AgentContext, ClientToolCall, stream_agent_response
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import (
    NoticeEvent,
    ProgressUpdateEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.held_calls import read_held_calls
from app.chatkit.protocol.items import (
    ClientToolCallItem,
    CustomSummary,
    CustomTask,
    DurationSummary,
    EndOfTurnItem,
    GeneratedImageItem,
    HiddenContextItem,
    SDKHiddenContextItem,
    TaskItem,
    ThreadItem,
    Workflow,
    WorkflowItem,
    now,
)
from app.chatkit.store import Store
from app.chatkit.widgets import Card, Text
from tests.chatkit.agents.agent_runs import (
    THREAD_ID,
    FakeRun,
    collect,
    create_context,
    items,
    run,
    shape,
    stored,
    updates,
)
from tests.support.scripted_model import call, text, turn

BASE: dict[str, Any] = {"thread_id": THREAD_ID, "created_at": now()}


def task(title: str = "Step") -> CustomTask:
    return CustomTask(title=title)


def workflow_item(*titles: str, type: Any = "custom") -> WorkflowItem:
    tasks: list[Any] = [task(title) for title in titles]
    return WorkflowItem(id="wf_old", **BASE, workflow=Workflow(type=type, tasks=tasks))


def pending_call(id: str = "tc_1") -> ClientToolCallItem:
    return ClientToolCallItem(id=id, **BASE, call_id="c", name="tool", arguments={})


async def drain(context: AgentContext[Any]) -> list[ThreadStreamEvent]:
    """Return the events of a run that does nothing by itself."""
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun([]))
    return events


# --- construction --------------------------------------------------------------------------------


async def test_store_is_not_validated_when_it_is_any_object() -> None:
    context = await create_context()
    other: Any = object()
    made = AgentContext(thread=context.thread, store=other, request_context=None)
    assert made.store is other
    assert made.thread is context.thread


async def test_subclass_keeps_its_fields_when_it_adds_some() -> None:
    class ShopContext(AgentContext[RequestContext]):
        basket: str = ""

    base = await create_context()
    context = ShopContext(
        thread=base.thread, store=base.store, request_context=base.request_context, basket="full"
    )
    await context.stream_progress("looking", icon="search")
    [event] = await drain(context)
    assert event == ProgressUpdateEvent(text="looking", icon="search")
    assert context.basket == "full"


async def test_ids_come_from_the_store_when_they_are_generated() -> None:
    class CountingStore(Store[RequestContext]):
        def generate_thread_id(self, context: RequestContext) -> str:
            return f"thread of {context.user_id}"

        def generate_item_id(self, item_type: Any, thread: Any, context: Any) -> str:
            return f"{item_type} of {thread.id}"

    CountingStore.__abstractmethods__ = frozenset()
    context = await create_context()
    context.store = CountingStore()
    assert context.generate_id("thread") == "thread of user_1"
    assert context.generate_id("task") == "task of thr_1"
    other = context.thread.model_copy(update={"id": "thr_2"})
    assert context.generate_id("message", other) == "message of thr_2"


# --- events --------------------------------------------------------------------------------------


async def test_events_are_streamed_first_when_they_came_before_the_run() -> None:
    context = await create_context()
    await context.stream(NoticeEvent(level="info", message="hello"))
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun(turn(text("Hi"))))
    assert shape(events)[:2] == ["notice", "added message"]


async def test_widget_is_one_done_item_when_it_does_not_change() -> None:
    context = await create_context()
    await context.stream_widget(Card(children=[Text(value="hi")]), copy_text="hi")
    [event] = await drain(context)
    assert shape([event]) == ["done widget"]
    assert items([event])[0].copy_text == "hi"


# --- workflows -----------------------------------------------------------------------------------


async def test_custom_workflow_shows_with_its_first_task_when_it_starts_empty() -> None:
    context = await create_context()
    await context.start_workflow(Workflow(type="custom", tasks=[]))
    assert await drain(await create_context()) == []
    await context.add_workflow_task(task("One"))
    await context.add_workflow_task(task("Two"))
    events = await drain(context)
    assert shape(events) == ["added workflow", "update added"]
    assert len(items(events, "thread.item.added")[0].workflow.tasks) == 1


async def test_workflow_shows_at_once_when_it_starts_with_tasks() -> None:
    context = await create_context()
    await context.start_workflow(Workflow(type="custom", tasks=[task("One")]))
    await context.add_workflow_task(task("Two"))
    events = await drain(context)
    assert shape(events) == ["added workflow", "update added"]
    assert updates(events, "added")[0].task_index == 1


async def test_equal_tasks_get_indexes_of_their_own_when_they_are_added() -> None:
    context = await create_context()
    for _ in range(3):
        await context.add_workflow_task(task("Same"))
    events = await drain(context)
    assert [update.task_index for update in updates(events, "task.added")] == [1, 2]


async def test_events_keep_what_they_said_when_the_task_changes_later() -> None:
    context = await create_context()
    changing = CustomTask(title="One", status_indicator="loading")
    await context.add_workflow_task(task("Zero"))
    await context.add_workflow_task(changing)
    changing.status_indicator = "complete"
    await context.update_workflow_task(changing, 1)
    events = await drain(context)
    states = [update.task.status_indicator for update in updates(events, "")]
    assert states == ["loading", "complete"]


@pytest.mark.parametrize("index", [-1, 1, 99])
async def test_value_error_is_raised_when_a_task_index_is_wrong(index: int) -> None:
    context = await create_context()
    await context.add_workflow_task(task())
    with pytest.raises(ValueError, match=f"none with index {index}"):
        await context.update_workflow_task(task("New"), index)
    assert shape(await drain(context)) == ["added workflow"]


async def test_value_error_is_raised_when_no_workflow_is_open() -> None:
    context = await create_context()
    with pytest.raises(ValueError, match="no open workflow"):
        await context.update_workflow_task(task(), 0)
    await context.end_workflow()
    assert await drain(context) == []


async def test_workflow_ends_with_its_duration_when_a_message_starts() -> None:
    @function_tool
    async def work(wrapper: RunContextWrapper[AgentContext[Any]]) -> str:
        """Work."""
        await wrapper.context.add_workflow_task(task())
        item = wrapper.context.workflow_item
        assert item is not None
        item.created_at -= timedelta(seconds=7.6)
        return "ok"

    events = await run([turn(call("work")), turn(text("Hi"))], tools=[work])
    assert shape(events)[:3] == ["added workflow", "done workflow", "added message"]
    done = items(events)[0].workflow
    assert (done.summary, done.expanded) == (DurationSummary(duration=7), False)


async def test_summary_and_expansion_are_kept_when_the_caller_ends_the_workflow() -> None:
    context = await create_context()
    await context.add_workflow_task(task())
    await context.end_workflow(CustomSummary(title="Researched"), expanded=True)
    [_, done] = await drain(context)
    workflow = items([done])[0].workflow
    assert (workflow.summary, workflow.expanded) == (CustomSummary(title="Researched"), True)
    assert context.workflow_item is None


@pytest.mark.parametrize(
    ("item", "ends"),
    [
        (TaskItem(id="x", **BASE, task=task()), True),
        (GeneratedImageItem(id="x", **BASE), True),
        (pending_call("x"), False),
        (HiddenContextItem(id="x", **BASE, content="x"), False),
        (SDKHiddenContextItem(id="x", **BASE, content="x"), False),
        (EndOfTurnItem(id="x", **BASE), False),
    ],
)
async def test_workflow_ends_when_an_item_of_another_kind_arrives(
    item: ThreadItem, ends: bool
) -> None:
    for event in (ThreadItemAddedEvent(item=item), ThreadItemDoneEvent(item=item)):
        context = await create_context()
        await context.add_workflow_task(task())
        await context.stream(event)
        assert ("done workflow" in shape(await drain(context))) is ends


async def test_open_workflow_ends_when_another_one_starts() -> None:
    context = await create_context()
    await context.add_workflow_task(task("Old"))
    await context.start_workflow(Workflow(type="custom", tasks=[]))
    await context.add_workflow_task(task("New"))
    assert shape(await drain(context)) == ["added workflow", "done workflow", "added workflow"]


async def test_workflow_is_done_once_when_the_caller_streams_its_end() -> None:
    context = await create_context()
    item = workflow_item("One")
    await context.stream(ThreadItemAddedEvent(item=item))
    await context.stream(ThreadItemDoneEvent(item=item))
    events: list[ThreadStreamEvent] = []
    await collect(events, context, FakeRun(turn(text("Hi"))))
    assert shape(events).count("done workflow") == 1


async def test_workflow_is_stored_without_an_event_when_the_run_ends() -> None:
    context = await create_context()
    await context.add_workflow_task(task())
    assert shape(await drain(context)) == ["added workflow"]
    [item] = stored(context)
    assert item.type == "workflow"
    assert item.workflow.tasks == [task()]


async def test_workflow_is_not_stored_when_it_was_never_shown() -> None:
    context = await create_context()
    await context.start_workflow(Workflow(type="custom", tasks=[]))
    assert await drain(context) == []
    assert stored(context) == []


@pytest.mark.parametrize("zone", [None, UTC])
async def test_workflow_ends_when_its_time_was_assigned_with_or_without_a_zone(
    zone: tzinfo | None,
) -> None:
    context = await create_context()
    await context.add_workflow_task(task())
    assert context.workflow_item is not None
    context.workflow_item.created_at = datetime.now(zone) - timedelta(seconds=90)
    await context.end_workflow()
    [ended] = items(await drain(context))
    assert 90 <= ended.workflow.summary.duration < 3600


# --- continued workflows -------------------------------------------------------------------------


@pytest.mark.parametrize("with_history", [True, False])
@pytest.mark.parametrize("behind", [(), (pending_call(),), (pending_call("a"), pending_call("b"))])
async def test_workflow_goes_on_when_the_thread_ends_with_it(
    behind: tuple[ThreadItem, ...], with_history: bool
) -> None:
    old = [workflow_item("One"), *behind]
    context = await create_context(*old, chatkit_loaded_history=old if with_history else None)

    stream = stream_agent_response(context, FakeRun(turn(text("Hi"))))  # type: ignore[arg-type] - as much of a result as is needed
    first = await anext(stream)
    events = [first, *[event async for event in stream]]

    assert shape(events)[:2] == ["replaced workflow", "added message"]
    assert items(events, "thread.item.replaced")[0].workflow.summary is not None


async def test_workflow_is_not_added_again_when_it_was_continued() -> None:
    context = await create_context(workflow_item("One"))

    @function_tool
    async def work(wrapper: RunContextWrapper[AgentContext[Any]]) -> str:
        """Work."""
        await wrapper.context.add_workflow_task(task("Two"))
        return "ok"

    events = await run([turn(call("work"))], context, tools=[work], stop_at=["work"])
    assert shape(events) == ["update added"]
    assert updates(events, "added")[0].task_index == 1
    [item] = stored(context)
    assert item.type == "workflow"
    assert [each.title for each in item.workflow.tasks] == ["One", "Two"]  # type: ignore[union-attr] - custom tasks


async def test_continued_workflow_is_saved_and_not_added_when_the_run_ends() -> None:
    context = await create_context(workflow_item("One"))
    context.store.add_thread_item = None  # type: ignore[method-assign] - any call would fail
    assert await drain(context) == []


async def test_workflow_is_stored_once_when_the_context_is_used_again() -> None:
    context = await create_context()
    await context.add_workflow_task(task())
    await drain(context)
    await drain(context)
    assert len(stored(context)) == 1


async def test_workflow_starts_anew_when_something_stands_behind_the_old_one() -> None:
    other = TaskItem(id="x", **BASE, task=task())
    context = await create_context(workflow_item("One"), other)
    await context.add_workflow_task(task("New"))
    assert shape(await drain(context)) == ["added workflow"]


async def test_continued_workflow_ends_when_an_item_was_streamed_before_the_run() -> None:
    context = await create_context(workflow_item("One"))
    await context.stream(ThreadItemDoneEvent(item=TaskItem(id="x", **BASE, task=task())))
    assert shape(await drain(context)) == ["replaced workflow", "done task"]


async def test_client_tool_calls_are_all_kept_when_several_are_assigned() -> None:
    context = await create_context(client_tool_call=ClientToolCall(name="a", arguments={}))
    context.client_tool_call = ClientToolCall(name="b", arguments={})
    assert context.client_tool_call.name == "b"
    first, held = items(await drain(context))
    calls = read_held_calls(held)
    assert calls is not None
    assert (first.name, calls.behind) == ("a", first.id)
    assert [each.name for each in calls.calls] == ["b"]


async def test_no_client_tool_call_is_made_when_it_was_taken_back() -> None:
    context = await create_context()
    context.client_tool_call = ClientToolCall(name="a", arguments={})
    context.client_tool_call = None
    assert await drain(context) == []
