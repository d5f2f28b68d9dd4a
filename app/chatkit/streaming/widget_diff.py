"""The smallest updates that turn one state of a widget into the next."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from app.chatkit.actions import ActionConfig
from app.chatkit.protocol.events import (
    WidgetComponentUpdated,
    WidgetRootUpdated,
    WidgetStreamingTextValueDelta,
)
from app.chatkit.widgets import Card, ListView, WidgetComponent, WidgetRoot
from app.chatkit.widgets.base import WidgetComponentBase

WidgetUpdate = WidgetStreamingTextValueDelta | WidgetComponentUpdated | WidgetRootUpdated
Props = dict[str, Any]

_CHILDREN = frozenset({"children"})
_WITH_TEXT = frozenset({"children", "value", "streaming"})
_SCALARS = (str, int, float, bool)


def diff_widget(before: WidgetRoot, after: WidgetRoot) -> list[WidgetUpdate]:
    """Return the updates that turn what shows ``before`` into ``after``; none if they are equal.

    Text appended to a ``Text`` or ``Markdown`` is sent as a delta; every other difference as the
    nearest component around it that can be addressed, which needs an ``id`` that is the same in
    both states and occurs once in each. Where there is none, the root is sent anew.
    """
    updates = _Comparison(before, after).updates_at(before, after)
    return [WidgetRootUpdated(widget=after)] if updates is None else updates


class _Comparison:
    """Walks two states side by side, each node once.

    In what its methods return, ``None`` means that only a replacement further up will do.
    """

    def __init__(self, before: WidgetComponentBase, after: WidgetComponentBase) -> None:
        self._before = before
        self._after = after

    @cached_property
    def _addressable(self) -> set[str]:
        return _unique_ids(self._before) & _unique_ids(self._after)

    def updates_at(
        self, before: WidgetComponentBase, after: WidgetComponentBase
    ) -> list[WidgetUpdate] | None:
        """Return the updates for two components at the same place."""
        if before is after:
            return []
        updates = self._updates_inside(before.wire_props(), after.wire_props())
        if updates is None and self._is_replaceable(before, after):
            component = cast(WidgetComponent, after)
            return [WidgetComponentUpdated(component_id=after.id or "", component=component)]
        return updates

    def _is_replaceable(self, before: WidgetComponentBase, after: WidgetComponentBase) -> bool:
        # A root goes into a root update only, also one that is nested in a Basic.
        is_root = after is self._after or isinstance(after, Card | ListView)
        return not is_root and before.id == after.id and after.id in self._addressable

    def _updates_inside(self, before: Props, after: Props) -> list[WidgetUpdate] | None:
        delta = self._text_delta(before, after)
        if not _same_props(before, after, _WITH_TEXT if delta else _CHILDREN):
            return None
        updates = self._updates_below(before.get("children"), after.get("children"))
        return updates if updates is None or delta is None else [delta, *updates]

    def _updates_below(self, before: object, after: object) -> list[WidgetUpdate] | None:
        """Return the updates for two values of ``children``: one component, a list or nothing."""
        if isinstance(before, WidgetComponentBase) and isinstance(after, WidgetComponentBase):
            return self.updates_at(before, after)
        olds, news = _as_list(before), _as_list(after)
        if olds is not None and news is not None:
            return self._updates_in_list(olds, news)
        return [] if is_same(before, after) else None

    def _updates_in_list(
        self, before: list[object], after: list[object]
    ) -> list[WidgetUpdate] | None:
        if len(before) != len(after):
            return None
        updates: list[WidgetUpdate] = []
        for old, new in zip(before, after, strict=True):
            inner = self._updates_below(old, new)
            if inner is None:
                return None
            updates.extend(inner)
        return updates

    def _text_delta(self, before: Props, after: Props) -> WidgetStreamingTextValueDelta | None:
        """Return what was appended, if a delta can say all that changed.

        A delta that is ``done`` ends the streaming of a text which streamed until then.
        """
        component_id = after.get("id")
        old, new = before.get("value"), after.get("value")
        was, now = before.get("streaming"), after.get("streaming")
        if (
            after["type"] not in ("Text", "Markdown")
            or (old == new and was == now)
            or not (isinstance(old, str) and isinstance(new, str) and new.startswith(old))
            or not is_same(False if was and not now else was, now)
            or component_id not in self._addressable
        ):
            return None
        return WidgetStreamingTextValueDelta(
            component_id=component_id, delta=new[len(old) :], done=not now
        )


def _unique_ids(root: WidgetComponentBase) -> set[str]:
    counts = Counter(component.id for component in _components(root) if component.id)
    return {each for each, count in counts.items() if count == 1}


def _components(value: object) -> Iterator[WidgetComponentBase]:
    """Every component of a tree, without recursing through generators."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(cast(list[object], each))
        elif isinstance(each, WidgetComponentBase):
            yield each
            pending.append(each.__dict__.get("children"))


def _as_list(value: object) -> list[object] | None:
    return cast(list[object], value) if isinstance(value, list) else None


def _same_props(before: Props, after: Props, apart: frozenset[str]) -> bool:
    """Whether two components have the same props, those in ``apart`` aside."""
    if before.keys() - apart != after.keys() - apart:
        return False
    return all(name in apart or is_same(value, after[name]) for name, value in before.items())


def is_same(before: object, after: object) -> bool:
    """Whether two values look the same on the wire, whatever classes hold them."""
    if before is after:
        return True
    if type(before) is type(after):
        if isinstance(before, _SCALARS):
            return before == after
        if isinstance(before, ActionConfig) and isinstance(after, ActionConfig):
            return is_same(before.__dict__, after.__dict__)
    if isinstance(before, BaseModel | datetime):
        before = to_jsonable_python(before)
    if isinstance(after, BaseModel | datetime):
        after = to_jsonable_python(after)
    if isinstance(before, dict) and isinstance(after, dict):
        olds, news = cast(Props, before), cast(Props, after)
        return olds.keys() == news.keys() and all(is_same(olds[name], news[name]) for name in olds)
    if isinstance(before, list) and isinstance(after, list):
        items, others = cast(list[object], before), cast(list[object], after)
        return len(items) == len(others) and all(map(is_same, items, others))
    return before == after and isinstance(before, bool) == isinstance(after, bool)
