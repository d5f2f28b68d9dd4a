"""``PostgresStore``: the store contract on Postgres, one statement a step."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import TypeAdapter

from app.chatkit.context import RequestContext
from app.chatkit.errors import (
    NotFoundError,
    RunLostError,
    ThreadBusyError,
    TooManyRunsError,
    UnprocessableError,
)
from app.chatkit.protocol.ids import create_id
from app.chatkit.protocol.items import (
    Attachment,
    FeedbackKind,
    GeneratedImageItem,
    Page,
    ThreadItem,
    ThreadMetadata,
    ThreadStatus,
    UserMessageItem,
    is_hidden,
)
from app.chatkit.protocol.serialization import clean_text, dump_value, dump_wire, join_page
from app.chatkit.store import Store, create_mark
from app.db import statements as sql
from app.db.database import Database
from app.db.pending_items import PendingItems
from app.db.pool import IntegrityError, Row

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)
_STATUS: TypeAdapter[ThreadStatus] = TypeAdapter(ThreadStatus)

_LIST_ITEMS = {
    (order, visible): sql.list_items(newest_first=order == "desc", visible_only=visible)
    for order in ("asc", "desc")
    for visible in (False, True)
}
_LIST_THREADS = {order: sql.list_threads(newest_first=order == "desc") for order in ("asc", "desc")}
TOO_MANY = "Too many answers are being written for you. Please wait until one is finished."


class FileLinks(Protocol):
    """Keeps links that age out of what is stored; ``app.uploads.file_urls.FileUrls`` does."""

    def hide(self, data: bytes, user_id: str) -> bytes:
        """Return JSON to store."""
        ...

    def show(self, data: bytes, public_url: str, user_id: str) -> bytes:
        """Return stored JSON with fresh links."""
        ...

    def find_attachment_id(self, url: str) -> str | None:
        """Return the id of the file that a link leads to."""
        ...


class PostgresStore(Store[RequestContext]):
    """Threads, items and attachments in Postgres; the owner is ``context.user_id``.

    Writes of a run (``context.run``) are fenced: they raise ``RunLostError`` once another replica
    has taken the run over. ``running_answers`` is how many runs a user may have at a time, on all
    replicas; 0 means that there is no limit. ``outage`` is for how many seconds the statements of a
    run are repeated while the database is away; others fail at once.
    """

    def __init__(
        self,
        database: Database,
        links: FileLinks | None = None,
        *,
        running_answers: int = 0,
        outage: float = 0.0,
    ) -> None:
        self._database = database
        self._outage = outage
        self._links = links
        self._running_answers = running_answers

    async def _fetch(self, context: RequestContext, statement: str, *values: Any) -> list[Row]:
        """Run a statement for the context's owner; a run waits out a database that is away."""
        waits = context.run is not None and not context.interrupted
        patience = self._outage if waits else 0.0
        return await self._database.fetch(statement, context.user_id, *values, patience=patience)

    def _hide(self, data: bytes, context: RequestContext) -> str:
        return (self._links.hide(data, context.user_id) if self._links else data).decode()

    def _show(self, data: str, context: RequestContext) -> bytes:
        stored = data.encode()
        return (
            self._links.show(stored, context.public_url, context.user_id) if self._links else stored
        )

    # --- threads ---------------------------------------------------------------------------------

    async def load_thread(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        """Return a thread; raises ``NotFoundError``."""
        rows = await self._fetch(context, sql.LOAD_THREAD, thread_id)
        if not rows:
            raise NotFoundError(f"Thread {thread_id} not found")
        return _to_thread(rows[0])

    async def chatkit_begin_turn(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        """Return a thread and claim it for ``context.run``, in one statement."""
        run = context.run
        if run is None:
            return await self.load_thread(thread_id, context)
        try:
            row = await self._database.fetchrow(
                sql.CLAIM_THREAD,
                context.user_id,
                run.id,
                thread_id,
                run.kind,
                run.replica,
                self._running_answers,
            )
        except IntegrityError:  # deleted meanwhile
            row = None
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        if not row.claimed and not row.has_room:
            raise TooManyRunsError(TOO_MANY)
        if not row.claimed:
            raise ThreadBusyError("Another answer is being written in this thread")
        return _to_thread(row)

    async def save_thread(self, thread: ThreadMetadata, context: RequestContext) -> None:
        """Insert or update a thread."""
        values = _thread_values(thread)
        await self._write(sql.SAVE_THREAD, context, thread.id, *values, thread.created_at)

    async def chatkit_save_thread_changes(
        self, thread: ThreadMetadata, changed: frozenset[str], context: RequestContext
    ) -> None:
        """Save the named fields only; raises ``NotFoundError`` if the thread is gone."""
        await self._write(
            sql.SAVE_THREAD_CHANGES,
            context,
            thread.id,
            sorted(changed),
            *_thread_values(thread),
            missing=f"Thread {thread.id} not found",
        )

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: RequestContext
    ) -> Page[ThreadMetadata]:
        """Return a page of the owner's threads, by creation."""
        rows = await self._fetch(context, _LIST_THREADS[_order(order)], after, limit + 1)
        if not rows[0].cursor_found:
            raise NotFoundError(f"Thread {after} not found")
        threads = [_to_thread(row) for row in rows if row.id is not None]
        return _to_page(threads, limit)

    async def delete_thread(self, thread_id: str, context: RequestContext) -> None:
        """Delete a thread and everything in it; raises ``NotFoundError``."""
        await self._write(
            sql.DELETE_THREAD, context, thread_id, missing=f"Thread {thread_id} not found"
        )

    # --- items -----------------------------------------------------------------------------------

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> Page[ThreadItem]:
        """Return a page of items, hidden ones included."""
        rows = await self._item_rows(thread_id, after, limit, order, context, visible=False)
        if not rows[0].cursor_found:
            raise NotFoundError(f"Item {after} not found")
        items = [self._to_item(row, context) for row in rows if row.id is not None]
        return _to_page(items, limit)

    async def chatkit_load_items_json(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> bytes:
        """Return a page of visible items as stored: joined as bytes, nothing is parsed.

        The newest items include what an answer that is being written reads like so far.
        """
        rows: Sequence[Row]
        rows = await self._item_rows(thread_id, after, limit, order, context, visible=True)
        unfinished = PendingItems(rows[0].unfinished, order)
        if not rows[0].cursor_found:
            unfinished.check_has(after)
            # The page before ended within the unfinished items: the oldest that a client sees
            # ahead of the stored ones, and the newest that it sees behind them.
            rows = []
            if order == "desc":
                rows = await self._item_rows(thread_id, None, limit, order, context, visible=True)
        stored: list[tuple[str, bytes]] = [
            (row.id, self._show(row.data, context)) for row in rows if row.id is not None
        ]
        items = unfinished.join(stored, after)
        shown = items[:limit]
        return join_page(
            [data for _, data in shown],
            has_more=len(items) > limit,
            after=shown[-1][0] if shown else None,
        )

    async def _item_rows(
        self,
        thread_id: str,
        after: str | None,
        limit: int,
        order: str,
        context: RequestContext,
        *,
        visible: bool,
    ) -> Sequence[Row]:
        rows = await self._fetch(
            context, _LIST_ITEMS[_order(order), visible], thread_id, after, limit + 1
        )
        if not rows[0].found:
            raise NotFoundError(f"Thread {thread_id} not found")
        return rows

    async def load_item(self, thread_id: str, item_id: str, context: RequestContext) -> ThreadItem:
        """Return an item; raises ``NotFoundError``."""
        rows = await self._fetch(context, sql.LOAD_ITEM, thread_id, item_id)
        if not rows:
            raise NotFoundError(f"Item {item_id} not found")
        return self._to_item(rows[0], context)

    async def add_thread_item(
        self, thread_id: str, item: ThreadItem, context: RequestContext
    ) -> None:
        """Store an item at the end of the thread, or in its place if it is there already."""
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: RequestContext) -> None:
        """Insert an item or replace the one with its id, which keeps its place."""
        if isinstance(item, GeneratedImageItem):
            await self._bind_image(thread_id, item, context)
        await self._write(
            sql.SAVE_ITEM,
            context,
            thread_id,
            *self._item_values(item, context),
            missing=f"Thread {thread_id} not found",
        )

    async def _bind_image(
        self, thread_id: str, item: GeneratedImageItem, context: RequestContext
    ) -> None:
        """Make an image that is kept as a file belong to its thread."""
        image_id = None
        if item.image is not None and self._links is not None:
            image_id = self._links.find_attachment_id(item.image.url)
        if image_id is not None:
            await self._write(sql.BIND_GENERATED, context, thread_id, image_id)

    async def delete_thread_item(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        """Delete an item; an unknown id is harmless."""
        await self._write(sql.DELETE_ITEM, context, thread_id, item_id)

    async def chatkit_delete_items_after(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        """Delete every newer item, all or none; raises ``NotFoundError``."""
        await self._write(
            sql.DELETE_ITEMS_AFTER,
            context,
            thread_id,
            item_id,
            missing=f"Item {item_id} not found",
        )

    async def chatkit_mark_once(self, thread_id: str, key: str, context: RequestContext) -> bool:
        """Leave a mark in the thread; return False where somebody else has left it already.

        In two steps, so that a reply which is lost costs nothing: whoever asks again for the same
        call finds their own claim, and a claim whose call never went on is free for the next one.
        """
        owner = f"{context.run.id if context.run else ''}:{create_id('mark')}"
        *values, _, created_at = self._item_values(create_mark(thread_id, key), context)

        async def write(statement: str, state: str) -> bool:
            private = _to_json({"mark": f"{state}:{owner}"})
            return await self._write(statement, context, thread_id, *values, private, created_at)

        if not await write(sql.MARK_ONCE, "claimed"):
            return False
        return await write(sql.SAVE_ITEM, "begun")

    async def chatkit_add_user_message(
        self,
        thread: ThreadMetadata,
        item: UserMessageItem,
        attachments: Sequence[Attachment],
        context: RequestContext,
        *,
        new_thread: bool,
    ) -> None:
        """Store a message, bind its attachments and create its thread: all or nothing."""
        values = [thread.id, *self._item_values(item, context), [each.id for each in attachments]]
        missing = f"Thread {thread.id} not found"
        if new_thread:
            run = context.run
            values += [*_thread_values(thread), thread.created_at]
            values += [run.kind, run.replica] if run else [None, None]
            values.append(self._running_answers)
            row = await self._fenced(sql.CREATE_THREAD_WITH_MESSAGE, context, *values)
            if not row.has_room:
                raise TooManyRunsError(TOO_MANY)
        else:
            row = await self._fenced(sql.ADD_USER_MESSAGE, context, *values, missing=missing)
        if row.found:
            return
        if not attachments:
            raise NotFoundError(missing)
        raise UnprocessableError("An attachment was deleted or sent in another thread")

    # --- attachments and feedback ----------------------------------------------------------------

    async def save_attachment(self, attachment: Attachment, context: RequestContext) -> None:
        """Insert or update an attachment's metadata."""
        await self._write(
            sql.SAVE_ATTACHMENT,
            context,
            attachment.id,
            attachment.thread_id,
            self._hide(dump_wire(attachment), context),
            _to_json(attachment.metadata),
        )

    async def load_attachment(self, attachment_id: str, context: RequestContext) -> Attachment:
        """Return an attachment; raises ``NotFoundError``."""
        return (await self.chatkit_load_attachments([attachment_id], context))[0]

    async def chatkit_load_attachments(
        self, attachment_ids: Sequence[str], context: RequestContext
    ) -> list[Attachment]:
        """Return attachments in the given order; raises ``NotFoundError``."""
        rows = await self._fetch(context, sql.LOAD_ATTACHMENTS, list(attachment_ids))
        found = {row.id: self._to_attachment(row, context) for row in rows}
        wanted = [clean_text(each) for each in attachment_ids]
        for each in wanted:
            if each not in found:
                raise NotFoundError(f"Attachment {each} not found")
        return [found[each] for each in wanted]

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        """Delete an attachment's metadata; raises ``NotFoundError``."""
        await self._write(
            sql.DELETE_ATTACHMENT,
            context,
            attachment_id,
            missing=f"Attachment {attachment_id} not found",
        )

    async def chatkit_save_feedback(
        self,
        thread_id: str,
        item_ids: Sequence[str],
        kind: FeedbackKind,
        context: RequestContext,
    ) -> None:
        """Keep one thumb an item; raises ``NotFoundError`` unless all items are the caller's."""
        wanted = sorted(set(item_ids))
        if not wanted:
            await self.load_thread(thread_id, context)
            return
        await self._write(
            sql.SAVE_FEEDBACK, context, thread_id, wanted, kind, missing="Thread or item not found"
        )

    def _item_values(self, item: ThreadItem, context: RequestContext) -> list[Any]:
        """Return id, type, hidden, wire JSON, private JSON and creation time."""
        private = None
        if isinstance(item, UserMessageItem):
            kept = {
                each.id: each.metadata for each in item.attachments if each.metadata is not None
            }
            private = _to_json(kept) if kept else None
        # The content of a hidden item may be null, and no client sees it.
        data = self._hide(dump_wire(item, exclude_none=not is_hidden(item)), context)
        return [item.id, item.type, is_hidden(item), data, private, item.created_at]

    def _to_item(self, row: Row, context: RequestContext) -> ThreadItem:
        item = _ITEM.validate_json(self._show(row.data, context))
        if row.private is not None and isinstance(item, UserMessageItem):
            kept = json.loads(row.private)
            for attachment in item.attachments:
                attachment.metadata = kept.get(attachment.id)
        return item

    def _to_attachment(self, row: Row, context: RequestContext) -> Attachment:
        attachment = _ATTACHMENT.validate_json(self._show(row.data, context))
        if row.private is not None:
            attachment.metadata = json.loads(row.private)
        return attachment

    async def _write(
        self, statement: str, context: RequestContext, *values: Any, missing: str | None = None
    ) -> bool:
        """Run a fenced statement; return whether it found what it names.

        Raises ``NotFoundError(missing)`` instead where ``missing`` is given.
        """
        row = await self._fenced(statement, context, *values, missing=missing)
        if missing is not None and not row.found:
            raise NotFoundError(missing)
        return row.found

    async def _fenced(
        self, statement: str, context: RequestContext, *values: Any, missing: str | None = None
    ) -> Row:
        """Run a fenced statement and return its row; raises ``RunLostError``, ``NotFoundError``."""
        run_id = context.run.id if context.run else None
        try:
            rows = await self._fetch(context, statement, run_id, *values)
        except IntegrityError as error:  # what the row belongs to is not there
            raise NotFoundError(missing or "Thread not found") from error
        if not rows or not rows[0].held:
            raise RunLostError(f"Run {run_id} no longer holds its thread")
        return rows[0]


# --- rows to models and back ---------------------------------------------------------------------


def _order(order: str) -> str:
    return "asc" if order == "asc" else "desc"


def _to_json(value: Any) -> str | None:
    """Return JSON text for a JSONB parameter, cleaned of what JSONB cannot hold."""
    return None if value is None else dump_value(value).decode()


def _thread_values(thread: ThreadMetadata) -> list[Any]:
    return [
        thread.title,
        dump_wire(thread.status).decode(),
        _to_json(thread.allowed_image_domains),
        _to_json(thread.metadata),
    ]


def _to_thread(row: Row) -> ThreadMetadata:
    domains = row.allowed_image_domains
    return ThreadMetadata(
        id=row.id,
        title=row.title,
        status=_STATUS.validate_json(row.status),
        allowed_image_domains=None if domains is None else json.loads(domains),
        metadata=json.loads(row.metadata),
        created_at=row.created_at,
    )


def _to_page(found: list[Any], limit: int) -> Page[Any]:
    """Return a page of at most ``limit`` from a read of one more than that."""
    shown = found[:limit]
    has_more = len(found) > limit
    return Page(data=shown, has_more=has_more, after=shown[-1].id if has_more else None)
