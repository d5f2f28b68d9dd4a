"""What a turn has produced and its reader has not taken yet, in order of arrival.

The producers (the Agents SDK's events and the tools) append; the one reader drains everything that
is ready whenever it is woken. Text deltas that pile up meanwhile leave as one event, so a reader
that is slower than the model costs less, and an idle one waits for nothing.
"""

from collections import deque
from typing import Any, TypeVar

from pydantic import BaseModel

from app.chatkit.protocol.events import (
    AssistantMessageContentPartTextDelta,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import ThreadItem, is_hidden
from app.chatkit.wakeup import Wakeup

_SHOWING_EVENTS = frozenset({"client_effect", "notice"})
"""Events besides those of items that show a person something."""

TModel = TypeVar("TModel", bound=BaseModel)

_DELTA_TYPE = AssistantMessageContentPartTextDelta.model_fields["type"].default
_UPDATED_TYPE = ThreadItemUpdatedEvent.model_fields["type"].default
_set_field = object.__setattr__


def _build(kind: type[TModel], values: dict[str, Any]) -> TModel:
    """Return a model of checked ``values``: one is made for every token, and this is the cost."""
    model = object.__new__(kind)
    _set_field(model, "__dict__", values)
    _set_field(model, "__pydantic_fields_set__", set(values))
    _set_field(model, "__pydantic_extra__", None)
    _set_field(model, "__pydantic_private__", None)
    return model


class TextRun:
    """Consecutive deltas of one text part that nobody has read yet."""

    __slots__ = ("content_index", "item_id", "pieces")

    def __init__(self, item_id: str, content_index: int, delta: str) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.pieces = [delta]

    def to_event(self) -> ThreadItemUpdatedEvent:
        """Return the deltas as one event."""
        pieces = self.pieces
        delta = pieces[0] if len(pieces) == 1 else "".join(pieces)
        update = _build(
            AssistantMessageContentPartTextDelta,
            {"type": _DELTA_TYPE, "content_index": self.content_index, "delta": delta},
        )
        return _build(
            ThreadItemUpdatedEvent,
            {"type": _UPDATED_TYPE, "item_id": self.item_id, "update": update},
        )


class Outbox:
    """A queue with one reader. ``produced`` names the items of the turn, in order."""

    __slots__ = ("_entries", "_shown", "_wakeup", "produced")

    def __init__(self) -> None:
        self._entries: deque[ThreadStreamEvent | TextRun] = deque()
        self._wakeup = Wakeup()
        self.produced: dict[str, None] = {}
        self._shown: set[str] = set()

    @property
    def has_shown(self) -> bool:
        """Whether there is anything that a person could take for an answer."""
        return bool(self._shown)

    def put(self, event: ThreadStreamEvent) -> None:
        """Append an event."""
        if event.type == "thread.item.added" or event.type == "thread.item.done":
            self.produced[event.item.id] = None
            self._note_shown(event.item)
        elif event.type == "thread.item.replaced":
            self._note_shown(event.item)
        elif event.type == "thread.item.removed":
            self._shown.discard(event.item_id)
        elif event.type in _SHOWING_EVENTS:
            self._shown.add(event.type)
        self._entries.append(event)
        self.wake()

    def _note_shown(self, item: ThreadItem) -> None:
        if not is_hidden(item) and item.type != "workflow":
            self._shown.add(item.id)

    def take_back(self, item_id: str) -> None:
        """Append that an item is none."""
        self.produced.pop(item_id, None)
        self.put(ThreadItemRemovedEvent(item_id=item_id))

    def put_text(self, item_id: str, content_index: int, delta: str) -> None:
        """Append text, joined to the last entry where that is text of the same part."""
        entries = self._entries
        if entries:
            last = entries[-1]
            if (
                type(last) is TextRun
                and last.item_id == item_id
                and last.content_index == content_index
            ):
                last.pieces.append(delta)
                return
        entries.append(TextRun(item_id, content_index, delta))
        self.wake()

    def put_task_state(self, item_id: str, update: WorkflowTaskUpdated) -> None:
        """Append the state of a task, in place of an older unread state of the same task."""
        event = ThreadItemUpdatedEvent(item_id=item_id, update=update)
        last = self._entries[-1] if self._entries else None
        if (
            type(last) is ThreadItemUpdatedEvent
            and last.item_id == item_id
            and type(last.update) is WorkflowTaskUpdated
            and last.update.task_index == update.task_index
        ):
            self._entries[-1] = event
        else:
            self.put(event)

    def take(self) -> ThreadStreamEvent | None:
        """Return the oldest unread event, or None."""
        if not self._entries:
            return None
        entry = self._entries.popleft()
        return entry.to_event() if isinstance(entry, TextRun) else entry

    def take_all(self) -> list[ThreadStreamEvent]:
        """Return every unread event and forget them."""
        events: list[ThreadStreamEvent] = []
        while (event := self.take()) is not None:
            events.append(event)
        return events

    async def next_put(self) -> None:
        """Wait for the next ``put`` or ``wake``; for where ``take`` gave None."""
        await self._wakeup.wait()

    def wake(self) -> None:
        """Make a waiting reader look again."""
        self._wakeup.notify()
