"""The store contract: what the engine needs to be kept, and by whom it is called.

The abstract methods are those of ``chatkit.store`` in openai-chatkit 1.6.5; any subclass of the
official ``Store`` fits. The methods below them have defaults made of the abstract ones, and names
that begin with ``chatkit_``, which no subclass has taken. A database overrides them to do a step
atomically, in one statement.
"""

import hashlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal

from typing_extensions import TypeVar

from app.chatkit.errors import NotFoundError, UnsupportedError
from app.chatkit.old_names import find_old_name
from app.chatkit.protocol.ids import StoreItemType, default_generate_id
from app.chatkit.protocol.items import (
    Attachment,
    FeedbackKind,
    Page,
    SDKHiddenContextItem,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
    is_hidden,
    now,
)
from app.chatkit.protocol.page_size import MAX_PAGE_BYTES, Pauses
from app.chatkit.protocol.requests import AttachmentCreateParams
from app.chatkit.protocol.serialization import dump_wire, join_page

TContext = TypeVar("TContext", default=Any)

MARK_PREFIX = "once_"
"""How the ids of marks begin (see ``Store.chatkit_mark_once``)."""
SCAN_PAGE_SIZE = 100
"""Items per read where the defaults walk through a thread."""

if not TYPE_CHECKING:  # what is not there must not be there for a type checker

    def __getattr__(name: str) -> Any:
        return find_old_name(__name__, name)


__all__ = [
    "ABC",
    "Any",
    "Attachment",
    "AttachmentContent",
    "AttachmentCreateParams",
    "AttachmentStore",
    "Generic",
    "Literal",
    "NotFoundError",
    "Page",
    "Store",
    "StoreItemType",
    "TContext",
    "ThreadItem",
    "ThreadMetadata",
    "TypeVar",
    "abstractmethod",
    "default_generate_id",
    "uuid",
]


@dataclass(frozen=True, slots=True)
class AttachmentContent:
    """What a model is given of a file: text in UTF-8, a PDF, or an image that models can read.

    ``is_cut`` tells that ``data`` is only the beginning.
    """

    kind: Literal["text", "pdf", "image"]
    mime_type: str
    data: bytes
    is_cut: bool = False


class AttachmentStore(ABC, Generic[TContext]):
    """Keeps the bytes of attachments (their metadata is in ``Store``)."""

    @abstractmethod
    async def delete_attachment(self, attachment_id: str, context: TContext) -> None:
        """Delete the bytes of an attachment; an unknown id raises ``NotFoundError``."""

    async def create_attachment(
        self, input: AttachmentCreateParams, context: TContext
    ) -> Attachment:
        """Return a new attachment for a two-phase upload; the engine saves it."""
        raise UnsupportedError(f"{type(self).__name__} does not offer two-phase uploads")

    def generate_attachment_id(self, mime_type: str, context: TContext) -> str:
        """Return a new attachment id."""
        return default_generate_id("attachment")

    async def chatkit_finish_uploads(
        self, attachments: Sequence[Attachment], context: TContext
    ) -> list[Attachment]:
        """Return the files of a message that is about to be stored, all of them uploaded.

        Raises ``UnprocessableError`` that names a file which is not. By default they all are.
        """
        return list(attachments)

    # --- what the assistant reads and makes ------------------------------------------------------

    async def chatkit_load_content(
        self, attachment_id: str, context: TContext, *, max_bytes: int, max_text_bytes: int
    ) -> AttachmentContent | None:
        """Return what a model can be given of a file, in at most ``max_bytes``.

        Text is cut after ``max_text_bytes``. None for everything else: the file is gone or not
        finished, is of a kind that models do not read, is broken, or is too large.
        """
        return None

    async def chatkit_save_generated_image(self, data: bytes, context: TContext) -> str | None:
        """Keep an image that the assistant made; return its URL, or None where nothing is kept."""
        return None

    def chatkit_find_attachment_id(self, url: str) -> str | None:
        """Return the id of the attachment that a URL of this store leads to, if it is one."""
        return None


