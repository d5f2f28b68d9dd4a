"""What a turn has produced and its reader has not taken yet, in order of arrival.

The producers (the Agents SDK's events and the tools) append; the one reader drains everything that
is ready whenever it is woken. Text deltas that pile up meanwhile leave as one event, so a reader
that is slower than the model costs less, and an idle one waits for nothing.
"""

import asyncio
from collections import deque

from app.chatkit.events import (
    AssistantMessageContentPartTextDelta,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    WorkflowTaskUpdated,
)


class TextRun:
    """Consecutive deltas of one text part that nobody has read yet."""

    __slots__ = ("content_index", "item_id", "pieces")

    def __init__(self, item_id: str, content_index: int, delta: str) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.pieces = [delta]

    def to_event(self) -> ThreadItemUpdatedEvent:
        """Return the deltas as one event."""
        return ThreadItemUpdatedEvent(
            item_id=self.item_id,
            update=AssistantMessageContentPartTextDelta(
                content_index=self.content_index, delta="".join(self.pieces)
            ),
        )


class Outbox:
    """A queue with one reader. ``produced`` names the items of the turn, in order."""

    __slots__ = ("_entries", "_waiter", "produced")

    def __init__(self) -> None:
        self._entries: deque[ThreadStreamEvent | TextRun] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.produced: dict[str, None] = {}

    def put(self, event: ThreadStreamEvent) -> None:
        """Append an event."""
        if event.type == "thread.item.added" or event.type == "thread.item.done":
            self.produced[event.item.id] = None
        self._entries.append(event)
        self.wake()

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

    async def wait(self) -> None:
        """Return at the next ``put`` or ``wake``; call it only where ``take`` gave None."""
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def wake(self) -> None:
        """Make a waiting reader look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
