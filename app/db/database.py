"""Statements against Postgres: one round trip each, on a connection held just that long.

Every statement says on whose behalf it runs, and row-level security shows it nothing else. How it
says so costs no round trip: its parameter has a type (``chatkit_user``, a domain) whose check sets
a variable of the transaction. Postgres takes all parameters in before it runs anything, so the
variable is always set when a policy looks at it, and it is gone when the statement is. A query that
bypasses this class finds no rows at all.
"""

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeVar, cast

from app.chatkit.errors import StoreUnavailableError
from app.chatkit.protocol.serialization import clean_text
from app.db.pool import ConnectionLostError, ConnectionPool, Row, is_outage

Scope = Literal["janitor", "server_api", "sessions"]
"""Who works across owners; what each of them may do is in the policies."""


FIRST_PAUSE, MAX_PAUSE = 0.05, 0.5
"""Seconds between two tries of a statement while the database is away."""


class Found(NamedTuple):
    """The row of a statement that says no more than that there is one."""

    found: bool


RowT = TypeVar("RowT", bound=NamedTuple)
"""A ``NamedTuple`` with a field for each column, named and ordered as the columns are."""


class Database:
    """Runs single statements, each its own transaction.

    Statements are Postgres SQL with ``$1`` parameters; ``$1`` is the owner. The parameters
    are cleaned of characters that Postgres cannot hold. A step that must be atomic is written as
    one statement with data-modifying CTEs: that is one round trip where a transaction takes three.
    JSONB goes in and comes back as text.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    async def fetch(
        self, row: type[RowT], sql: str, *args: Any, patience: float = 0.0
    ) -> list[RowT]:
        """Run one statement on behalf of the owner in ``$1``, and return its rows as ``row``.

        A connection that turns out to be dead (Postgres was restarted) is replaced and the
        statement is sent once more. It may have been carried out by then, so statements must be
        idempotent: inserts go by id and accept that their row is already there. For ``patience``
        seconds it is sent again and again while the database is away, restarts or has become
        read-only. Raises ``StoreUnavailableError``.
        """
        return _to_rows(row, sql, await self._run_with_retry(_for_owner(sql), args, patience))

    async def fetchrow(self, row: type[RowT], sql: str, *args: Any) -> RowT | None:
        """Run one statement on behalf of the owner in ``$1``; return its first row, or None."""
        rows = await self.fetch(row, sql, *args)
        return rows[0] if rows else None

    async def execute(self, sql: str, *args: Any) -> None:
        """Run one statement on behalf of the owner in ``$1`` that returns nothing."""
        await self._run_with_retry(_for_owner(sql), args)

    async def fetch_across_owners(
        self, scope: Scope, row: type[RowT], sql: str, *args: Any
    ) -> list[RowT]:
        """Run one statement that is about no owner or several, and return its rows as ``row``."""
        records = await self._run_with_retry(_across(sql, len(args) + 1), (*args, scope))
        return _to_rows(row, sql, records)

    async def fetchrow_across_owners(
        self, scope: Scope, row: type[RowT], sql: str, *args: Any
    ) -> RowT | None:
        """Run such a statement and return its first row, or None."""
        rows = await self.fetch_across_owners(scope, row, sql, *args)
        return rows[0] if rows else None

    async def execute_across_owners(self, scope: Scope, sql: str, *args: Any) -> None:
        """Run such a statement that returns nothing."""
        await self._run_with_retry(_across(sql, len(args) + 1), (*args, scope))

    async def _run_with_retry(
        self, sql: str, args: tuple[Any, ...], patience: float = 0.0
    ) -> list[Row]:
        values = [_clean(each) for each in args]
        deadline: float | None = None
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._pool.fetch(sql, values)
            except Exception as error:
                if not is_outage(error):
                    raise
                if deadline is None:
                    deadline = time.monotonic() + patience
                    if isinstance(error, ConnectionLostError):
                        continue  # a new connection may be all that it takes
                if time.monotonic() >= deadline:
                    raise StoreUnavailableError(f"The database is away: {error}") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)


def _to_rows(row: type[RowT], sql: str, records: Sequence[Row]) -> list[RowT]:
    if not records:
        return []
    _check_columns(row, sql, records[0])
    return [row._make(record) for record in records]


_checked: set[str] = set()


def _check_columns(row: type[NamedTuple], sql: str, record: Row) -> None:
    """Raise ``TypeError`` where a row's fields are not the columns; looked at once a statement."""
    if sql not in _checked:
        columns = tuple(record.keys())
        if columns != row._fields:
            raise TypeError(f"{row.__name__} has {row._fields}, its statement returns {columns}")
        _checked.add(sql)


@functools.cache
def _for_owner(sql: str) -> str:
    # The first mention of a parameter decides its type, so this comes first.
    return _with("the_owner AS (SELECT $1::chatkit_user)", sql)


@functools.cache
def _across(sql: str, number: int) -> str:
    return _with(f"the_scope AS (SELECT ${number}::chatkit_scope)", sql)


def _with(expression: str, sql: str) -> str:
    """Return a statement with a further common table expression in front."""
    statement = sql.lstrip()
    rest = statement.removeprefix("WITH ")
    return f"WITH {expression}{' ' if rest == statement else ', '}{rest}"


def _clean(value: Any) -> Any:
    """Return a parameter without NUL and lone surrogates: ids come from clients and models."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(each) for each in cast("list[Any]", value)]
    return value