class Store(ABC, Generic[TContext]):
    """Keeps threads, items and attachments. Whose they are comes from ``context``."""

    def generate_thread_id(self, context: TContext) -> str:
        """Return a new thread id."""
        return default_generate_id("thread")

    def generate_item_id(
        self, item_type: StoreItemType, thread: ThreadMetadata, context: TContext
    ) -> str:
        """Return a new id for an item of ``thread``."""
        return default_generate_id(item_type)

    @abstractmethod
    async def load_thread(self, thread_id: str, context: TContext) -> ThreadMetadata:
        """Return a thread without its items; raises ``NotFoundError``."""

    @abstractmethod
    async def save_thread(self, thread: ThreadMetadata, context: TContext) -> None:
        """Insert or update a thread."""

    @abstractmethod
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: TContext
    ) -> Page[ThreadItem]:
        """Return a page of items, hidden ones included; ``after`` is that of the page before."""

    @abstractmethod
    async def save_attachment(self, attachment: Attachment, context: TContext) -> None:
        """Insert or update an attachment's metadata."""

    @abstractmethod
    async def load_attachment(self, attachment_id: str, context: TContext) -> Attachment:
        """Return an attachment's metadata; raises ``NotFoundError``."""

    @abstractmethod
    async def delete_attachment(self, attachment_id: str, context: TContext) -> None:
        """Delete an attachment's metadata."""

    @abstractmethod
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: TContext
    ) -> Page[ThreadMetadata]:
        """Return a page of threads; ``after`` is a thread id."""

    @abstractmethod
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Store a finished item at the end of the thread."""

    @abstractmethod
    async def save_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Insert an item or replace the one with its id, which keeps its place."""

    @abstractmethod
    async def load_item(self, thread_id: str, item_id: str, context: TContext) -> ThreadItem:
        """Return an item; raises ``NotFoundError``."""

    @abstractmethod
    async def delete_thread(self, thread_id: str, context: TContext) -> None:
        """Delete a thread and everything in it."""

    @abstractmethod
    async def delete_thread_item(self, thread_id: str, item_id: str, context: TContext) -> None:
        """Delete an item; an id that was never stored is harmless."""

    # --- steps of a turn, each atomic where the store can make it so -----------------------------

    async def chatkit_begin_turn(self, thread_id: str, context: TContext) -> ThreadMetadata:
        """Return the thread that a streaming request is about, claimed for its run.

        It is the first thing a turn does. Raises ``NotFoundError``, or ``ThreadBusyError`` where
        another run holds the thread.
        """
        return await self.load_thread(thread_id, context)

    async def chatkit_add_user_message(
        self,
        thread: ThreadMetadata,
        item: UserMessageItem,
        attachments: Sequence[Attachment],
        context: TContext,
        *,
        new_thread: bool,
    ) -> None:
        """Store a user message with its attachments, and its thread if that is new."""
        if new_thread:
            metadata = ThreadMetadata.model_validate(thread.model_dump(exclude={"items"}))
            await self.save_thread(metadata, context)
        try:
            for attachment in attachments:
                await self.save_attachment(attachment, context)
            await self.add_thread_item(thread.id, item, context)
        except Exception:
            if new_thread:
                await self.delete_thread(thread.id, context)
            raise

    async def chatkit_save_thread_changes(
        self, thread: ThreadMetadata, changed: frozenset[str], context: TContext
    ) -> None:
        """Save the fields of ``thread`` named in ``changed``, and leave the others alone."""
        stored = await self.load_thread(thread.id, context)
        changes = {name: getattr(thread, name) for name in changed}
        await self.save_thread(stored.model_copy(update=changes), context)

    async def chatkit_load_attachments(
        self, attachment_ids: Sequence[str], context: TContext
    ) -> list[Attachment]:
        """Return attachments in the given order; raises ``NotFoundError``."""
        return [await self.load_attachment(each, context) for each in attachment_ids]

    async def chatkit_delete_items_after(
        self, thread_id: str, item_id: str, context: TContext
    ) -> None:
        """Delete every item that is newer than ``item_id``, but for marks."""
        newer: list[str] = []
        async for item in self.chatkit_scan_items(thread_id, context):
            if item.id == item_id:
                break
            if not item.id.startswith(MARK_PREFIX):
                newer.append(item.id)
        else:
            raise NotFoundError(f"Item {item_id} not found")
        for each in newer:
            await self.delete_thread_item(thread_id, each, context)

    async def chatkit_save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: TContext
    ) -> None:
        """Keep a thumb up or down for items; a store that does not care need not override it."""

    async def chatkit_mark_once(self, thread_id: str, key: str, context: TContext) -> bool:
        """Leave a mark in the thread; return False where it was there already.

        It is a hidden item without content, which neither a client nor a model ever sees. This
        default is atomic only where the store does not wait between its two steps.
        """
        mark = create_mark(thread_id, key)
        try:
            await self.load_item(thread_id, mark.id, context)
        except NotFoundError:
            await self.add_thread_item(thread_id, mark, context)
            return True
        return False

    async def chatkit_remove_mark(self, thread_id: str, key: str, context: TContext) -> None:
        """Take a mark back."""
        await self.delete_thread_item(thread_id, create_mark(thread_id, key).id, context)

    async def chatkit_load_items_json(
        self, thread_id: str, after: str | None, limit: int, order: str, context: TContext
    ) -> bytes:
        """Return a page of the items that a client may see, as the JSON of a ``Page``.

        A page is full as long as there are more visible items, however many hidden ones lie
        between them. No more is read than what is wanted, so that the page ends where a read ended:
        the store's own cursor is the page's. It ends early where it comes to ``MAX_PAGE_BYTES``.
        """
        visible: list[bytes] = []
        size, cursor, more = 0, after, True
        pause = Pauses()
        while more and len(visible) < limit and size < MAX_PAGE_BYTES:
            page = await self.load_thread_items(
                thread_id, cursor, limit - len(visible), order, context
            )
            more, cursor = page.has_more and bool(page.data), _next_cursor(page)
            # A cursor of the store's own cannot be had for an item within the page.
            may_end = bool(page.data) and cursor == page.data[-1].id
            for item in page.data:
                if size >= MAX_PAGE_BYTES and may_end:
                    more = True
                    break
                cursor = item.id if may_end else cursor
                if not is_hidden(item):
                    visible.append(dump_wire(item))
                    size += len(visible[-1])
                    await pause.after(len(visible[-1]))
        return join_page(visible, has_more=more, after=cursor if more else None)

    async def chatkit_scan_items(
        self, thread_id: str, context: TContext
    ) -> AsyncGenerator[ThreadItem, None]:
        """Yield a thread's items, newest first."""
        after: str | None = None
        while True:
            page = await self.load_thread_items(thread_id, after, SCAN_PAGE_SIZE, "desc", context)
            for item in page.data:
                yield item
            if not page.has_more or not page.data:
                return
            after = _next_cursor(page)


def _next_cursor(page: Page[ThreadItem]) -> str | None:
    """Return where the next page begins: as the store says or, for want of that, the last id."""
    return page.after or (page.data[-1].id if page.data else None)


def create_mark(thread_id: str, key: str) -> SDKHiddenContextItem:
    """Return the item that is the mark ``key`` of a thread."""
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return SDKHiddenContextItem(
        id=MARK_PREFIX + digest, thread_id=thread_id, created_at=now(), content=""
    )
