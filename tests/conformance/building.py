"""Items and events of either package, in short."""

from datetime import UTC, datetime
from typing import Any

from tests.conformance.harness import Kit

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def item(kit: Kit, kind: str, thread: Any, item_id: str, **fields: Any) -> Any:
    """Return an item of the class ``kind``."""
    moment = MOMENT if kit.is_ours else MOMENT.replace(tzinfo=None)
    return getattr(kit.types, kind)(id=item_id, thread_id=thread.id, created_at=moment, **fields)


def message(kit: Kit, thread: Any, item_id: str, *texts: str) -> Any:
    """Return an assistant message of text parts."""
    content = [kit.types.AssistantMessageContent(text=text) for text in texts]
    return item(kit, "AssistantMessageItem", thread, item_id, content=content)


def added(kit: Kit, item: Any) -> Any:
    return kit.types.ThreadItemAddedEvent(item=item)


def done(kit: Kit, item: Any) -> Any:
    return kit.types.ThreadItemDoneEvent(item=item)


def replaced(kit: Kit, item: Any) -> Any:
    return kit.types.ThreadItemReplacedEvent(item=item)


def removed(kit: Kit, item_id: str) -> Any:
    return kit.types.ThreadItemRemovedEvent(item_id=item_id)


def updated(kit: Kit, item_id: str, kind: str, **fields: Any) -> Any:
    """Return an update of the class ``kind``."""
    update = getattr(kit.types, kind)(**fields)
    return kit.types.ThreadItemUpdatedEvent(item_id=item_id, update=update)


def text_delta(kit: Kit, item_id: str, delta: str) -> Any:
    kind = "AssistantMessageContentPartTextDelta"
    return updated(kit, item_id, kind, content_index=0, delta=delta)


def card(kit: Kit, *children: Any, **props: Any) -> Any:
    return kit.widgets.Card(children=list(children), **props)


def every_kind_of_item(kit: Kit, thread: Any) -> list[Any]:
    """Return one item of every kind, but for the user's message."""
    types = kit.types
    task = types.CustomTask(title="Step", icon="check", content="Done", status_indicator="complete")
    question = types.StructuredInputFreeform(id="q", question="Why?", description="Tell")
    search = types.SearchTask(
        title="Search",
        queries=["a"],
        sources=[types.URLSource(url="https://example.com", title="Example", attribution="x")],
    )
    files = types.FileTask(sources=[types.FileSource(filename="a.txt", title="A")])
    workflow = types.Workflow(
        type="custom",
        tasks=[search, files, types.ImageTask(title="Image")],
        summary=types.CustomSummary(title="Worked", icon="star"),
        expanded=True,
    )
    return [
        message(kit, thread, "item_message", "One", "Two"),
        item(kit, "TaskItem", thread, "item_task", task=task),
        item(kit, "WorkflowItem", thread, "item_workflow", workflow=workflow),
        item(kit, "GeneratedImageItem", thread, "item_image"),
        item(kit, "StructuredInputItem", thread, "item_question", inputs=[question]),
        item(kit, "WidgetItem", thread, "item_widget", widget=card(kit), copy_text="Copy"),
        item(kit, "HiddenContextItem", thread, "item_hidden", content={"note": [None, 1]}),
        item(kit, "SDKHiddenContextItem", thread, "item_sdk_hidden", content="Note"),
        item(
            kit,
            "ClientToolCallItem",
            thread,
            "item_call",
            call_id="call_1",
            name="open",
            arguments={"a": None, "b": [1, None]},
        ),
        item(kit, "EndOfTurnItem", thread, "item_end"),
    ]
