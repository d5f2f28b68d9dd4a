"""What an action does to the widget it came from: keep what was entered, and be used up."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from app.chatkit.action_routing.offers import FREE_FORM_PROPS, Node, input_name
from app.chatkit.actions import is_action_prop
from app.chatkit.widgets import WidgetRoot
from app.chatkit.widgets.base import WidgetComponentBase
from app.chatkit.widgets.layout import load_root

_ABSENT = object()


def fill_in(widget: WidgetComponentBase, values: BaseModel | Mapping[str, Any]) -> WidgetRoot:
    """Return ``widget`` with ``values`` in its inputs, each found by its dotted name.

    Of a model those fields are taken that were set; a value that belongs to no input is ignored.
    """
    if isinstance(values, BaseModel):
        values = values.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def fill(node: Node) -> Node:
        name = input_name(node)
        value = _at(values, name.split(".")) if name is not None else _ABSENT
        return node if value is _ABSENT else _with_value(node, value)

    return _edit(widget, fill)


def consume(widget: WidgetComponentBase) -> WidgetRoot:
    """Return ``widget`` with all its actions gone and its inputs and buttons disabled.

    It shows what it showed, but cannot be used again, whatever a client sends.
    """
    return _edit(widget, _use_up)


def _use_up(node: Node) -> Node:
    kept = {
        name: prop
        for name, prop in node.items()
        if not is_action_prop(name, prop) and not _is_card_button(prop)
    }
    if node.get("type") == "Button" or (input_name(node) is not None and "name" in node):
        kept["disabled"] = True
    elif kept.get("editable"):
        kept["editable"] = False
    if kept.get("asForm"):
        kept["asForm"] = False
    return kept


def _is_card_button(prop: Any) -> bool:
    """Return whether a prop is a card's ``confirm`` or ``cancel``: nothing without its action."""
    return isinstance(prop, dict) and is_action_prop("action", cast("Node", prop).get("action"))


def _with_value(node: Node, value: Any) -> Node:
    match node.get("type"):
        case "Checkbox":
            return {**node, "defaultChecked": bool(value)}
        case "Text":
            return {**node, "value": "" if value is None else str(value)}
        case _ if value is None:
            return {name: prop for name, prop in node.items() if name != "defaultValue"}
        case "Input" | "Textarea" | "Select" | "RadioGroup" | "DatePicker":
            return {**node, "defaultValue": str(value)}
        case _:
            return {**node, "defaultValue": value}


def _at(values: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(values, Mapping) or name not in values:
            return _ABSENT
        values = cast("Mapping[str, Any]", values)[name]
    return values


def _edit(widget: WidgetComponentBase, change: Callable[[Node], Node]) -> WidgetRoot:
    return load_root(_edit_below(widget.model_dump(mode="json"), change))


def _edit_below(value: Any, change: Callable[[Node], Node]) -> Any:
    """Return a widget's data with ``change`` applied to each of its components."""
    if isinstance(value, list):
        return [_edit_below(each, change) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    node = cast("Node", value)
    if isinstance(node.get("type"), str):
        node = change(node)
    return {
        name: prop
        if name in FREE_FORM_PROPS or is_action_prop(name, prop)
        else _edit_below(prop, change)
        for name, prop in node.items()
    }
