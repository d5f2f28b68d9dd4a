"""What a widget offers: its actions, and the inputs whose values may come along."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from app.chatkit.actions import DEFAULT_HANDLER, is_action_prop
from app.chatkit.widgets.base import WidgetComponentBase

Node = dict[str, Any]
Fields = frozenset[tuple[str, ...]]
"""The names of inputs, each as the path at which its value is nested in a payload."""

NAMED_OTHERWISE = frozenset({"Icon"})
"""Components whose ``name`` is not that of a form value."""
FREE_FORM_PROPS = frozenset({"data", "payload"})
"""Props with data of anybody's making; what looks like an action in them is none."""

_NO_FIELDS: Fields = frozenset()


@dataclass(frozen=True, slots=True)
class Offer:
    """An action in a widget, with the inputs whose values may come along."""

    type: str
    payload: Any
    handler: str
    streaming: bool
    fields: Fields


def list_offers(widget: WidgetComponentBase) -> list[Offer]:
    """Return every action in a widget, in its typed and dynamic components alike.

    A disabled component offers nothing: nobody can have clicked it.
    """
    return list(_offers_in(widget.model_dump(mode="json"), _NO_FIELDS))


def _offers_in(value: Any, form: Fields) -> Iterator[Offer]:
    if isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _offers_in(each, form)
    if not isinstance(value, dict):
        return
    node = cast("Node", value)
    if _is_form(node):
        form = frozenset(_fields_in(node.get("children")))
    for name, prop in node.items():
        if is_action_prop(name, prop):
            if node.get("disabled") is not True:
                own = frozenset(_fields_of(node))
                # Not a set for each: a form may have as many actions as it has inputs.
                yield _to_offer(prop, form if own <= form else form | own)
        elif name not in FREE_FORM_PROPS:
            yield from _offers_in(prop, form)


def _is_form(node: Node) -> bool:
    return node.get("type") == "Form" or (node.get("type") == "Card" and node.get("asForm") is True)


def _to_offer(config: Node, fields: Fields) -> Offer:
    return Offer(
        type=config["type"],
        payload=config.get("payload"),
        handler=config.get("handler") or DEFAULT_HANDLER,
        streaming=config.get("streaming") is not False,
        fields=fields,
    )


def _fields_in(value: Any) -> Iterator[tuple[str, ...]]:
    """Yield the inputs below a form; those of a form inside it count for both."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(cast("list[Any]", each))
        elif isinstance(each, dict):
            node = cast("Node", each)
            yield from _fields_of(node)
            pending.extend(prop for name, prop in node.items() if name not in FREE_FORM_PROPS)


def _fields_of(node: Node) -> Iterable[tuple[str, ...]]:
    """Return the path that an input's value is submitted at, if the component is an input."""
    name = input_name(node)
    return [tuple(name.split("."))] if name is not None else []


def input_name(node: Node) -> str | None:
    """Return the dotted name that a component submits its value under, if it is an input.

    A component that we do not know is taken for one if it has a name.
    """
    kind = node.get("type")
    named = node
    if kind == "Text":
        editable = node.get("editable")
        named = cast("Node", editable) if isinstance(editable, dict) else {}
    elif not isinstance(kind, str) or kind in NAMED_OTHERWISE:
        return None
    name = named.get("name")
    return name if isinstance(name, str) and name else None
