import copy
import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chatkit.protocol.events import (
    WidgetComponentUpdated,
    WidgetRootUpdated,
)
from app.chatkit.streaming.widget_diff import WidgetUpdate, diff_widget
from app.chatkit.widgets import (
    ActionConfig,
    BasicRoot,
    Box,
    Button,
    Card,
    Col,
    DatePicker,
    DynamicWidgetComponent,
    DynamicWidgetRoot,
    ListView,
    ListViewItem,
    Markdown,
    Row,
    Text,
    Title,
    Transition,
    WidgetComponentBase,
)
from tests.chatkit.streaming.widget_trees import (
    CLASSES,
    PROPS,
    ROOT,
    Node,
    children_of,
    delta,
    walk,
)


def apply_updates(widget: WidgetComponentBase, updates: list[WidgetUpdate]) -> Node:
    """What a client shows after the updates: the reference for the laws below."""
    tree: Node = widget.model_dump(mode="json")
    for update in updates:
        if isinstance(update, WidgetRootUpdated):
            tree = update.widget.model_dump(mode="json")
            continue
        targets = [each for each in walk(tree) if each.get("id") == update.component_id]
        assert len(targets) == 1, "an update must name one component"
        if isinstance(update, WidgetComponentUpdated):
            component = update.component.model_dump(mode="json")
            targets[0].clear()
            targets[0].update(component)
        else:
            targets[0]["value"] += update.delta
            if update.done and targets[0].get("streaming"):
                targets[0]["streaming"] = False
    return tree


def as_text(tree: Node) -> str:
    return json.dumps(tree, sort_keys=True)


def dynamic(**props: Any) -> DynamicWidgetComponent:
    return DynamicWidgetComponent.model_validate(props)


def dynamic_root(**props: Any) -> DynamicWidgetRoot:
    return DynamicWidgetRoot.model_validate(props)


# --- the laws, over any widgets ---------------------------------------------------------------

COMPONENTS = st.recursive(
    PROPS,
    lambda inner: st.builds(
        lambda props, children: {**props, "children": children},
        PROPS,
        inner | st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)
ROOTS = st.builds(
    lambda kind, root_id, children: {"type": kind, **root_id, "children": children},
    st.sampled_from(["Card", "Basic"]),
    st.sampled_from([{}, {}, {"id": "a"}]),
    st.lists(COMPONENTS, max_size=3),
)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Node, Node]:
    """A widget, and the same widget with one or two things changed."""
    before = draw(ROOTS)
    after = copy.deepcopy(before)
    for _ in range(draw(st.integers(1, 2))):
        node = draw(st.sampled_from(walk(after)))
        kind = draw(st.sampled_from(["append", "append", "stop", "props", "child", "fewer"]))
        if kind == "append" and isinstance(node.get("value"), str):
            node["value"] += draw(st.sampled_from(["!", "?!"]))
        elif kind == "stop" and node.get("streaming"):
            node["streaming"] = False
        elif kind == "props" and node is not after:
            node.update(draw(PROPS))
        elif kind == "child":
            node["children"] = [*children_of(node), draw(PROPS)]
        elif kind == "fewer" and children_of(node):
            node["children"] = children_of(node)[1:]
    return before, after


@settings(max_examples=300, deadline=None)
@given(edits(), CLASSES, CLASSES)
def test_updates_lead_to_the_new_widget_when_something_changed(
    states: tuple[Node, Node], load_before: Any, load_after: Any
) -> None:
    before, after = load_before(states[0]), load_after(states[1])

    shown = apply_updates(before, diff_widget(before, after))

    assert as_text(shown) == as_text(after.model_dump(mode="json"))


@settings(max_examples=100, deadline=None)
@given(ROOTS, ROOTS)
def test_updates_lead_to_the_new_widget_when_it_is_another_one(old: Node, new: Node) -> None:
    before, after = ROOT.validate_python(old), ROOT.validate_python(new)

    shown = apply_updates(before, diff_widget(before, after))

    assert as_text(shown) == as_text(after.model_dump(mode="json"))


@settings(max_examples=100, deadline=None)
@given(ROOTS, CLASSES, CLASSES)
def test_nothing_is_sent_when_the_widgets_are_equal(data: Node, one: Any, other: Any) -> None:
    assert diff_widget(one(data), other(copy.deepcopy(data))) == []


