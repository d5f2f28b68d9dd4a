"""Whether the database can be worked with: for ``/readyz``, ``doctor`` and the start."""

from dataclasses import dataclass
from typing import Literal

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from app.db.pool import ConnectionLostError, ConnectionPool, UnguardedUserError, describe_error
from app.db.revisions import load_revisions

_LOAD_REVISION = "SELECT version_num FROM alembic_version"


@dataclass(frozen=True)
class DatabaseCheck:
    """What was found; ``message`` is for people, without secrets.

    ``unguarded`` is a database whose row-level security does not hold for us.
    """

    state: Literal["ok", "unreachable", "unguarded", "not_migrated"]
    message: str


async def check_database(pool: ConnectionPool) -> DatabaseCheck:
    """Look through ``pool`` whether the database answers and has the tables of this version.

    One that was migrated by a newer version is ``ok``: otherwise a rolling update would make all
    older replicas unready at once. Waits for a connection, and for an answer on it, no longer than
    ``DATABASE_TIMEOUT`` each; raises nothing.
    """
    try:
        revision = await _load_revision(pool)
    except UnguardedUserError as error:
        if not error.is_migrated:
            return _not_migrated(pool, None)
        return DatabaseCheck("unguarded", f"{pool.place}: {error}")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return DatabaseCheck("unreachable", f"{pool.place}: {describe_error(error)}")
    revisions = load_revisions()
    if revision == revisions.head:
        return DatabaseCheck("ok", f"{pool.place} is at revision {revision}")
    if revision is not None and revision not in revisions.known:
        return DatabaseCheck("ok", f"{pool.place} is at the newer revision {revision}")
    return _not_migrated(pool, revision)


def _not_migrated(pool: ConnectionPool, revision: str | None) -> DatabaseCheck:
    return DatabaseCheck(
        "not_migrated",
        f"{pool.place} is at revision {revision or 'none'}, not {load_revisions().head} "
        "(run: python -m app migrate)",
    )


async def _load_revision(pool: ConnectionPool) -> str | None:
    """Return the revision that the database is at, or None if it was never migrated."""
    try:
        try:
            rows = await pool.fetch(_LOAD_REVISION, [])
        except ConnectionLostError:  # Postgres was restarted, say
            rows = await pool.fetch(_LOAD_REVISION, [])
    except asyncpg.UndefinedTableError:
        return None
    return rows[0].version_num if rows else None
