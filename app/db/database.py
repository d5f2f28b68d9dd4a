"""Statements against Postgres: one round trip each, on a connection held just that long."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine


class Database:
    """Runs single statements, each its own transaction (the engine is in AUTOCOMMIT).

    Statements are Postgres SQL with ``$1`` parameters. A step that must be atomic is written as
    one statement with data-modifying CTEs: that is one round trip where a transaction takes three.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def rows(self, sql: str, *args: Any) -> Sequence[Row[Any]]:
        """Run one statement and return its rows.

        A connection that turns out to be dead (Postgres was restarted) is replaced and the
        statement is sent once more. It may have been carried out by then, so statements must be
        idempotent: inserts go by id and tolerate to find their own row.
        """
        try:
            return await self._run(sql, args)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return await self._run(sql, args)

    async def row(self, sql: str, *args: Any) -> Row[Any] | None:
        """Run one statement and return its first row, or None."""
        rows = await self.rows(sql, *args)
        return rows[0] if rows else None

    async def _run(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row[Any]]:
        async with self.engine.connect() as connection:
            result = await connection.exec_driver_sql(sql, args)
            return result.all() if result.returns_rows else []
