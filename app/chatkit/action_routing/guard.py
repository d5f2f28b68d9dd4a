"""An action is a capability: it is carried out only as the stored widget offers it.

What a client sends is compared with the widget in the store. Its type, handler and way of answering
must be those of an action in it, and every payload key that the widget fixed must have come back as
it was. What may be added are the values of the inputs in the same form, nested by their dotted
names. Where a widget has an action several times (the rows of a list), any of them will do.

That is the strict check. The lenient one, for servers which override ``action()`` as with the
official SDK, is about fixed values alone: see ``check_leniently``. Either way the handler gets the
widget's own values, not what a browser has made of them (see ``fixed_values``).
"""

import functools
import logging
from typing import Any, Protocol, cast

from app.chatkit.action_routing.fixed_values import as_browser, merge, only_one
from app.chatkit.action_routing.offers import Fields, Node, Offer, list_offers
from app.chatkit.actions import DEFAULT_HANDLER, Action
from app.chatkit.errors import UnprocessableError
from app.chatkit.protocol.items import WidgetItem
from app.chatkit.protocol.serialization import dump_value
from app.chatkit.streaming.widget_diff import is_same

_NOTHING: Node = {}
_MAX_QUOTED = 80

logger = logging.getLogger("chatkit")


class ClientPolicy(Protocol):
    """Knows which actions the page may send by itself."""

    def may_come_from_client(self, action_type: str) -> bool | None:
        """Return whether the page may send it; None where there is no such action."""
        ...


def check_action(
    action: Action[str, Any],
    sender: WidgetItem | None,
    policy: ClientPolicy | None,
    *,
    streaming: bool,
    strict: bool,
) -> Action[str, Any]:
    """Return the action as its handler gets it, with the widget's own values.

    Raises ``UnprocessableError``, with the reason, if the client may not send it. What the policy
    leaves to the client may always be sent. Everything else needs a ``sender`` that offers it; only
    where there is no policy, an action of the page itself passes.
    """
    allowed = policy.may_come_from_client(action.type) if policy is not None else None
    if sender is not None:
        if allowed:
            return _with_own_values(action, _offers_of(sender, action))
        check = check_strictly if strict else check_leniently
        return check(sender, action, streaming=streaming)
    if policy is None or allowed:
        return action
    if allowed is None:
        raise UnprocessableError(f"Unknown action {quote(action.type)}")
    raise UnprocessableError(
        f"The action {quote(action.type)} belongs to a widget: the page cannot send it"
    )


def check_strictly(
    sender: WidgetItem, action: Action[str, Any], *, streaming: bool
) -> Action[str, Any]:
    """Return ``action`` if the widget offers exactly this, or raise ``UnprocessableError``."""
    _, payload = find_offer(sender, action, streaming=streaming)
    return _with_payload(action, payload)


def check_leniently(
    sender: WidgetItem, action: Action[str, Any], *, streaming: bool
) -> Action[str, Any]:
    """Return ``action`` unless it is a changed copy of what the widget offers for the server.

    An action of another type passes, and so does one that the widget leaves to the page: its
    handler there may send it on, with any payload. Raises ``UnprocessableError`` where values that
    the widget fixed were changed, or a streaming action is sent as one that is not.
    """
    offers = _offers_of(sender, action)
    if not offers or not all(map(_fixes_for_the_server, offers)):
        return _with_own_values(action, offers)
    offers = _sent_the_right_way(offers, action, streaming=streaming)
    _, payload = _take_up(offers, action, may_add=True)
    return _with_payload(action, payload)


def find_offer(
    sender: WidgetItem, action: Action[str, Any], *, streaming: bool
) -> tuple[Offer, Any]:
    """Return the offer of the sender that ``action`` takes up, and the payload with its own values.

    Raises ``UnprocessableError`` if there is none.
    """
    name = quote(action.type)
    offers = _offers_of(sender, action)
    if not offers:
        raise UnprocessableError(f"Unknown action {name}: the widget does not offer it (any more)")
    offers = [each for each in offers if each.handler == DEFAULT_HANDLER]
    if not offers:
        raise UnprocessableError(f"The action {name} is for the page, not for the server")
    offers = _sent_the_right_way(offers, action, streaming=streaming)
    offer, payload = _take_up(offers, action, may_add=False)
    _report_collisions(offer)
    return offer, payload


def _fixes_for_the_server(offer: Offer) -> bool:
    return offer.handler == DEFAULT_HANDLER and offer.payload is not None and offer.payload != {}


def _offers_of(sender: WidgetItem, action: Action[str, Any]) -> list[Offer]:
    """Return the offers of that type, equal ones (the rows of a list, say) once."""
    found: dict[object, Offer] = {}
    for each in list_offers(sender.widget):
        if each.type == action.type:
            what = (dump_value(each.payload), each.fields, each.handler, each.streaming)
            found.setdefault(what, each)
    return list(found.values())


