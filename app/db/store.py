"""``PostgresStore``: the store contract on Postgres, one statement a step."""

from collections.abc import Sequence
from typing import Any, TypeVar

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
    UserMessageItem,
)
from app.chatkit.protocol.own_classes import to_own_item
from app.chatkit.protocol.page_size import MAX_PAGE_BYTES, Pauses, within_bytes
from app.chatkit.protocol.serialization import clean_text, join_page
from app.chatkit.store import Store, create_mark
from app.db.database import Database, RowT
from app.db.pending_items import PendingItems
from app.db.pool import IntegrityError
from app.db.row_mapping import FileLinks, RowMapping, show, to_json, to_thread, to_thread_row
from app.db.statements import attachments as attachment_sql
from app.db.statements import items as item_sql
from app.db.statements import threads as thread_sql
from app.db.statements.fence import Fenced, Statement, Written
from app.db.statements.items import Begun, ItemPageRow
from app.db.statements.pages import Order

MAX_READ_BYTES = 4 * MAX_PAGE_BYTES
"""What is read of a thread at a time for the server itself, such as the model's input."""
TOO_MANY = "Too many answers are being written for you. Please wait until one is finished."


_WrittenT = TypeVar("_WrittenT", Written, Begun)


class PostgresStore(Store[RequestContext]):
    """Threads, items and attachments in Postgres; the owner is ``context.user_id``.

    Writes of a run (``context.run``) are fenced: they raise ``RunLostError`` once another replica
    has taken the run over. ``max_runs`` is how many runs a user may have at a time, on all
    replicas; 0 means that there is no limit. ``outage`` is for how many seconds the statements of a
    run are repeated while the database is away; others fail at once.
    """

    def __init__(
        self,
        database: Database,
        links: FileLinks | None = None,
        *,
        max_runs: int = 0,
        outage: float = 0.0,
    ) -> None:
        self._database = database
        self._outage = outage
        self._links = links
        self._mapping = RowMapping(links)
        self._max_runs = max_runs

    async def _fetch(self, context: RequestContext, statement: Statement[RowT]) -> list[RowT]:
        """Run a statement for the context's owner; a run waits out a database that is away."""
        waits = context.run is not None and not context.interrupted
        return await self._database.fetch(
            statement.row,
            statement.sql,
            context.user_id,
            *statement.args,
            patience=self._outage if waits else 0.0,
        )

    # --- threads ---------------------------------------------------------------------------------

    async def load_thread(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        """Return a thread; raises ``NotFoundError``."""
        rows = await self._fetch(context, thread_sql.load(thread_id))
        if not rows:
            raise NotFoundError(f"Thread {thread_id} not found")
        return to_thread(rows[0])

    async def chatkit_begin_turn(self, thread_id: str, context: RequestContext) -> ThreadMetadata:
        """Return a thread and claim it for ``context.run``, in one statement."""
        run = context.run
        if run is None:
            return await self.load_thread(thread_id, context)
        try:
            claim = thread_sql.claim(run, thread_id, limit=self._max_runs)
            row = await self._database.fetchrow(claim.row, claim.sql, context.user_id, *claim.args)
        except IntegrityError:  # deleted meanwhile
            row = None
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        if not row.claimed and not row.has_room:
            raise TooManyRunsError(TOO_MANY)
        if not row.claimed:
            raise ThreadBusyError("Another answer is being written in this thread")
        return to_thread(row.thread)

    async def save_thread(self, thread: ThreadMetadata, context: RequestContext) -> None:
        """Insert or update a thread."""
        row = to_thread_row(thread)
        await self._write(thread_sql.save(row), context)

    async def chatkit_save_thread_changes(
        self, thread: ThreadMetadata, changed: frozenset[str], context: RequestContext
    ) -> None:
        """Save the named fields only; raises ``NotFoundError`` if the thread is gone."""
        row = to_thread_row(thread)
        await self._write(
            thread_sql.save_changes(row, sorted(changed)),
            context,
            missing=f"Thread {thread.id} not found",
        )

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: RequestContext
    ) -> Page[ThreadMetadata]:
        """Return a page of the owner's threads, by creation."""
        statement = thread_sql.list_page(after, limit + 1, _order(order), max_bytes=MAX_PAGE_BYTES)
        rows = await self._fetch(context, statement)
        if not rows[0].cursor_found:
            raise NotFoundError(f"Thread {after} not found")
        return _to_page(
            [to_thread(row.thread) for row in rows if row.thread], limit, rows[0].fetched
        )

    async def delete_thread(self, thread_id: str, context: RequestContext) -> None:
        """Delete a thread and everything in it; raises ``NotFoundError``."""
        await self._write(
            thread_sql.delete(thread_id),
            context,
            missing=f"Thread {thread_id} not found",
        )

    # --- items -----------------------------------------------------------------------------------

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> Page[ThreadItem]:
        """Return a page of items, hidden ones included."""
        rows = await self._list_items(thread_id, after, limit, order, context, visible=False)
        if not rows[0].cursor_found:
            raise NotFoundError(f"Item {after} not found")
        reader = self._mapping.reader(context)
        items: list[ThreadItem] = []
        pause = Pauses()
        for item in (row.item for row in rows if row.item):
            items.append(self._mapping.to_item(item, reader))
            await pause.after(len(item.data))
        return _to_page(items, limit, rows[0].fetched)

    async def chatkit_load_items_json(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> bytes:
        """Return a page of visible items as stored: joined as bytes, nothing is parsed.

        The newest items include what an answer that is being written reads like so far.
        """
        rows = await self._list_items(thread_id, after, limit, order, context, visible=True)
        pending = PendingItems(rows[0].pending, order)
        if not rows[0].cursor_found:
            pending.check_has(after)
            # The page before ended within the pending items: the oldest that a client sees ahead
            # of the stored ones, and the newest that it sees behind them.
            rows = []
            if order == "desc":
                rows = await self._list_items(thread_id, None, limit, order, context, visible=True)
        found = [row.item for row in rows if row.item]
        reader = self._mapping.reader(context)
        stored: list[tuple[str, bytes]] = []
        pause = Pauses()
        for item in found:
            stored.append((item.id, show(item.data, reader)))
            await pause.after(len(item.data))
        items = pending.join(stored, after)
        shown = list(within_bytes(items[:limit], lambda each: len(each[1])))
        fetched = (rows[0].fetched or 0) if rows else 0
        return join_page(
            [data for _, data in shown],
            has_more=len(items) > len(shown) or fetched > len(stored),
            after=shown[-1][0] if shown else None,
        )

    async def _list_items(
        self,
        thread_id: str,
        after: str | None,
        limit: int,
        order: str,
        context: RequestContext,
        *,
        visible: bool,
    ) -> list[ItemPageRow]:
        """Return a page with one item more than ``limit``; raises ``NotFoundError``."""
        statement = item_sql.list_page(
            thread_id,
            after,
            limit + 1,
            _order(order),
            visible_only=visible,
            max_bytes=MAX_PAGE_BYTES if visible else MAX_READ_BYTES,
        )
        rows = await self._fetch(context, statement)
        if not rows[0].found:
            raise NotFoundError(f"Thread {thread_id} not found")
        return rows

    async def load_item(self, thread_id: str, item_id: str, context: RequestContext) -> ThreadItem:
        """Return an item; raises ``NotFoundError``."""
        rows = await self._fetch(context, item_sql.load(thread_id, item_id))
        if not rows:
            raise NotFoundError(f"Item {item_id} not found")
        return self._mapping.to_item(rows[0], self._mapping.reader(context))

    async def add_thread_item(
        self, thread_id: str, item: ThreadItem, context: RequestContext
    ) -> None:
        """Store an item at the end of the thread, or in its place if it is there already."""
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: RequestContext) -> None:
        """Insert an item or replace the one with its id, which keeps its place."""
        item = to_own_item(item)
        if not item.thread_id:  # a note as older guides write it
            item = item.model_copy(update={"thread_id": thread_id})
        if isinstance(item, GeneratedImageItem):
            await self._bind_image(thread_id, item, context)
        new = self._mapping.to_new_item(item, context)
        await self._write(
            item_sql.save(thread_id, new),
            context,
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
            await self._write(
                attachment_sql.bind_generated(thread_id, image_id),
                context,
            )

    async def delete_thread_item(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        """Delete an item; an unknown id is harmless."""
        await self._write(item_sql.delete(thread_id, item_id), context)

    async def chatkit_delete_items_after(
        self, thread_id: str, item_id: str, context: RequestContext
    ) -> None:
        """Delete every newer item, all or none; raises ``NotFoundError``."""
        await self._write(
            item_sql.delete_after(thread_id, item_id),
            context,
            missing=f"Item {item_id} not found",
        )

    async def chatkit_mark_once(self, thread_id: str, key: str, context: RequestContext) -> bool:
        """Leave a mark in the thread; return False where somebody else has left it already.

        In two steps, so that a reply which is lost costs nothing: whoever asks again for the same
        call finds their own claim, and a claim whose call never went on is free for the next one.
        """
        owner = f"{context.run.id if context.run else ''}:{create_id('mark')}"
        mark = self._mapping.to_new_item(create_mark(thread_id, key), context)
        claimed = mark._replace(private=to_json({"mark": f"claimed:{owner}"}))
        if not await self._write(item_sql.claim_mark(thread_id, claimed), context):
            return False
        begun = mark._replace(private=to_json({"mark": f"begun:{owner}"}))
        return await self._write(item_sql.save(thread_id, begun), context)

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
        message = self._mapping.to_new_item(item, context)
        attachment_ids = [each.id for each in attachments]
        missing = f"Thread {thread.id} not found"
        if new_thread:
            statement = item_sql.begin_thread(
                to_thread_row(thread), message, attachment_ids, context.run, limit=self._max_runs
            )
            row = await self._fenced(statement, context)
            if not row.has_room:
                raise TooManyRunsError(TOO_MANY)
        else:
            statement = item_sql.add_message(thread.id, message, attachment_ids)
            row = await self._fenced(statement, context, missing=missing)
        if row.found:
            return
        if not attachments:
            raise NotFoundError(missing)
        raise UnprocessableError("An attachment was deleted or sent in another thread")

    # --- attachments and feedback ----------------------------------------------------------------

    async def save_attachment(self, attachment: Attachment, context: RequestContext) -> None:
        """Insert or update an attachment's metadata."""
        row = self._mapping.to_attachment_row(attachment, context)
        await self._write(attachment_sql.save(row, attachment.thread_id), context)

    async def load_attachment(self, attachment_id: str, context: RequestContext) -> Attachment:
        """Return an attachment; raises ``NotFoundError``."""
        return (await self.chatkit_load_attachments([attachment_id], context))[0]

    async def chatkit_load_attachments(
        self, attachment_ids: Sequence[str], context: RequestContext
    ) -> list[Attachment]:
        """Return attachments in the given order; raises ``NotFoundError``."""
        rows = await self._fetch(context, attachment_sql.load(attachment_ids))
        reader = self._mapping.reader(context)
        found = {row.id: self._mapping.to_attachment(row, reader) for row in rows}
        wanted = [clean_text(each) for each in attachment_ids]
        for each in wanted:
            if each not in found:
                raise NotFoundError(f"Attachment {each} not found")
        return [found[each] for each in wanted]

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        """Delete an attachment's metadata; raises ``NotFoundError``."""
        await self._write(
            attachment_sql.delete(attachment_id),
            context,
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
            item_sql.save_feedback(thread_id, wanted, kind),
            context,
            missing="Thread or item not found",
        )

    async def _write(
        self, statement: Fenced[Written], context: RequestContext, *, missing: str | None = None
    ) -> bool:
        """Run a fenced statement; return whether it found what it names.

        Raises ``NotFoundError(missing)`` instead where ``missing`` is given.
        """
        row = await self._fenced(statement, context, missing=missing)
        if missing is not None and not row.found:
            raise NotFoundError(missing)
        return row.found

    async def _fenced(
        self, statement: Fenced[_WrittenT], context: RequestContext, *, missing: str | None = None
    ) -> _WrittenT:
        """Run a fenced statement and return its row.

        Raises ``RunLostError``, or ``NotFoundError`` where what the row belongs to is not there.
        """
        run_id = context.run.id if context.run else None
        try:
            rows = await self._fetch(context, statement.of(run_id))
        except IntegrityError as error:
            raise NotFoundError(missing or "Thread not found") from error
        if not rows or not rows[0].held:
            raise RunLostError(f"Run {run_id} no longer holds its thread")
        return rows[0]


def _order(order: str) -> Order:
    return "asc" if order == "asc" else "desc"


def _to_page(found: list[Any], limit: int, fetched: int | None) -> Page[Any]:
    """Return a page of at most ``limit`` from a read of one more than that.

    ``fetched`` is how many there were up to then, of which the last may be left out.
    """
    shown = found[:limit]
    has_more = (fetched or 0) > len(shown)
    return Page(data=shown, has_more=has_more, after=shown[-1].id if has_more else None)
