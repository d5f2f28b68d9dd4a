"""The values that a widget fixed, and what is left of them when a browser has sent them back.

A browser reads every JSON number as a double and writes it back in its own way: ``2.0`` becomes
``2``, and an integer beyond 2^53 the nearest double. That is no forgery. Values are compared as a
browser knows them, and what a handler gets is the widget's own value.
"""

import math
from typing import Any, TypeVar, cast

from app.chatkit.protocol.serialization import clean_text
from app.chatkit.streaming.widget_diff import is_same

T = TypeVar("T")


def as_browser(value: Any) -> Any:
    """Return a JSON value as a browser sends it back, with every number as a double."""
    match value:
        case bool():
            return value
        case int() | float():
            return _as_double(value)
        case str():
            return clean_text(value)
        case list():
            return [as_browser(each) for each in cast("list[Any]", value)]
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return {name: as_browser(each) for name, each in pairs}
        case _:
            return value


def _as_double(number: float) -> float | None:
    try:
        double = float(number)
    except OverflowError:
        return None
    return double if math.isfinite(double) else None  # JSON has no other numbers


def merge(fixed: Any, given: Any) -> Any:
    """Return ``given`` with the values that are ``fixed`` in their places."""
    if isinstance(fixed, dict) and isinstance(given, dict):
        own, others = cast("dict[str, Any]", fixed), cast("dict[str, Any]", given)
        # What a client has added may be much more than what the widget fixed.
        kept = {name: merge(own[name], others[name]) for name in own if name in others}
        return {**others, **kept} if kept else others
    return cast("Any", given if fixed is None else fixed)


def only_one(matches: list[tuple[T, Any]], given: Any) -> tuple[T, Any] | None:
    """Return the match (an offer, its merged payload) that ``given`` stands for.

    Numbers that differ only beyond a double's precision match the same ``given``. Then there is no
    way to tell, unless it holds a number as only another client than a browser can write it.
    """
    first, payload = matches[0]
    if all(_is_equal(each, payload) for _, each in matches[1:]):
        return first, payload
    if given == as_browser(given):
        return None
    return next((match for match in matches if match[1] == given), None)


def _is_equal(payload: Any, other: Any) -> bool:
    return payload is other or (payload == other and is_same(payload, other))