def _sent_the_right_way(
    offers: list[Offer], action: Action[str, Any], *, streaming: bool
) -> list[Offer]:
    offers = [each for each in offers if each.streaming is streaming]
    if not offers:
        expected = "threads.sync_custom_action" if streaming else "threads.custom_action"
        raise UnprocessableError(f"The action {quote(action.type)} has to be sent as {expected}")
    return offers


def _take_up(offers: list[Offer], action: Action[str, Any], *, may_add: bool) -> tuple[Offer, Any]:
    """Return the offer whose fixed values have come back, and the payload with these values.

    ``may_add`` lets any key be added, not only the inputs of the form.
    """
    name = quote(action.type)
    faults: list[str] = []
    matches: list[tuple[Offer, Any]] = []
    given = _as_given(action.payload)
    for offer in offers:
        fault = _find_fault(offer, given, may_add=may_add)
        if fault is None:
            matches.append((offer, merge(offer.payload, action.payload)))
        else:
            faults.append(fault)
    if not matches:
        fault = faults[0] if len(faults) == 1 else "it is none of those that the widget offers"
        raise UnprocessableError(f"The action {name} was changed: {fault}")
    found = only_one(matches, action.payload)
    if found is None:
        raise UnprocessableError(
            f"The action {name} is not clear: several of those that the widget offers differ only "
            "in numbers that a browser cannot tell apart; fix them as text"
        )
    return found


def _with_own_values(action: Action[str, Any], offers: list[Offer]) -> Action[str, Any]:
    """Return ``action`` with the values of the one offer that it can be, if there is one."""
    given = _as_given(action.payload)
    matches = [
        (each, merge(each.payload, action.payload))
        for each in offers
        if _find_fault(each, given, may_add=True) is None
    ]
    found = only_one(matches, action.payload) if matches else None
    return action if found is None else _with_payload(action, found[1])


def _with_payload(action: Action[str, Any], payload: Any) -> Action[str, Any]:
    return action.model_copy(update={"payload": payload})


def quote(text: str) -> str:
    """Return a text of the client's for a message, quoted and not too long."""
    return f'"{text}"' if len(text) <= _MAX_QUOTED else f'"{text[:_MAX_QUOTED]}…"'


# --- what a client sent --------------------------------------------------------------------------


def _as_given(payload: Any) -> Any:
    """Return a payload as it is compared with those of offers: once, since it may be large."""
    return _NOTHING if payload is None else as_browser(payload)


def _find_fault(offer: Offer, given: Any, *, may_add: bool) -> str | None:
    """Return what is wrong with a payload; none at all and an empty one are the same."""
    fixed = _NOTHING if offer.payload is None else as_browser(offer.payload)
    return _compare(fixed, given, offer.fields, "payload", may_add=may_add)


def _compare(
    fixed: object, given: object, fields: Fields, path: str, *, may_add: bool
) -> str | None:
    """Return what is wrong with ``given``, if it is not ``fixed`` and values for ``fields``."""
    if not (isinstance(fixed, dict) and isinstance(given, dict)):
        same = is_same(cast("object", fixed), given)
        return None if same else f"{path} is not what the widget fixed"
    fixed_values, values = cast("Node", fixed), cast("Node", given)
    for name in fixed_values:
        if name not in values:
            return f"{path}.{name} is missing"
    inputs = _group(fields)
    for name in fixed_values if may_add else values:
        below = inputs.get(name, frozenset())
        where = f"{path}.{quote(name)[1:-1]}"
        fault = _compare_key(fixed_values, name, values[name], below, where, may_add=may_add)
        if fault is not None:
            return fault
    return None


@functools.lru_cache(maxsize=16)
def _group(fields: Fields) -> dict[str, Fields]:
    """Return what lies below each first name of ``fields``: all actions of a form share them."""
    below: dict[str, set[tuple[str, ...]]] = {}
    for first, *rest in fields:
        below.setdefault(first, set()).add(tuple(rest))
    return {name: frozenset(paths) for name, paths in below.items()}


def _compare_key(
    fixed: Node, name: str, value: Any, fields: Fields, path: str, *, may_add: bool
) -> str | None:
    """Return what is wrong with one key; an empty path in ``fields`` means that it is an input."""
    deeper = fields - {()}
    is_input = () in fields
    if name in fixed:
        if deeper:
            return _compare(fixed[name], value, deeper, path, may_add=may_add)
        if is_same(fixed[name], value):
            return None
        why = "; an input has the same name, but the fixed value stands" if is_input else ""
        return f"{path} is not what the widget fixed{why}"
    if is_input and not isinstance(cast("object", value), dict):
        return None
    if deeper:
        return _compare(_NOTHING, value, deeper, path, may_add=may_add)
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
