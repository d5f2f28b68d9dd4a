"""Statements on ``threads``, and the claim of a thread for a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.chatkit.context import RunIdentity
from app.db.statements.fence import FENCE, HOLDS, WRITTEN, Fenced, Statement, Written
from app.db.statements.pages import Order, beyond, by_seq, page_within


class ThreadRow(NamedTuple):
    """A thread as it is stored; ``status``, ``allowed_image_domains``, ``metadata`` are JSON."""

    id: str
    title: str | None
    status: str
    allowed_image_domains: str | None
    metadata: str
    created_at: datetime


_COLUMNS = ", ".join(ThreadRow._fields)

_LOAD = f"SELECT {_COLUMNS} FROM threads WHERE user_id = $1 AND id = $2"


def load(thread_id: str) -> Statement[ThreadRow]:
    """Load a thread."""
    return Statement(ThreadRow, _LOAD, (thread_id,))


def has_room(limit: str) -> str:
    """Return the expression for whether the user may have one more run; a limit of 0 is none."""
    return f"""
room AS MATERIALIZED (
  SELECT CASE WHEN $2::text IS NULL OR {limit}::bigint = 0 THEN true
    ELSE answer_room($1, $2, {limit}::bigint) END AS free
)"""


class ClaimRow(NamedTuple):
    """A thread and how its claim went: whether the run has it, or there was room for the run."""

    id: str
    title: str | None
    status: str
    allowed_image_domains: str | None
    metadata: str
    created_at: datetime
    has_room: bool
    claimed: bool

    @property
    def thread(self) -> ThreadRow:
        """The thread alone."""
        return ThreadRow._make(self[:6])


_CLAIM = f"""
WITH {has_room("$6")}, thread AS (
  SELECT {_COLUMNS} FROM threads WHERE user_id = $1 AND id = $3
), claim AS (
  INSERT INTO runs (user_id, id, thread_id, kind, owner)
  SELECT $1, $2, thread.id, $4, $5 FROM thread, room WHERE room.free
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT thread.*, (SELECT free FROM room) AS has_room, EXISTS (SELECT 1 FROM claim) OR EXISTS (
  SELECT 1 FROM runs WHERE user_id = $1 AND id = $2 AND thread_id = $3 AND state = 'running'
) AS claimed
FROM thread"""


def claim(run: RunIdentity, thread_id: str, *, limit: int) -> Statement[ClaimRow]:
    """Load a thread and claim it for a run, of which a user has at most ``limit``."""
    return Statement(ClaimRow, _CLAIM, (run.id, thread_id, run.kind, run.replica, limit))


_SAVE = f"""
WITH {FENCE}, found AS (
  INSERT INTO threads
    (user_id, id, title, status, allowed_image_domains, metadata, created_at, updated_at)
  SELECT $1, $3, $4::text, $5::jsonb, $6::jsonb, $7::jsonb, $8::timestamptz, now() WHERE {HOLDS}
  ON CONFLICT (user_id, id) DO UPDATE SET
    title = excluded.title, status = excluded.status, metadata = excluded.metadata,
    allowed_image_domains = excluded.allowed_image_domains, updated_at = now()
  RETURNING 1
) {WRITTEN}"""


def save(thread: ThreadRow) -> Fenced[Written]:
    """Insert or update a thread."""
    return Fenced(Written, _SAVE, thread)


_SAVE_CHANGES = f"""
WITH {FENCE}, found AS (
  UPDATE threads SET
    title = CASE WHEN 'title' = ANY($8::text[]) THEN $4::text ELSE title END,
    status = CASE WHEN 'status' = ANY($8::text[]) THEN $5::jsonb ELSE status END,
    allowed_image_domains = CASE WHEN 'allowed_image_domains' = ANY($8::text[])
      THEN $6::jsonb ELSE allowed_image_domains END,
    metadata = CASE WHEN 'metadata' = ANY($8::text[]) THEN $7::jsonb ELSE metadata END,
    updated_at = now()
  WHERE user_id = $1 AND id = $3 AND {HOLDS}
  RETURNING 1
) {WRITTEN}"""


def save_changes(thread: ThreadRow, changed: Sequence[str]) -> Fenced[Written]:
    """Update the named columns of a thread."""
    return Fenced(Written, _SAVE_CHANGES, (*thread[:5], list(changed)))  # all but created_at


_DELETE = f"""
WITH {FENCE}, files AS (
  UPDATE attachments SET upload_state = 'deleted', touched_at = now()
  WHERE user_id = $1 AND thread_id = $3 AND {HOLDS}
), found AS (
  DELETE FROM threads WHERE user_id = $1 AND id = $3 AND {HOLDS} RETURNING 1
) {WRITTEN}"""


def delete(thread_id: str) -> Fenced[Written]:
    """Delete a thread with what is in it; its files are marked as deleted."""
    return Fenced(Written, _DELETE, (thread_id,))


class ThreadPageRow(NamedTuple):
    """A thread of a page, null where the page is empty, and whether the page's cursor exists."""

    id: str | None
    title: str | None
    status: str | None
    allowed_image_domains: str | None
    metadata: str | None
    created_at: datetime | None
    seq: int | None
    fetched: int | None
    cursor_found: bool

    @property
    def thread(self) -> ThreadRow | None:
        """The thread alone."""
        return None if self.id is None else ThreadRow._make(self[:6])


def _list(*, newest_first: bool) -> str:
    """Return the statement for a page; it has always a row, whose columns may be null."""
    order = by_seq(newest_first)
    page = page_within(
        "id, title, status, allowed_image_domains, metadata::text AS metadata, created_at, seq",
        f"threads WHERE user_id = $1 AND {beyond('cursor', newest_first=newest_first)}",
        newest_first=newest_first,
        limit="$3",
        size="octet_length(metadata) + coalesce(octet_length(title), 0)",
        most="$4",
    )
    return f"""
WITH cursor AS (SELECT seq FROM threads WHERE user_id = $1 AND id = $2)
SELECT {", ".join(f"page.{each}" for each in ThreadRow._fields)}, page.seq, page.fetched,
  $2::text IS NULL OR EXISTS (SELECT 1 FROM cursor) AS cursor_found
FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
  {page}
) AS page ON true
ORDER BY page.seq {order}"""


_LIST: dict[Order, str] = {"asc": _list(newest_first=False), "desc": _list(newest_first=True)}


def list_page(
    after: str | None, limit: int, order: Order, *, max_bytes: int
) -> Statement[ThreadPageRow]:
    """List at most ``limit`` threads behind the thread ``after``, by creation; always a row."""
    return Statement(ThreadPageRow, _LIST[order], (after, limit, max_bytes))