@settings(max_examples=100, deadline=None)
@given(ROOTS, st.data())
def test_only_the_delta_is_sent_when_text_is_appended_anywhere(data: Node, draw: Any) -> None:
    before = copy.deepcopy(data)
    text = {"type": "Markdown", "id": "unique", "value": "so far", "streaming": True}
    place = draw.draw(st.sampled_from([each for each in walk(before) if "children" in each]))
    place["children"] = draw.draw(st.sampled_from([text, [text], [*children_of(place), text]]))
    after = copy.deepcopy(before)
    next(each for each in walk(after) if each.get("id") == "unique")["value"] += ", and on"

    updates = diff_widget(ROOT.validate_python(before), ROOT.validate_python(after))

    assert updates == [delta("unique", ", and on", done=False)]


# --- which update it is -----------------------------------------------------------------------


@pytest.mark.parametrize("text", [Text, Markdown])
def test_delta_is_sent_when_text_is_appended(text: type[Text] | type[Markdown]) -> None:
    before = Card(children=[Row(children=[text(id="t", value="a", streaming=True)])])
    after = Card(children=[Row(children=[text(id="t", value="a b", streaming=True)])])

    assert diff_widget(before, after) == [delta("t", " b", done=False)]


def test_delta_is_sent_when_the_text_is_a_single_child() -> None:
    before = Card(children=[Transition(children=Text(id="t", value="a"))])
    after = Card(children=[Transition(children=Text(id="t", value="a b"))])

    assert diff_widget(before, after) == [delta("t", " b", done=True)]


def test_delta_is_sent_when_the_single_child_is_of_a_dynamic_component() -> None:
    def state(value: str) -> DynamicWidgetRoot:
        text = {"type": "Text", "id": "t", "value": value, "glow": 1}
        return dynamic_root(type="Basic", children={"type": "Fade", "children": text})

    assert diff_widget(state("a"), state("ab")) == [delta("t", "b", done=True)]


def test_delta_is_sent_when_children_are_nested_lists() -> None:
    def state(value: str) -> BasicRoot:
        return BasicRoot(children=cast(Any, [[[Text(id="t", value=value)]]]))

    assert diff_widget(state("a"), state("ab")) == [delta("t", "b", done=True)]


def test_delta_is_done_when_the_text_stops_streaming() -> None:
    before = Card(children=[Text(id="t", value="a", streaming=True)])
    after = Card(children=[Text(id="t", value="ab", streaming=False)])
    stopped = Card(children=[Text(id="t", value="a", streaming=False)])

    assert diff_widget(before, after) == [delta("t", "b", done=True)]
    assert diff_widget(before, stopped) == [delta("t", "", done=True)]


@pytest.mark.parametrize(
    ("was", "now"), [(True, None), (None, True), (False, True), (None, False), (False, None)]
)
def test_component_is_sent_when_a_delta_cannot_express_its_streaming(
    was: bool | None, now: bool | None
) -> None:
    text = Text(id="t", value="ab", streaming=now)

    updates = diff_widget(
        Card(children=[Text(id="t", value="a", streaming=was)]), Card(children=[text])
    )

    assert updates == [WidgetComponentUpdated(component_id="t", component=text)]


def test_one_delta_each_is_sent_when_several_texts_grow() -> None:
    before = Card(children=[Text(id="a", value=""), Box(children=[Markdown(id="b", value="1")])])
    after = Card(children=[Text(id="a", value="x"), Box(children=[Markdown(id="b", value="12")])])

    assert diff_widget(before, after) == [delta("a", "x", done=True), delta("b", "2", done=True)]


def test_nearest_component_with_an_id_is_sent_when_text_without_id_is_appended() -> None:
    def state(value: str) -> Card:
        return Card(
            children=[
                Col(id="outer", children=[Row(id="inner", children=[Text(value=value)])]),
                Text(id="other", value="same"),
            ]
        )

    updates = diff_widget(state("a"), state("ab"))

    inner = Row(id="inner", children=[Text(value="ab")])
    assert updates == [WidgetComponentUpdated(component_id="inner", component=inner)]


def test_root_is_sent_when_nothing_around_the_change_has_an_id() -> None:
    after = Card(children=[Row(children=[Text(value="ab")])])

    updates = diff_widget(Card(children=[Row(children=[Text(value="a")])]), after)

    assert updates == [WidgetRootUpdated(widget=after)]


def test_component_is_sent_when_its_text_is_rewritten() -> None:
    text = Text(id="t", value="new")

    updates = diff_widget(Card(children=[Text(id="t", value="old")]), Card(children=[text]))

    assert updates == [WidgetComponentUpdated(component_id="t", component=text)]


def test_component_is_sent_when_its_class_changes_under_the_same_id() -> None:
    title = Title(id="t", value="ab")

    updates = diff_widget(Card(children=[Text(id="t", value="a")]), Card(children=[title]))

    assert updates == [WidgetComponentUpdated(component_id="t", component=title)]


