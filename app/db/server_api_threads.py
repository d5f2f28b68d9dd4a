"""Threads of all owners, for the server API. Nothing else reads across owners.

Pages go either way from a cursor: ``after`` is what comes behind it in the list, ``before`` what
comes right in front of it.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.page_size import MAX_PAGE_BYTES, Pauses
from app.db.database import Database
from app.db.row_mapping import FileLinks
from app.db.statements.pages import Order, beyond, by_seq, page_within

SHOWN_TYPES = [
    "user_message",
    "assistant_message",
    "widget",
    "client_tool_call",
    "task",
    "workflow",
]
"""The items that the server API has objects for."""

RowT = TypeVar("RowT")


class OwnedThread(NamedTuple):
    """A thread and whose it is; ``status`` is JSON."""

    id: str
    user_id: str
    title: str | None
    status: str
    created_at: datetime


_COLUMNS = ", ".join(OwnedThread._fields)


class _ThreadPageRow(NamedTuple):
    id: str | None
    user_id: str | None
    title: str | None
    status: str | None
    created_at: datetime | None
    fetched: int | None
    cursor_found: bool


class _OwnedItem(NamedTuple):
    id: str
    user_id: str
    data: str


class _ItemPageRow(NamedTuple):
    id: str | None
    user_id: str | None
    data: str | None
    fetched: int | None
    found: bool
    cursor_found: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page is: behind ``after``, in front of ``before``, or at the beginning."""

    order: Order = "desc"
    after: str | None = None
    before: str | None = None

    @property
    def backwards(self) -> bool:
        """Whether the page is read from its end."""
        return self.before is not None

    @property
    def newest_first(self) -> bool:
        """Whether the rows are read from the newest on."""
        return (self.order == "desc") != self.backwards

    def arrange(
        self, rows: Sequence[RowT], limit: int, fetched: int | None
    ) -> tuple[list[RowT], bool]:
        """Return the page in its order, and whether there is more.

        Of a read of one row more there were ``fetched``, of which the last may be left out.
        """
        shown = list(rows[:limit])
        return (shown[::-1] if self.backwards else shown), (fetched or 0) > len(shown)


_FIND = f"SELECT {_COLUMNS} FROM threads WHERE id = $1 ORDER BY seq LIMIT 1"


@functools.cache
def _list_threads(*, of_user: bool, newest_first: bool) -> str:
    """Return the statement: ``$1`` cursor, ``$2`` limit, ``$3`` bytes, ``$4`` owner.

    There is always a row.
    """
    owner = "user_id = $4 AND " if of_user else ""
    order = by_seq(newest_first)
    page = page_within(
        f"{_COLUMNS}, seq",
        f"threads WHERE {owner}{beyond('edge', newest_first=newest_first)}",
        newest_first=newest_first,
        limit="$2",
        size="coalesce(octet_length(title), 0)",
        most="$3",
    )
    return f"""
WITH edge AS (SELECT seq FROM threads WHERE {owner}id = $1 ORDER BY seq LIMIT 1)
SELECT {", ".join(f"page.{each}" for each in OwnedThread._fields)}, page.fetched,
  $1::text IS NULL OR EXISTS (SELECT 1 FROM edge) AS cursor_found
FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
  {page}
) AS page ON true
ORDER BY page.seq {order}"""


@functools.cache
def _list_items(*, newest_first: bool) -> str:
    """Return the statement: ``$1`` thread, ``$2`` cursor, ``$3`` limit, ``$4`` types, ``$5`` bytes.

    There is always a row.
    """
    order = by_seq(newest_first)
    mine = "user_id = (SELECT user_id FROM thread) AND thread_id = $1"
    page = page_within(
        "id, user_id, data::text AS data, seq",
        f"thread_items WHERE {mine} AND type = ANY($4::text[]) AND NOT hidden "
        f"AND {beyond('edge', newest_first=newest_first)}",
        newest_first=newest_first,
        limit="$3",
        size="octet_length(data)",
        most="$5",
    )
    return f"""
WITH thread AS (SELECT user_id FROM threads WHERE id = $1 ORDER BY seq LIMIT 1),
edge AS (SELECT seq FROM thread_items WHERE {mine} AND id = $2)
SELECT page.id, page.user_id, page.data, page.fetched, EXISTS (SELECT 1 FROM thread) AS found,
  $2::text IS NULL OR EXISTS (SELECT 1 FROM edge) AS cursor_found
FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
  {page}
) AS page ON true
ORDER BY page.seq {order}"""


class ServerApiThreads:
    """Reads threads and their items, whoever they belong to."""

    def __init__(self, database: Database, links: FileLinks) -> None:
        self._database = database
        self._links = links

    async def find(self, thread_id: str) -> OwnedThread:
        """Return a thread; raises ``NotFoundError``."""
        row = await self._database.fetchrow_across_owners(
            "server_api", OwnedThread, _FIND, thread_id
        )
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        return row

    async def list_threads(
        self, user_id: str | None, cursor: Cursor, limit: int
    ) -> tuple[list[OwnedThread], bool]:
        """Return a page of the threads of one user or of all, and whether there are more."""
        sql = _list_threads(of_user=user_id is not None, newest_first=cursor.newest_first)
        edge = cursor.after or cursor.before
        owner = [] if user_id is None else [user_id]
        rows = await self._database.fetch_across_owners(
            "server_api", _ThreadPageRow, sql, edge, limit + 1, MAX_PAGE_BYTES, *owner
        )
        if not rows[0].cursor_found:
            raise NotFoundError(f"Thread {edge} not found")
        threads = [OwnedThread._make(row[:5]) for row in rows if row.id is not None]
        return cursor.arrange(threads, limit, rows[0].fetched)

    async def list_items(
        self, thread_id: str, cursor: Cursor, limit: int, *, public_url: str
    ) -> tuple[list[bytes], bool]:
        """Return a page of a thread's shown items, as JSON, and whether there are more.

        Links to its owner's files begin with ``public_url``.
        """
        edge = cursor.after or cursor.before
        sql = _list_items(newest_first=cursor.newest_first)
        rows = await self._database.fetch_across_owners(
            "server_api", _ItemPageRow, sql, thread_id, edge, limit + 1, SHOWN_TYPES, MAX_PAGE_BYTES
        )
        if not rows[0].found:
            raise NotFoundError(f"Thread {thread_id} not found")
        if not rows[0].cursor_found:
            raise NotFoundError(f"Item {edge} not found")
        items = [_OwnedItem._make(row[:3]) for row in rows if row.id is not None]
        page, more = cursor.arrange(items, limit, rows[0].fetched)
        shown: list[bytes] = []
        pause = Pauses()
        reader = self._links.reader(public_url, page[0].user_id) if page else None
        for row in page:
            data = row.data.encode()
            shown.append(reader.show(data) if reader else data)
            await pause.after(len(data))
        return shown, more
