"""Statements on ``thread_items``, and those that store a message with all that belongs to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.chatkit.context import RunIdentity
from app.chatkit.store import MARK_PREFIX
from app.db.statements.fence import FENCE, HOLDS, WRITTEN, Fenced, Statement, Written
from app.db.statements.pages import Order, beyond, by_seq, page_within
from app.db.statements.threads import ThreadRow, has_room


class ItemRow(NamedTuple):
    """An item as it is stored, in JSON: what the client gets, and what it does not."""

    id: str
    data: str
    private: str | None


class NewItem(NamedTuple):
    """An item to store."""

    id: str
    type: str
    hidden: bool
    data: str
    private: str | None
    created_at: datetime


_COLUMNS = "(user_id, thread_id, id, type, hidden, data, private, created_at)"
_VALUES = "$1, $3, $4, $5::text, $6::boolean, $7::jsonb, $8::jsonb, $9::timestamptz"
_UPSERT = """
  ON CONFLICT (user_id, thread_id, id) DO UPDATE SET
    type = excluded.type, hidden = excluded.hidden, data = excluded.data,
    private = excluded.private
  RETURNING 1"""

_SAVE = f"""
WITH {FENCE}, found AS (
  INSERT INTO thread_items {_COLUMNS}
  SELECT {_VALUES} WHERE {HOLDS}
  {_UPSERT}
) {WRITTEN}"""


def save(thread_id: str, item: NewItem) -> Fenced[Written]:
    """Store an item at the end of its thread, or in place of the one with its id."""
    return Fenced(
        Written,
        _SAVE,
        (
            thread_id,
            *item,
        ),
    )


# A mark is ``claimed:<run>:<token>`` until its call goes on, and then ``begun:…``. One that was
# only claimed belongs to nobody once its run has ended; without a run, after a minute.
_CLAIM_MARK = f"""
WITH {FENCE}, abandoned AS (
  SELECT mark.id FROM thread_items AS mark
  WHERE mark.user_id = $1 AND mark.thread_id = $3 AND mark.id = $4
    AND starts_with(mark.private ->> 'mark', 'claimed:')
    AND CASE split_part(mark.private ->> 'mark', ':', 2)
      WHEN '' THEN mark.created_at < now() - interval '1 minute'
      ELSE NOT EXISTS (
        SELECT 1 FROM runs WHERE user_id = $1 AND state = 'running'
          AND runs.id = split_part(mark.private ->> 'mark', ':', 2)
      )
    END
), found AS (
  INSERT INTO thread_items {_COLUMNS}
  SELECT {_VALUES} WHERE {HOLDS}
  ON CONFLICT (user_id, thread_id, id) DO UPDATE SET private = excluded.private
  WHERE thread_items.private ->> 'mark' = excluded.private ->> 'mark'
    OR thread_items.id IN (SELECT id FROM abandoned)
  RETURNING 1
) {WRITTEN}"""


def claim_mark(thread_id: str, mark: NewItem) -> Fenced[Written]:
    """Store a mark; ``found`` unless it is somebody else's."""
    return Fenced(Written, _CLAIM_MARK, (thread_id, *mark))


# Either all attachments are bound to the thread, or none is and no message is stored.
_BIND_ATTACHMENTS = """
free AS (
  SELECT id FROM attachments
  WHERE user_id = $1 AND id = ANY($10::text[]) AND (thread_id IS NULL OR thread_id = $3)
    AND upload_state = 'finished'
  ORDER BY id FOR UPDATE
), ready AS (
  SELECT 1 WHERE (SELECT count(*) FROM free) = cardinality($10::text[]) AND {condition}
), bound AS (
  UPDATE attachments SET
    thread_id = $3, data = jsonb_set(data, '{{thread_id}}', to_jsonb($3::text))
  WHERE user_id = $1 AND id = ANY($10::text[]) AND EXISTS (SELECT 1 FROM ready)
)"""
_INSERT_MESSAGE = f"""
found AS (
  INSERT INTO thread_items {_COLUMNS}
  SELECT {_VALUES} FROM ready
  {_UPSERT}
)"""

