"""``PostgresStore``: the store contract on Postgres, one statement a step."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError, ThreadBusyError, UnprocessableError
from app.chatkit.items import (
    Attachment,
    FeedbackKind,
    Page,
    ThreadItem,
    ThreadMetadata,
    ThreadStatus,
    UserMessageItem,
    is_hidden,
)
from app.chatkit.store import Store
from app.chatkit.wire import clean_text, clean_value, dump_wire, join_page
from app.db import statements as sql
from app.db.database import Database

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)
_STATUS: TypeAdapter[ThreadStatus] = TypeAdapter(ThreadStatus)

_LIST_ITEMS = {
    (order, visible): sql.list_items(newest_first=order == "desc", visible_only=visible)
    for order in ("asc", "desc")
    for visible in (False, True)
}
_LIST_THREADS = {order: sql.list_threads(newest_first=order == "desc") for order in ("asc", "desc")}


class RunLostError(Exception):
    """A run that no longer holds its thread tried to write; nothing was written."""


class PostgresStore(Store[RequestContext]):
    """Threads, items and attachments in Postgres; the owner is ``context.user_id``.

    Writes of a run (``context.run``) are fenced: they raise ``RunLostError`` once another replica
    has taken the run over.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- threads ---------------------------------------------------------------------------------

    async def load_thread(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        """Return a thread; raises ``NotFoundError``."""
        row = await self._database.row(sql.LOAD_THREAD, context.user_id, thread_id)
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        return _to_thread(row)

    async def begin_turn(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        """Return a thread and claim it for ``context.run``, in one statement."""
        run = context.run
        if run is None:
            return await self.load_thread(thread_id, context)
        row = await self._database.row(
            sql.CLAIM_THREAD, context.user_id, run.id, thread_id, run.kind, run.replica
        )
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        if not row.claimed:
            raise ThreadBusyError("Another answer is being written in this thread")
        return _to_thread(row)

    async def save_thread(self, thread: ThreadMetadata, context: RequestContext) -> None:
        """Insert or update a thread."""
        rows = await self._database.rows(
            sql.SAVE_THREAD,
            context.user_id,
            _run_id(context),
            thread.id,
            *_thread_values(thread),
            thread.created_at,
        )
        _check_fence(rows, context)

    async def save_thread_changes(
        self, thread: ThreadMetadata, changed: frozenset[str], context: RequestContext
    ) -> None:
        """Save the named fields only; raises ``NotFoundError`` if the thread is gone."""
        rows = await self._database.rows(
            sql.SAVE_THREAD_CHANGES,
            context.user_id,
            _run_id(context),
            thread.id,
            sorted(changed),
            *_thread_values(thread),
        )
        if not rows:
            raise NotFoundError(f"Thread {thread.id} not found")

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: RequestContext
    ) -> Page[ThreadMetadata]:
        """Return a page of the owner's threads, by creation."""
        rows = await self._database.rows(
            _LIST_THREADS[_order(order)], context.user_id, after, limit + 1
        )
        if not rows[0].cursor_found:
            raise NotFoundError(f"Thread {after} not found")
        threads = [_to_thread(row) for row in rows if row.id is not None]
        return _to_page(threads, limit)

    async def delete_thread(self, thread_id: str, context: RequestContext) -> None:
        """Delete a thread and everything in it; raises ``NotFoundError``."""
        if not await self._database.rows(sql.DELETE_THREAD, context.user_id, thread_id):
            raise NotFoundError(f"Thread {thread_id} not found")

    # --- items -----------------------------------------------------------------------------------

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> Page[ThreadItem]:
        """Return a page of items, hidden ones included."""
        rows = await self._item_rows(thread_id, after, limit, order, context, visible=False)
        return _to_page([_to_item(row) for row in rows], limit)

    async def load_items_json(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> bytes:
        """Return a page of visible items as stored: joined as bytes, nothing is parsed."""
        rows = await self._item_rows(thread_id, after, limit, order, context, visible=True)
        shown = rows[:limit]
        return join_page(
            [row.data.encode() for row in shown],
            has_more=len(rows) > limit,
            after=shown[-1].id if shown else None,
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
    ) -> list[Row[Any]]:
        rows = await self._database.rows(
            _LIST_ITEMS[_order(order), visible], context.user_id, thread_id, after, limit + 1
        )
        if not rows[0].found:
            raise NotFoundError(f"Thread {thread_id} not found")
        if not rows[0].cursor_found:
            raise NotFoundError(f"Item {after} not found")
        return [row for row in rows if row.id is not None]

    async def load_item(self, thread_id: str, item_id: str, context: RequestContext) -> ThreadItem:
        """Return an item; raises ``NotFoundError``."""
        row = await self._database.row(sql.LOAD_ITEM, context.user_id, thread_id, item_id)
        if row is None:
            raise NotFoundError(f"Item {item_id} not found")
        return _to_item(row)

    async def add_thread_item(
        self, thread_id: str, item: ThreadItem, context: RequestContext
    ) -> None:
        """Store an item at the end of the thread, or in its place if it is there already."""
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: RequestContext) -> None:
        """Insert an item or replace the one with its id, which keeps its place."""
        try:
            rows = await self._database.rows(
                sql.SAVE_ITEM,
                context.user_id,
                _run_id(context),
                thread_id,
                *_item_values(item),
            )
        except IntegrityError as error:
            raise NotFoundError(f"Thread {thread_id} not found") from error
        _check_fence(rows, context)

    async def delete_thread_item(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        """Delete an item; an unknown id is harmless."""
        await self._database.rows(
            sql.DELETE_ITEM, context.user_id, _run_id(context), thread_id, item_id
        )

    async def delete_items_after(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        """Delete every newer item, all or none; raises ``NotFoundError``."""
        rows = await self._database.rows(
            sql.DELETE_ITEMS_AFTER, context.user_id, _run_id(context), thread_id, item_id
        )
        if not rows:
            raise NotFoundError(f"Item {item_id} not found")

    async def add_user_message(
        self,
        thread: ThreadMetadata,
        item: UserMessageItem,
        attachments: Sequence[Attachment],
        context: RequestContext,
        *,
        new_thread: bool,
    ) -> None:
        """Store a message, bind its attachments and create its thread: all or nothing."""
        values = [
            context.user_id,
            _run_id(context),
            thread.id,
            *_item_values(item),
            [each.id for each in attachments],
        ]
        if new_thread:
            run = context.run
            values += [*_thread_values(thread), thread.created_at]
            values += [run.kind, run.replica] if run else [None, None]
        statement = sql.CREATE_THREAD_WITH_MESSAGE if new_thread else sql.ADD_USER_MESSAGE
        try:
            rows = await self._database.rows(statement, *values)
        except IntegrityError as error:
            raise NotFoundError(f"Thread {thread.id} not found") from error
        if rows:
            return
        if attachments:
            raise UnprocessableError("An attachment was deleted or sent in another thread")
        _check_fence(rows, context)

    # --- attachments and feedback ----------------------------------------------------------------

    async def save_attachment(self, attachment: Attachment, context: RequestContext) -> None:
        """Insert or update an attachment's metadata."""
        rows = await self._database.rows(
            sql.SAVE_ATTACHMENT,
            context.user_id,
            _run_id(context),
            attachment.id,
            attachment.thread_id,
            dump_wire(attachment).decode(),
            _to_json(attachment.metadata),
        )
        _check_fence(rows, context)

    async def load_attachment(self, attachment_id: str, context: RequestContext) -> Attachment:
        """Return an attachment; raises ``NotFoundError``."""
        return (await self.load_attachments([attachment_id], context))[0]

    async def load_attachments(
        self, attachment_ids: Sequence[str], context: RequestContext
    ) -> list[Attachment]:
        """Return attachments in the given order; raises ``NotFoundError``."""
        rows = await self._database.rows(
            sql.LOAD_ATTACHMENTS, context.user_id, list(attachment_ids)
        )
        found = {row.id: _to_attachment(row) for row in rows}
        for each in attachment_ids:
            if each not in found:
                raise NotFoundError(f"Attachment {each} not found")
        return [found[each] for each in attachment_ids]

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        """Delete an attachment's metadata; raises ``NotFoundError``."""
        if not await self._database.rows(sql.DELETE_ATTACHMENT, context.user_id, attachment_id):
            raise NotFoundError(f"Attachment {attachment_id} not found")

    async def save_feedback(
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
        if not await self._database.rows(
            sql.SAVE_FEEDBACK, context.user_id, thread_id, wanted, kind
        ):
            raise NotFoundError("Thread or item not found")


# --- rows to models and back ---------------------------------------------------------------------


def _order(order: str) -> str:
    return "asc" if order == "asc" else "desc"


def _run_id(context: RequestContext) -> str | None:
    return context.run.id if context.run else None


def _check_fence(rows: Sequence[Row[Any]], context: RequestContext) -> None:
    if not rows:
        raise RunLostError(f"Run {_run_id(context)} no longer holds its thread")


def _to_json(value: Any) -> str | None:
    """Return JSON text for a JSONB parameter, cleaned of what JSONB cannot hold."""
    return None if value is None else json.dumps(clean_value(value), ensure_ascii=False)


def _thread_values(thread: ThreadMetadata) -> list[Any]:
    return [
        None if thread.title is None else clean_text(thread.title),
        dump_wire(thread.status).decode(),
        _to_json(thread.allowed_image_domains),
        _to_json(thread.metadata),
    ]


def _to_thread(row: Row[Any]) -> ThreadMetadata:
    domains = row.allowed_image_domains
    return ThreadMetadata(
        id=row.id,
        title=row.title,
        status=_STATUS.validate_json(row.status),
        allowed_image_domains=None if domains is None else json.loads(domains),
        metadata=json.loads(row.metadata),
        created_at=row.created_at,
    )


def _item_values(item: ThreadItem) -> list[Any]:
    """Return id, type, hidden, wire JSON, private JSON and creation time."""
    private = None
    if isinstance(item, UserMessageItem):
        kept = {each.id: each.metadata for each in item.attachments if each.metadata is not None}
        private = _to_json(kept) if kept else None
    data = dump_wire(item).decode()
    return [item.id, item.type, is_hidden(item), data, private, item.created_at]


def _to_item(row: Row[Any]) -> ThreadItem:
    item = _ITEM.validate_json(row.data)
    if row.private is not None and isinstance(item, UserMessageItem):
        kept = json.loads(row.private)
        for attachment in item.attachments:
            attachment.metadata = kept.get(attachment.id)
    return item


def _to_attachment(row: Row[Any]) -> Attachment:
    attachment = _ATTACHMENT.validate_json(row.data)
    if row.private is not None:
        attachment.metadata = json.loads(row.private)
    return attachment


def _to_page(found: list[Any], limit: int) -> Page[Any]:
    """Return a page of at most ``limit`` from a read of one more than that."""
    shown = found[:limit]
    has_more = len(found) > limit
    return Page(data=shown, has_more=has_more, after=shown[-1].id if has_more else None)
