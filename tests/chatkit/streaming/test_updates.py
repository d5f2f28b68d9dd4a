"""Item updates, and the pending items that are followed through them."""

from typing import Any

import pytest

from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    GeneratedImageUpdated,
    ThreadItemUpdate,
    WidgetComponentUpdated,
    WidgetRootUpdated,
    WidgetStreamingTextValueDelta,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import (
    Annotation,
    AssistantMessageContent,
    CustomTask,
    GeneratedImage,
    GeneratedImageItem,
    ThreadItem,
    URLSource,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from app.chatkit.streaming.pending_items import PendingItems, is_blank
from app.chatkit.streaming.updates import apply_update
from app.chatkit.widgets import (
    BasicRoot,
    Button,
    Card,
    Col,
    DynamicWidgetComponent,
    ListView,
    ListViewItem,
    Markdown,
    Row,
    Text,
    Transition,
)
from tests.support.samples import ITEMS, answer, base


def text(delta: str, index: int = 0) -> AssistantMessageContentPartTextDelta:
    return AssistantMessageContentPartTextDelta(content_index=index, delta=delta)


def part(value: str, *titles: str) -> AssistantMessageContent:
    return AssistantMessageContent(text=value, annotations=[note(each) for each in titles])


def note(title: str) -> Annotation:
    return Annotation(source=URLSource(title=title, url="https://example.org"))


def annotate(title: str, at: int, index: int = 0) -> AssistantMessageContentPartAnnotationAdded:
    return AssistantMessageContentPartAnnotationAdded(
        content_index=index, annotation_index=at, annotation=note(title)
    )


def widget(root: Any) -> WidgetItem:
    return WidgetItem(**base("w"), widget=root)


def workflow(*titles: str) -> WorkflowItem:
    tasks = [CustomTask(title=each) for each in titles]
    return WorkflowItem(**base("f"), workflow=Workflow(type="custom", tasks=tasks))


def value_delta(component_id: str, delta: str, *, done: bool = False) -> ThreadItemUpdate:
    return WidgetStreamingTextValueDelta(component_id=component_id, delta=delta, done=done)


UPDATES: list[ThreadItemUpdate] = [
    AssistantMessageContentPartAdded(content_index=0, content=part("x")),
    text("x"),
    annotate("x", 0),
    AssistantMessageContentPartDone(content_index=0, content=part("x")),
    value_delta("text", "x"),
    WidgetRootUpdated(widget=Card(children=[])),
    WidgetComponentUpdated(component_id="text", component=Text(value="new")),
    WorkflowTaskAdded(task_index=0, task=CustomTask(title="x")),
    WorkflowTaskUpdated(task_index=0, task=CustomTask(title="x")),
    GeneratedImageUpdated(image=GeneratedImage(id="x", url="data:,x")),
]
FITTING = {
    "assistant_message": "assistant_message.",
    "widget": "widget.",
    "workflow": "workflow.",
    "generated_image": "generated_image.",
}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.type)
def test_item_changes_only_when_the_update_is_for_its_kind(
    item: ThreadItem, update: ThreadItemUpdate
) -> None:
    changed = item.model_copy(deep=True)
    apply_update(changed, update)
    fits = update.type.startswith(FITTING.get(item.type, "-"))
    if item.id == "workflow_2" and isinstance(update, WorkflowTaskUpdated):
        fits = False  # it has no task yet
    assert (changed != item) is fits


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([text("a"), text("b")], [part("ab")]),
        ([text("b", 2), text("a")], [part("a"), part(""), part("b")]),
        (
            [AssistantMessageContentPartAdded(content_index=1, content=part("x", "1"))],
            [part(""), part("x", "1")],
        ),
        ([annotate("1", 0), annotate("2", 0), annotate("3", 99)], [part("", "2", "1", "3")]),
        ([annotate("1", 0), annotate("2", -5)], [part("", "2", "1")]),
        (
            [text("a"), AssistantMessageContentPartDone(content_index=0, content=part("b", "1"))],
            [part("b", "1")],
        ),
        ([text("a", -1), text("b", 1000), annotate("1", 0, -3), annotate("1", 0, 10**9)], []),
    ],
)
def test_message_follows_when_its_parts_change(
    updates: list[ThreadItemUpdate], expected: list[AssistantMessageContent]
) -> None:
    item = answer("a")
    for update in updates:
        apply_update(item, update)
    assert item.content == expected


@pytest.mark.parametrize(
    ("index", "titles"), [(0, ["x", "b"]), (1, ["a", "x"]), (2, ["a", "b"]), (-1, ["a", "b"])]
)
def test_workflow_stays_whole_when_a_task_is_updated(index: int, titles: list[str]) -> None:
    item = workflow("a", "b")
    apply_update(item, WorkflowTaskUpdated(task_index=index, task=CustomTask(title="x")))
    assert item == workflow(*titles)


@pytest.mark.parametrize(
    ("index", "titles"),
    [(0, ["x", "a", "b"]), (2, ["a", "b", "x"]), (9, ["a", "b", "x"]), (-4, ["x", "a", "b"])],
)
def test_workflow_grows_when_a_task_is_added(index: int, titles: list[str]) -> None:
    item = workflow("a", "b")
    apply_update(item, WorkflowTaskAdded(task_index=index, task=CustomTask(title="x")))
    assert item == workflow(*titles)