_ADD_MESSAGE = f"""
WITH {FENCE}, {_BIND_ATTACHMENTS.format(condition=HOLDS)}, touched AS (
  UPDATE threads SET updated_at = now() FROM ready WHERE user_id = $1 AND id = $3
), {_INSERT_MESSAGE} {WRITTEN}"""


def add_message(
    thread_id: str,
    message: NewItem,
    attachment_ids: Sequence[str],
) -> Fenced[Written]:
    """Store a message and bind its attachments to the thread; not ``found`` if one is not free."""
    return Fenced(
        Written,
        _ADD_MESSAGE,
        (
            thread_id,
            *message,
            list(attachment_ids),
        ),
    )


class Begun(NamedTuple):
    """``Written`` for a message that begins a thread and a run, and whether there was room."""

    held: bool
    found: bool
    has_room: bool


_BEGINS = "coalesce((SELECT held FROM began), true) AND (SELECT free FROM room)"
# A run begins with its thread, unless it had begun and has ended or lost its thread since.
_BEGIN_THREAD = f"""
WITH {has_room("$18")}, began AS (
  SELECT state = 'running' AND thread_id = $3 AS held FROM runs WHERE user_id = $1 AND id = $2
), {_BIND_ATTACHMENTS.format(condition=_BEGINS)}, thread AS (
  INSERT INTO threads (user_id, id, title, status, allowed_image_domains, metadata, created_at)
  SELECT $1, $3, $11::text, $12::jsonb, $13::jsonb, $14::jsonb, $15::timestamptz FROM ready
  ON CONFLICT (user_id, id) DO NOTHING
), claim AS (
  INSERT INTO runs (user_id, id, thread_id, kind, owner)
  SELECT $1, $2, $3, $16, $17 FROM ready WHERE $2::text IS NOT NULL
  ON CONFLICT DO NOTHING
), {_INSERT_MESSAGE}
SELECT coalesce((SELECT held FROM began), true) AS held, EXISTS (SELECT 1 FROM found) AS found,
  (SELECT free FROM room) AS has_room"""


def begin_thread(
    thread: ThreadRow,
    message: NewItem,
    attachment_ids: Sequence[str],
    run: RunIdentity | None,
    *,
    limit: int,
) -> Fenced[Begun]:
    """Create a thread with its first message, and the run on it, of which a user has ``limit``."""
    thread_id, *columns = thread
    kind, replica = (run.kind, run.replica) if run else (None, None)
    args = (thread_id, *message, list(attachment_ids), *columns, kind, replica, limit)
    return Fenced(Begun, _BEGIN_THREAD, args)


_LOAD = """
SELECT id, data, private FROM thread_items WHERE user_id = $1 AND thread_id = $2 AND id = $3"""


def load(thread_id: str, item_id: str) -> Statement[ItemRow]:
    """Load an item."""
    return Statement(ItemRow, _LOAD, (thread_id, item_id))


_DELETE = f"""
WITH {FENCE}, found AS (
  DELETE FROM thread_items WHERE user_id = $1 AND thread_id = $3 AND id = $4 AND {HOLDS}
  RETURNING 1
) {WRITTEN}"""


def delete(thread_id: str, item_id: str) -> Fenced[Written]:
    """Delete an item."""
    return Fenced(
        Written,
        _DELETE,
        (
            thread_id,
            item_id,
        ),
    )


_DELETE_AFTER = f"""
WITH {FENCE}, found AS (
  SELECT seq FROM thread_items
  WHERE user_id = $1 AND thread_id = $3 AND id = $4 AND {HOLDS}
), gone AS (
  DELETE FROM thread_items
  WHERE user_id = $1 AND thread_id = $3 AND seq > (SELECT seq FROM found)
    AND NOT starts_with(id, '{MARK_PREFIX}')
) {WRITTEN}"""


def delete_after(thread_id: str, item_id: str) -> Fenced[Written]:
    """Delete what is newer than an item, all but marks; not ``found`` where there is none."""
    return Fenced(
        Written,
        _DELETE_AFTER,
        (
            thread_id,
            item_id,
        ),
    )


