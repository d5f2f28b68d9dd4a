"""The laws of widget updates, each over 2,000 random trees with children in lists of lists."""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.chatkit.streaming.updates import apply_update
from app.chatkit.streaming.widget_diff import diff_widget
from app.chatkit.widgets import WidgetRoot
from app.chatkit.widgets.base import WidgetComponentBase
from tests.chatkit.streaming.widget_trees import CLASSES, PROPS, as_json, delta, widget_item

Node = dict[str, Any]
ROOT: TypeAdapter[Any] = TypeAdapter(WidgetRoot)

COMPONENTS = st.recursive(
    PROPS,
    lambda inner: st.builds(
        lambda props, children: {**props, "children": children},
        PROPS,
        inner | st.lists(inner | st.lists(inner, max_size=2), max_size=3),
    ),
    max_leaves=6,
)
TREES = st.builds(
    lambda kind, children: {"type": kind, "children": children},
    st.sampled_from(["Card", "Basic"]),
    st.lists(COMPONENTS | st.lists(COMPONENTS, max_size=2), max_size=3),
)


def walk(value: Any) -> list[Node]:
    """Return all components, also of children in lists of lists."""
    if isinstance(value, list):
        return [each for child in value for each in walk(child)]
    return [value, *walk(value.get("children") or [])]


@st.composite
def edited(draw: st.DrawFn) -> tuple[Node, Node]:
    """A tree, and the same with one or two things changed."""
    before = draw(TREES)
    after = copy.deepcopy(before)
    for _ in range(draw(st.integers(1, 2))):
        node = draw(st.sampled_from(walk(after)))
        children = node.get("children")
        kind = draw(st.sampled_from(["append", "append", "stop", "props", "child", "fewer"]))
        if kind == "append" and isinstance(node.get("value"), str):
            node["value"] += "!"
        elif kind == "stop" and node.get("streaming"):
            node["streaming"] = False
        elif kind == "props" and node is not after:
            node.update(draw(PROPS))
        elif kind == "child":
            extra = draw(PROPS | st.lists(PROPS, max_size=2))
            node["children"] = [*(children if isinstance(children, list) else []), extra]
        elif kind == "fewer" and isinstance(children, list):
            node["children"] = children[1:]
    return before, after


def as_text(widget: Any) -> str:
    """Return a widget as JSON, in which 1 and true are not the same."""
    return json.dumps(as_json(widget), sort_keys=True)


@settings(
    max_examples=2000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(edited(), CLASSES, CLASSES, st.data())
def test_all_laws_hold_when_a_tree_is_random(
    trees: tuple[Node, Node], load_before: Any, load_after: Any, data: st.DataObject
) -> None:
    before, after = load_before(trees[0]), load_after(trees[1])
    check_that_updates_lead_to_the_new_tree(before, after)
    assert diff_widget(before, load_after(copy.deepcopy(trees[0]))) == []
    check_that_only_the_delta_is_sent(trees[0], data)
    for widget in (before, after):
        assert as_text(ROOT.validate_json(widget.model_dump_json())) == as_text(widget)


def check_that_updates_lead_to_the_new_tree(before: Any, after: Any) -> None:
    """Also, each component is looked at once: the cost grows with the tree, and no faster."""
    item = widget_item(before.model_copy(deep=True))
    reads: list[WidgetComponentBase] = []
    read_props = WidgetComponentBase.wire_props
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            WidgetComponentBase, "wire_props", lambda each: reads.append(each) or read_props(each)
        )
        updates = diff_widget(before, after)

    assert len(reads) <= len(walk(as_json(before))) + len(walk(as_json(after)))
    for update in updates:
        apply_update(item, update)
    assert as_text(item.widget) == as_text(after)


def check_that_only_the_delta_is_sent(tree: Node, data: st.DataObject) -> None:
    tree = copy.deepcopy(tree)
    text = {"type": "Text", "id": "unique", "value": "so far", "streaming": True}
    places = [each for each in walk(tree) if "children" in each]
    place = data.draw(st.sampled_from(places))
    place["children"] = data.draw(st.sampled_from([text, [text], [[text], []]]))
    grown = copy.deepcopy(tree)
    next(each for each in walk(grown) if each.get("id") == "unique")["value"] += ", and on"

    updates = diff_widget(ROOT.validate_python(tree), ROOT.validate_python(grown))

    assert updates == [delta("unique", ", and on", done=False)]
