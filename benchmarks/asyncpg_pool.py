"""``python -m app`` on asyncpg's own pool instead of ours, for ``benchmarks.pools``."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import asyncpg

import app.main
from app.__main__ import main
from app.db import pool as ours
from app.settings import Settings


class AsyncpgPool:
    """``asyncpg.create_pool`` with the interface of our pool.

    The connections are the same (role, limits, statement cache). The ``reset`` hook spares the
    round trip that asyncpg resets a connection with, which single statements do not need.
    """

    def __init__(self, settings: Settings) -> None:
        self._template = ours.create_pool(settings)
        self._settings = settings
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Any]:
        """Run one statement and return its rows."""
        if self._pool is None:
            await self._open()
        async with self._pool.acquire(timeout=self._settings.database_timeout) as connection:
            return await connection.fetch(sql, *args)

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()

    async def _open(self) -> None:
        async with self._opening:
            if self._pool is None:
                kept = self._settings.database_pool_size
                self._pool = await asyncpg.create_pool(
                    min_size=0,
                    max_size=kept + self._settings.database_max_overflow,
                    max_queries=10**9,
                    max_inactive_connection_lifetime=ours.IDLE_TIME,
                    connect=self._connect,
                    reset=_keep,
                    record_class=ours.Row,
                )

    async def _connect(self, *_: Any, **__: Any) -> Any:
        return await self._template._connect()


async def _keep(_: Any) -> None:
    """Reset nothing."""


if __name__ == "__main__":
    app.main.create_pool = AsyncpgPool  # type: ignore[assignment]
    sys.exit(main())
