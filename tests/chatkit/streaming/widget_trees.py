"""Widgets as trees: random ones for laws, and what is in one."""

import json
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.chatkit.protocol.events import (
    WidgetStreamingTextValueDelta,
)
from app.chatkit.protocol.items import WidgetItem
from app.chatkit.widgets import (
    DynamicWidgetRoot,
    WidgetRoot,
)
from tests.support.samples import MOMENT, THREAD_ID

ROOT: TypeAdapter[Any] = TypeAdapter(WidgetRoot)


Node = dict[str, Any]


def children_of(node: Node) -> list[Node]:
    children = node.get("children") or []
    return children if isinstance(children, list) else [children]


def walk(node: Node) -> list[Node]:
    return [node, *(each for child in children_of(node) for each in walk(child))]


def delta(component_id: str, text: str, *, done: bool) -> WidgetStreamingTextValueDelta:
    return WidgetStreamingTextValueDelta(component_id=component_id, delta=text, done=done)


PROPS = st.fixed_dictionaries(
    {"type": st.sampled_from(["Text", "Markdown", "Row", "Gauge"])},
    optional={
        "id": st.sampled_from(["a", "b", "c", "d", "e", ""]),
        "key": st.sampled_from(["k1", "k2"]),
        "value": st.sampled_from(["", "x", "xy", "xyz", "y", 1, None]),
        "streaming": st.sampled_from([True, False, None]),
        "gap": st.sampled_from([1, 1.5, True, "1px"]),
        "glow": st.sampled_from([None, [None], {"a": [1]}, {"a": [True]}]),
    },
)


CLASSES = st.sampled_from([ROOT.validate_python, DynamicWidgetRoot.model_validate])


def as_json(model: Any) -> Any:
    return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))


def widget_item(widget: WidgetRoot) -> WidgetItem:
    return WidgetItem(id="w", thread_id=THREAD_ID, created_at=MOMENT, widget=widget)
