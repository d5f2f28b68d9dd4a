"""An action is a capability: it is carried out only as the stored widget offers it.

What a client sends is compared with the widget in the store. Its type, handler and way of answering
must be those of an action in it, and every payload key that the widget fixed must have come back as
it was. What may be added are the values of the inputs in the same form, nested by their dotted
names. Where a widget has an action several times (the rows of a list), any of them will do.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

from app.chatkit.actions import DEFAULT_HANDLER, Action
from app.chatkit.errors import UnprocessableError
from app.chatkit.protocol.items import WidgetItem
from app.chatkit.streaming.widget_diff import is_same
from app.chatkit.widgets.base import WidgetComponentBase

Node = dict[str, Any]
Fields = frozenset[tuple[str, ...]]
"""The names of inputs, each as the path at which its value is nested in a payload."""

NAMED_OTHERWISE = frozenset({"Icon"})
"""Components whose ``name`` is not that of a form value."""
FREE_FORM_PROPS = frozenset({"data", "payload"})
"""Props with data of anybody's making; what looks like an action in them is none."""

_ACTION_PROP = re.compile(r"on[A-Z]\w*Action|action")
_NO_FIELDS: Fields = frozenset()
_NOTHING: Node = {}
_MAX_QUOTED = 80

logger = logging.getLogger("chatkit")


class ClientPolicy(Protocol):
    """Knows which actions the page may send by itself."""

    def may_come_from_client(self, action_type: str) -> bool | None:
        """Return whether the page may send it; None where there is no such action."""
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """An action in a widget, with the inputs whose values may come along."""

    type: str
    payload: Any
    handler: str
    streaming: bool
    fields: Fields


def check_action(
    action: Action[str, Any],
    sender: WidgetItem | None,
    policy: ClientPolicy | None,
    *,
    streaming: bool,
) -> None:
    """Raise ``UnprocessableError``, with the reason, if the client may not send this action.

    What the policy leaves to the client may always be sent. Everything else needs a ``sender`` that
    offers it; only where there is no policy, an action of the page itself passes.
    """
    allowed = policy.may_come_from_client(action.type) if policy is not None else None
    if allowed:
        return
    if sender is not None:
        find_offer(sender.widget, action, streaming=streaming)
    elif policy is not None and allowed is None:
        raise UnprocessableError(f"Unknown action {quote(action.type)}")
    elif policy is not None:
        raise UnprocessableError(
            f"The action {quote(action.type)} belongs to a widget: the page cannot send it"
        )


def find_offer(widget: WidgetComponentBase, action: Action[str, Any], *, streaming: bool) -> Offer:
    """Return the offer in ``widget`` that ``action`` takes up, or raise ``UnprocessableError``."""
    name = quote(action.type)
    offers = [each for each in list_offers(widget) if each.type == action.type]
    if not offers:
        raise UnprocessableError(f"Unknown action {name}: the widget does not offer it (any more)")
    offers = [each for each in offers if each.handler == DEFAULT_HANDLER]
    if not offers:
        raise UnprocessableError(f"The action {name} is for the page, not for the server")
    offers = [each for each in offers if each.streaming is streaming]
    if not offers:
        expected = "threads.sync_custom_action" if streaming else "threads.custom_action"
        raise UnprocessableError(f"The action {name} has to be sent as {expected}")
    faults: list[str] = []
    for offer in offers:
        fault = _find_fault(offer, action.payload)
        if fault is None:
            _report_collisions(offer)
            return offer
        faults.append(fault)
    fault = faults[0] if len(faults) == 1 else "it is none of those that the widget offers"
    raise UnprocessableError(f"The action {name} was changed: {fault}")


def quote(text: str) -> str:
    """Return a text of the client's for a message, quoted and not too long."""
    return f'"{text}"' if len(text) <= _MAX_QUOTED else f'"{text[:_MAX_QUOTED]}…"'


# --- what a widget offers ------------------------------------------------------------------------


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
                yield _to_offer(prop, form | frozenset(_fields_of(node)))
        elif name not in FREE_FORM_PROPS:
            yield from _offers_in(prop, form)


def _is_form(node: Node) -> bool:
    return node.get("type") == "Form" or (node.get("type") == "Card" and node.get("asForm") is True)


def is_action_prop(name: str, prop: Any) -> bool:
    """Return whether a prop of that name holds an action."""
    if not isinstance(prop, dict) or not _ACTION_PROP.fullmatch(name):
        return False
    return isinstance(cast("Node", prop).get("type"), str)


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


# --- what a client sent --------------------------------------------------------------------------


def _find_fault(offer: Offer, payload: Any) -> str | None:
    """Return what is wrong with a payload; none at all and an empty one are the same."""
    fixed = _NOTHING if offer.payload is None else offer.payload
    given = _NOTHING if payload is None else payload
    return _compare(fixed, given, offer.fields, "payload")


def _compare(fixed: object, given: object, fields: Fields, path: str) -> str | None:
    """Return what is wrong with ``given``, if it is not ``fixed`` and values for ``fields``."""
    if not (isinstance(fixed, dict) and isinstance(given, dict)):
        same = is_same(cast("object", fixed), given)
        return None if same else f"{path} is not what the widget fixed"
    fixed_values, values = cast("Node", fixed), cast("Node", given)
    for name in fixed_values:
        if name not in values:
            return f"{path}.{name} is missing"
    for name, value in values.items():
        below = frozenset(each[1:] for each in fields if each[0] == name)
        fault = _compare_key(fixed_values, name, value, below, f"{path}.{quote(name)[1:-1]}")
        if fault is not None:
            return fault
    return None


def _compare_key(fixed: Node, name: str, value: Any, fields: Fields, path: str) -> str | None:
    """Return what is wrong with one key; an empty path in ``fields`` means that it is an input."""
    deeper = fields - {()}
    is_input = () in fields
    if name in fixed:
        if deeper:
            return _compare(fixed[name], value, deeper, path)
        if is_same(fixed[name], value):
            return None
        why = "; an input has the same name, but the fixed value stands" if is_input else ""
        return f"{path} is not what the widget fixed{why}"
    if is_input and not isinstance(cast("object", value), dict):
        return None
    if deeper:
        return _compare(_NOTHING, value, deeper, path)
    return f"{path} is no form value" if is_input else f"{path} is not asked for"


def _report_collisions(offer: Offer) -> None:
    """Log inputs with the name of a fixed key: the client ignores what is entered there."""
    for field in offer.fields:
        value = offer.payload
        for name in field:
            if not isinstance(value, dict) or name not in value:
                break
            value = cast("Node", value)[name]
        else:
            logger.warning(
                "An input has the name of a payload key that its widget fixed; it is ignored",
                extra={"action_type": offer.type, "input_name": ".".join(field)},
            )