def test_component_is_sent_when_it_appends_text_and_changes_otherwise() -> None:
    text = Text(id="t", value="ab", italic=True)

    updates = diff_widget(Card(children=[Text(id="t", value="a")]), Card(children=[text]))

    assert updates == [WidgetComponentUpdated(component_id="t", component=text)]


def test_unchanged_siblings_are_not_sent_when_one_row_of_a_list_changes() -> None:
    def state(title: str) -> ListView:
        rows = [ListViewItem(id=f"r{n}", children=[Title(value=f"{n}")]) for n in range(3)]
        rows[1] = ListViewItem(id="r1", children=[Title(value=title)])
        return ListView(children=rows)

    updates = diff_widget(state("old"), state("new"))

    assert updates == [
        WidgetComponentUpdated(component_id="r1", component=state("new").children[1])
    ]


def test_parent_is_sent_when_a_child_is_added() -> None:
    row = Row(id="r", children=[Text(id="a", value="a"), Text(id="b", value="b")])

    updates = diff_widget(
        Card(children=[Row(id="r", children=[Text(id="a", value="a")])]), Card(children=[row])
    )

    assert updates == [WidgetComponentUpdated(component_id="r", component=row)]


def test_root_is_sent_when_its_own_props_change_though_it_has_an_id() -> None:
    after = Card(id="c", size="lg", children=[])

    updates = diff_widget(Card(id="c", children=[]), after)

    assert updates == [WidgetRootUpdated(widget=after)]


def test_root_is_sent_when_a_card_inside_it_changes() -> None:
    def state(size: Any) -> BasicRoot:
        return BasicRoot(children=cast(Any, [Card(id="c", size=size, children=[])]))

    assert diff_widget(state("sm"), state("lg")) == [WidgetRootUpdated(widget=state("lg"))]


def test_root_is_sent_when_the_changed_text_shares_its_id() -> None:
    def state(value: str) -> Card:
        return Card(children=[Text(id="t", value=value), Row(id="t", children=[])])

    assert diff_widget(state("a"), state("ab")) == [WidgetRootUpdated(widget=state("ab"))]


def test_root_is_sent_when_two_components_swap_their_ids() -> None:
    after = Card(children=[Text(id="b", value="x"), Text(id="a", value="y")])

    updates = diff_widget(Card(children=[Text(id="a", value="x"), Text(id="b", value="y")]), after)

    assert updates == [WidgetRootUpdated(widget=after)]


@pytest.mark.parametrize(
    ("old", "new"), [({"glow": 1}, {}), ({}, {"glow": 1}), ({"glow": True}, {"glow": 1})]
)
def test_component_is_sent_when_only_one_of_two_dynamic_ones_has_a_prop(
    old: Node, new: Node
) -> None:
    before = dynamic_root(type="Card", children=[{"type": "Gauge", "id": "g", **old}])
    after = dynamic_root(type="Card", children=[{"type": "Gauge", "id": "g", **new}])

    updates = diff_widget(before, after)

    component = dynamic(type="Gauge", id="g", **new)
    assert updates == [WidgetComponentUpdated(component_id="g", component=component)]


def test_nothing_is_sent_when_a_typed_and_a_dynamic_widget_look_the_same() -> None:
    action = ActionConfig(type="go", payload={"a": None})
    typed = Card(
        children=[
            Button(label="Go", onClickAction=action),
            DatePicker(name="d", min=datetime(2026, 1, 2, tzinfo=UTC)),
        ]
    )

    assert diff_widget(typed, dynamic_root(**typed.model_dump(mode="json"))) == []


def test_root_is_sent_when_only_a_null_in_a_payload_is_gone() -> None:
    def state(payload: Any) -> Card:
        return Card(children=[Button(onClickAction=ActionConfig(type="go", payload=payload))])

    updates = diff_widget(state({"a": None}), state({}))

    assert updates == [WidgetRootUpdated(widget=state({}))]


@pytest.mark.parametrize("shape", ["wide", "deep"])
def test_each_component_is_read_once_when_two_states_are_compared(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read_props = WidgetComponentBase.wire_props

    def count(component: WidgetComponentBase) -> Node:
        reads.append(component.type)
        return read_props(component)

    def state(value: str) -> Card:
        if shape == "wide":
            return Card(children=[*(Text(value="same") for _ in range(50)), Text(value=value)])
        inner: Any = Text(value=value)
        for _ in range(50):
            inner = Row(children=[inner])
        return Card(children=[inner])

    before, after = state("a"), state("b")
    monkeypatch.setattr(WidgetComponentBase, "wire_props", count)

    updates = diff_widget(before, after)

    assert [each.type for each in updates] == ["widget.root.updated"]
    assert len(reads) == 2 * 52
