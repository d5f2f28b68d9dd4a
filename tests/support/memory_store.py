"""A store in memory, for tests of the engine and the assistant: correct, and nothing more.

What goes in and what comes out are copies, as with a real database, so a test notices when code
changes an item without saving it. Everything belongs to the user in the context.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.items import Attachment, FeedbackKind, Page, ThreadItem, ThreadMetadata
from app.chatkit.store import Store

Record = TypeVar("Record", ThreadItem, ThreadMetadata)


@dataclass
class Room:
    """What one user has; dictionaries keep the order in which things came."""

    threads: dict[str, ThreadMetadata] = field(default_factory=dict)
    items: dict[str, dict[str, ThreadItem]] = field(default_factory=lambda: defaultdict(dict))
    attachments: dict[str, Attachment] = field(default_factory=dict)
    feedback: dict[tuple[str, str], FeedbackKind] = field(default_factory=dict)


class MemoryStore(Store[RequestContext]):
    """Keeps everything per user. ``rooms`` is open to look into."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = defaultdict(Room)

    # --- threads ---------------------------------------------------------------------------------

    async def load_thread(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        return self._thread(thread_id, context).model_copy(deep=True)

    async def save_thread(self, thread: ThreadMetadata, context: RequestContext) -> None:
        metadata = ThreadMetadata.model_validate(thread.model_dump(exclude={"items"}))
        self._room(context).threads[thread.id] = metadata

    async def chatkit_save_thread_changes(
        self, thread: ThreadMetadata, changed: frozenset[str], context: RequestContext
    ) -> None:
        stored = self._thread(thread.id, context)
        copy = thread.model_copy(deep=True)
        for name in changed:
            setattr(stored, name, getattr(copy, name))

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: RequestContext
    ) -> Page[ThreadMetadata]:
        return _page(self._room(context).threads.values(), limit, after, order)

    async def delete_thread(self, thread_id: str, context: RequestContext) -> None:
        self._thread(thread_id, context)
        room = self._room(context)
        del room.threads[thread_id]
        room.items.pop(thread_id, None)

    # --- items -----------------------------------------------------------------------------------

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> Page[ThreadItem]:
        return _page(self._items(thread_id, context).values(), limit, after, order)

    async def load_item(self, thread_id: str, item_id: str, context: RequestContext) -> ThreadItem:
        item = self._items(thread_id, context).get(item_id)
        if item is None:
            raise NotFoundError(f"Item {item_id} not found")
        return item.model_copy(deep=True)

    async def add_thread_item(
        self, thread_id: str, item: ThreadItem, context: RequestContext
    ) -> None:
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: RequestContext) -> None:
        self._items(thread_id, context)[item.id] = item.model_copy(deep=True)

    async def delete_thread_item(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        self._items(thread_id, context).pop(item_id, None)

    async def chatkit_save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: RequestContext
    ) -> None:
        items = self._items(thread_id, context)
        if unknown := [each for each in item_ids if each not in items]:
            raise NotFoundError(f"Item {unknown[0]} not found")
        for item_id in item_ids:
            self._room(context).feedback[thread_id, item_id] = kind

    # --- attachments -----------------------------------------------------------------------------

    async def save_attachment(self, attachment: Attachment, context: RequestContext) -> None:
        self._room(context).attachments[attachment.id] = attachment.model_copy(deep=True)

    async def load_attachment(self, attachment_id: str, context: RequestContext) -> Attachment:
        attachment = self._room(context).attachments.get(attachment_id)
        if attachment is None:
            raise NotFoundError(f"Attachment {attachment_id} not found")
        return attachment.model_copy(deep=True)

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        await self.load_attachment(attachment_id, context)
        del self._room(context).attachments[attachment_id]

    # --- for tests -------------------------------------------------------------------------------

    def items(self, thread_id: str, context: RequestContext) -> list[ThreadItem]:
        """Return copies of all items of a thread, oldest first."""
        return [each.model_copy(deep=True) for each in self._items(thread_id, context).values()]

    def _room(self, context: RequestContext) -> Room:
        return self.rooms[context.user_id]

    def _thread(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        thread = self._room(context).threads.get(thread_id)
        if thread is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        return thread

    def _items(self, thread_id: str, context: RequestContext) -> dict[str, ThreadItem]:
        self._thread(thread_id, context)
        return self._room(context).items[thread_id]


def _page(records: Iterable[Record], limit: int, after: str | None, order: str) -> Page[Record]:
    ordered = list(records)
    if order == "desc":
        ordered.reverse()
    start = 0
    if after is not None:
        place = next((index for index, each in enumerate(ordered) if each.id == after), None)
        if place is None:
            raise NotFoundError(f"There is no {after} to go on from")
        start = place + 1
    data = [each.model_copy(deep=True) for each in ordered[start : start + limit]]
    has_more = len(ordered) > start + limit
    return Page(data=data, has_more=has_more, after=data[-1].id if has_more and data else None)