def test_image_is_the_latest_when_previews_come() -> None:
    item = GeneratedImageItem(**base("i"))
    for name in "ab":
        apply_update(
            item, GeneratedImageUpdated(image=GeneratedImage(id="x", url=name), progress=0.5)
        )
    assert item.image == GeneratedImage(id="x", url="b")


ROOTS: list[Any] = [
    Card(children=[Text(id="t", value="a", streaming=True)]),
    Card(children=[Row(children=[Col(children=[Markdown(id="t", value="a", streaming=True)])])]),
    Card(children=[Transition(children=Text(id="t", value="a", streaming=True))]),
    ListView(children=[ListViewItem(children=[Text(id="t", value="a", streaming=True)])]),
    BasicRoot(children=Text(id="t", value="a", streaming=True)),
    BasicRoot(children=[DynamicWidgetComponent(type="New", id="t", value="a", streaming=True)]),
]


@pytest.mark.parametrize("root", ROOTS, ids=range(len(ROOTS)))
def test_text_of_a_widget_grows_when_it_streams_wherever_it_is(root: Any) -> None:
    item = widget(root)
    apply_update(item, value_delta("t", "b"))
    apply_update(item, value_delta("unknown", "x"))
    apply_update(item, value_delta("t", "c", done=True))
    expected = root.model_dump_json(exclude_none=True).replace('"a"', '"abc"')
    expected = expected.replace('"streaming":true', '"streaming":false')
    assert item.widget.model_dump_json(exclude_none=True) == expected
    assert type(item.widget) is type(root)


def test_text_of_a_widget_is_not_said_to_stream_when_it_never_did() -> None:
    item = widget(Card(children=[Text(id="t", value="a")]))
    apply_update(item, value_delta("t", "b", done=True))
    assert item == widget(Card(children=[Text(id="t", value="ab")]))


@pytest.mark.parametrize("root", ROOTS, ids=range(len(ROOTS)))
def test_component_of_a_widget_is_exchanged_wherever_it_is(root: Any) -> None:
    item = widget(root)
    apply_update(item, WidgetComponentUpdated(component_id="t", component=Button(label="Go")))
    dumped = item.widget.model_dump_json(exclude_none=True)
    assert '"label":"Go"' in dumped
    assert '"id":"t"' not in dumped


def test_widget_stays_as_it_is_when_a_component_cannot_be_where_it_was_put() -> None:
    item = widget(Card(id="root", children=[Text(id="t", value="a")]))
    before = item.model_copy(deep=True)
    apply_update(item, WidgetComponentUpdated(component_id="root", component=Text(value="x")))
    assert item == before


def test_widget_follows_when_its_text_holds_lone_surrogates() -> None:
    item = widget(Card(children=[Text(value="\ud800\x00"), Text(id="t", value="\udc00")]))
    apply_update(item, value_delta("t", "x"))
    assert item == widget(
        Card(children=[Text(value="\ufffd\ufffd"), Text(id="t", value="\ufffdx")])
    )


# --- pending items -------------------------------------------------------------------------------


def test_unfinished_items_are_as_the_client_sees_them_when_asked_for() -> None:
    pending = PendingItems()
    pending.add(answer("a"))
    pending.add(workflow("x"))
    for piece in ("one ", "two ", "three"):
        assert pending.update("a", text(piece))
    assert pending.update("a", text("other", 1))
    assert pending.update("f", WorkflowTaskAdded(task_index=1, task=CustomTask(title="y")))
    assert not pending.update("unknown", text("x"))
    expected = [answer("a", "one two three", "other"), workflow("x", "y")]
    assert pending.current() == expected
    assert pending.current() == expected
    pending.update("a", text("!"))
    assert pending.current()[0] == answer("a", "one two three!", "other")
    assert "a" in pending
    pending.drop("a")
    pending.drop("a")
    assert "a" not in pending
    assert not pending.update("a", text("x"))


def test_unfinished_item_is_kept_as_sent_when_the_handler_goes_on_changing_its_objects() -> None:
    pending = PendingItems()
    own, own_part = answer("a"), part("")
    pending.add(own)
    pending.update("a", AssistantMessageContentPartAdded(content_index=0, content=own_part))
    own.content.append(own_part)
    for piece in ("one ", "two"):
        own_part.text += piece
        pending.update("a", text(piece))
    assert pending.current() == [answer("a", "one two")]
    pending.update("a", AssistantMessageContentPartDone(content_index=0, content=own_part))
    own_part.text = "changed"
    assert pending.current() == [answer("a", "one two")]


def test_text_of_a_widget_ends_when_one_of_several_deltas_says_so() -> None:
    pending = PendingItems()
    pending.add(widget(Card(children=[Text(id="t", value="", streaming=True)])))
    for update in (value_delta("t", "a"), value_delta("t", "b", done=True), value_delta("t", "c")):
        pending.update("w", update)
    assert pending.current() == [
        widget(Card(children=[Text(id="t", value="abc", streaming=False)]))
    ]


def test_items_ahead_are_those_announced_before_when_one_is_finished() -> None:
    pending = PendingItems()
    for name in "abc":
        pending.add(answer(name, name))
    assert [each.id for each in pending.ahead_of("b")] == ["a"]
    assert [each.id for each in pending.ahead_of("unknown")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("item", "blank"),
    [
        (answer("a"), True),
        (answer("a", "", " \n\t"), True),
        (answer("a", "", "x"), False),
    ],
)
def test_message_is_blank_when_nothing_can_be_read(item: Any, blank: bool) -> None:
    assert is_blank(item) is blank
