"""Items that were announced and are not finished yet, followed through their updates."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    ThreadItemUpdate,
    WidgetStreamingTextValueDelta,
)
from app.chatkit.protocol.items import AssistantMessageItem, ThreadItem
from app.chatkit.streaming.updates import apply_update

TextDelta = AssistantMessageContentPartTextDelta | WidgetStreamingTextValueDelta


class PendingItems:
    """What the client sees of pending items, so that it can be saved when a stream is cut.

    Following an update is one list append; the updates are applied only when somebody looks.
    """

    def __init__(self) -> None:
        self._items: dict[str, ThreadItem] = {}
        self._unread: dict[str, list[ThreadItemUpdate]] = {}
        self.version = 0
        """Goes up with every change."""

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def add(self, item: ThreadItem) -> None:
        """Follow ``item`` from now on; the caller may go on changing its own copy."""
        self.version += 1
        self._items[item.id] = _copy(item)
        self._unread[item.id] = []

    def update(self, item_id: str, update: ThreadItemUpdate) -> bool:
        """Note an update; return False where no such item is pending."""
        unread = self._unread.get(item_id)
        if unread is None:
            return False
        self.version += 1
        unread.append(update)
        kind = type(update)
        if kind is AssistantMessageContentPartAdded or kind is AssistantMessageContentPartDone:
            # At once: the caller may go on writing to the part that the update carries.
            self._read(item_id)
        return True

    def drop(self, item_id: str) -> None:
        """Stop following an item; an unknown id is harmless."""
        self.version += 1
        self._items.pop(item_id, None)
        self._unread.pop(item_id, None)

    def current(self) -> list[ThreadItem]:
        """Return the items as the client sees them now, in the order they were announced."""
        return [self._read(item_id) for item_id in self._items]

    def ahead_of(self, item_id: str) -> list[ThreadItem]:
        """Return those that were announced before ``item_id``, which may not be pending itself."""
        ahead: list[ThreadItem] = []
        for each in self._items:
            if each == item_id:
                break
            ahead.append(self._read(each))
        return ahead

    def _read(self, item_id: str) -> ThreadItem:
        item, unread = self._items[item_id], self._unread[item_id]
        for update in _joined(unread):
            apply_update(item, update)
        unread.clear()
        return item


def _copy(item: ThreadItem) -> ThreadItem:
    """Return a copy that shares nothing that changes; most items begin as an empty message."""
    if isinstance(item, AssistantMessageItem):
        parts = [part.model_copy(deep=True) for part in item.content]
        return item.model_copy(update={"content": parts})
    return item.model_copy(deep=True)


def is_blank(item: AssistantMessageItem) -> bool:
    """Return whether a message holds no text that a person could read."""
    return not any(part.text.strip() for part in item.content)


def _joined(updates: Iterable[ThreadItemUpdate]) -> Iterator[ThreadItemUpdate]:
    """Yield ``updates``, with consecutive text for the same place as one."""
    for _, group in groupby(updates, _text_place):
        first, *rest = group
        if rest and isinstance(first, TextDelta):
            text = "".join(each.delta for each in (first, *rest) if isinstance(each, TextDelta))
            yield first.model_copy(update={"delta": text})
        else:
            yield first
            yield from rest


def _text_place(update: ThreadItemUpdate) -> object:
    if isinstance(update, AssistantMessageContentPartTextDelta):
        return update.content_index
    if isinstance(update, WidgetStreamingTextValueDelta):
        return update.component_id, update.done
    return None