class ItemPageRow(NamedTuple):
    """An item of a page, null where the page is empty.

    ``found`` and ``cursor_found`` say whether its thread and the page's cursor exist. ``pending``
    is JSON, in the first row: the items of a running response as far as they are known.
    """

    id: str | None
    data: str | None
    private: str | None
    fetched: int | None
    found: bool
    cursor_found: bool
    pending: str | None

    @property
    def item(self) -> ItemRow | None:
        """The item alone."""
        return None if self.id is None else ItemRow._make(self[:3])


# What a running response reads like so far, but for what is stored by now.
_PENDING = """(
    SELECT jsonb_agg(item ORDER BY place)
    FROM runs, jsonb_array_elements(runs.snapshot) WITH ORDINALITY AS snapshot (item, place)
    WHERE runs.user_id = $1 AND runs.thread_id = $2 AND runs.state = 'running'
      AND coalesce(item -> 'content', 'null'::jsonb) <> '[]'::jsonb AND NOT EXISTS (
      SELECT 1 FROM thread_items AS stored
      WHERE stored.user_id = $1 AND stored.thread_id = $2 AND stored.id = item ->> 'id'
    )
  )"""


def _list(*, newest_first: bool, visible_only: bool) -> str:
    """Return the statement for a page; it has always a row, whose columns may be null."""
    order = f"ORDER BY page.seq {by_seq(newest_first)}"
    # What is private is for the server alone.
    private = "NULL::text" if visible_only else "private::text"
    page = page_within(
        f"id, data::text AS data, {private} AS private, seq",
        "thread_items WHERE user_id = $1 AND thread_id = $2 "
        f"{'AND NOT hidden' if visible_only else ''} "
        f"AND {beyond('cursor', newest_first=newest_first)}",
        newest_first=newest_first,
        limit="$4",
        size="octet_length(data) + coalesce(octet_length(private), 0)",
        most="$5",
    )
    # In the first row only, since it may be long.
    pending = f"CASE WHEN row_number() OVER ({order}) = 1 THEN {_PENDING} END"
    return f"""
WITH cursor AS (
  SELECT seq FROM thread_items WHERE user_id = $1 AND thread_id = $2 AND id = $3
)
SELECT page.id, page.data, page.private, page.fetched,
  EXISTS (SELECT 1 FROM threads WHERE user_id = $1 AND id = $2) AS found,
  $3::text IS NULL OR EXISTS (SELECT 1 FROM cursor) AS cursor_found,
  {pending if visible_only else "NULL"} AS pending
FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
  {page}
) AS page ON true
{order}"""


_LIST: dict[tuple[Order, bool], str] = {
    (order, visible_only): _list(newest_first=order == "desc", visible_only=visible_only)
    for order in ("asc", "desc")
    for visible_only in (False, True)
}


def list_page(
    thread_id: str,
    after: str | None,
    limit: int,
    order: Order,
    *,
    visible_only: bool,
    max_bytes: int,
) -> Statement[ItemPageRow]:
    """List at most ``limit`` items of a thread behind the item ``after``; always a row.

    It ends behind the item with which it comes to ``max_bytes``. Only a page of visible items has
    ``pending`` ones.
    """
    return Statement(ItemPageRow, _LIST[order, visible_only], (thread_id, after, limit, max_bytes))


# A thumb for every item, or for none: all must be the caller's and visible.
_SAVE_FEEDBACK = f"""
WITH {FENCE}, found AS (
  INSERT INTO feedback (user_id, thread_id, item_id, kind)
  SELECT $1, $3, wanted.id, $5 FROM unnest($4::text[]) AS wanted (id)
  WHERE {HOLDS} AND cardinality($4::text[]) = (
    SELECT count(*) FROM thread_items
    WHERE user_id = $1 AND thread_id = $3 AND id = ANY($4::text[]) AND NOT hidden
  )
  ON CONFLICT (user_id, thread_id, item_id) DO UPDATE SET
    kind = excluded.kind, created_at = now()
  RETURNING 1
) {WRITTEN}"""


def save_feedback(thread_id: str, item_ids: Sequence[str], kind: str) -> Fenced[Written]:
    """Keep a thumb for each item; not ``found`` unless all are there."""
    return Fenced(
        Written,
        _SAVE_FEEDBACK,
        (
            thread_id,
            list(item_ids),
            kind,
        ),
    )
