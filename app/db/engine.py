"""Connections to Postgres: one pool per process, each step a single statement.

*Autocommit is the default.* Nearly every step is one statement, and a transaction around it would
cost two more round trips. Where several statements belong together, say so::

    async with transaction(engine) as connection: ...

*No ping at checkout.* It would cost a round trip each time. A server that stops or restarts closes
its sockets, and the driver notices; a connection known to be closed is replaced at checkout, and
with it all others of its age. So after a restart statements simply work; only one that was under
way at that moment fails, and is not repeated here, since it may have been executed.
"""

import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from app.db.database_url import DatabaseUrlError, parse_database_url
from app.db.revisions import load_revisions
from app.settings import Settings

APPLICATION_NAME = "chatkit-backend"
UNDEFINED_TABLE = "42P01"
NETWORK_MARGIN = 5.0  # seconds that the server's own timeouts are ahead of the client's
MAX_AGE = 1800  # seconds after which an idle connection is replaced at checkout

IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@dataclass(frozen=True)
class DatabaseCheck:
    """Whether the database can be worked with; ``message`` is for people, without secrets."""

    state: Literal["ok", "unreachable", "not_migrated"]
    message: str


def create_engine(settings: Settings, *, for_migrations: bool = False) -> AsyncEngine:
    """Return an engine for ``DATABASE_URL``; nothing is connected yet.

    For migrations it opens transactions, its statements may take any time, and JSON is decoded.
    Raises ``DatabaseUrlError``.
    """
    if settings.database_url is None:
        raise DatabaseUrlError("it is not set")
    url, arguments = parse_database_url(settings.database_url.get_secret_value())
    limit = 0.0 if for_migrations else settings.database_timeout
    server_settings = {
        "application_name": APPLICATION_NAME,
        "statement_timeout": _milliseconds(limit),
        "lock_timeout": _milliseconds(settings.database_timeout / 2),
        "idle_in_transaction_session_timeout": _milliseconds(settings.database_timeout),
    } | arguments.pop("server_settings", {})
    engine = create_async_engine(
        url,
        isolation_level="READ COMMITTED" if for_migrations else "AUTOCOMMIT",
        skip_autocommit_rollback=True,
        # JSONB stays text: pages are put together from it, and models parse it themselves.
        json_deserializer=None if for_migrations else str,
        # Parameters are people's words; they belong in no log.
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_timeout,
        pool_recycle=MAX_AGE,
        connect_args={
            "timeout": settings.database_timeout,
            # The last resort, when the network swallows the server's answer.
            "command_timeout": limit + NETWORK_MARGIN if limit else None,
            "server_settings": server_settings,
        }
        | arguments,
    )
    event.listen(engine.sync_engine, "checkout", _replace_closed_connection)
    return engine


def transaction(
    engine: AsyncEngine, isolation_level: IsolationLevel = "READ COMMITTED"
) -> AbstractAsyncContextManager[AsyncConnection]:
    """Return a connection in a transaction: committed at the end, rolled back by an exception."""
    return engine.execution_options(isolation_level=isolation_level).begin()


async def check_database(engine: AsyncEngine) -> DatabaseCheck:
    """Look whether the database answers and has the tables of this version.

    One that was migrated by a newer version is ``ok``: otherwise a rolling update would make all
    older replicas unready at once. Takes at most ``DATABASE_TIMEOUT`` and raises nothing.
    """
    try:
        async with engine.connect() as connection:
            revision: str | None = await connection.scalar(
                text("SELECT version_num FROM alembic_version")
            )
    except (OSError, SQLAlchemyError) as error:
        if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", "") == UNDEFINED_TABLE:
            revision = None
        else:
            return DatabaseCheck(
                "unreachable", f"{describe_place(engine)}: {describe_error(error)}"
            )
    revisions = load_revisions()
    if revision == revisions.head:
        return DatabaseCheck("ok", f"{describe_place(engine)} is at revision {revision}")
    if revision is not None and revision not in revisions.known:
        return DatabaseCheck("ok", f"{describe_place(engine)} is at the newer revision {revision}")
    return DatabaseCheck(
        "not_migrated",
        f"{describe_place(engine)} is at revision {revision or 'none'}, not {revisions.head} "
        "(run: python -m app migrate)",
    )


def describe_place(engine: AsyncEngine) -> str:
    """Return where the database is, without user and password."""
    url = engine.url
    host = url.host or url.query.get("host") or "localhost"
    return f"database {url.database} on {host}{f':{url.port}' if url.port else ''}"


def describe_error(error: Exception) -> str:
    """Return one line that says what went wrong with the database, without any wrapping."""
    if isinstance(error, DBAPIError):
        error = getattr(error, "driver_exception", None) or error
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error}"
    lines = str(error).splitlines()
    return lines[0] if lines and lines[0] else type(error).__name__


def _replace_closed_connection(
    connection: Any, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """Make the pool connect anew where the driver already knows that the server is gone."""
    del connection, proxy
    if entry.driver_connection is None or entry.driver_connection.is_closed():
        raise InvalidatePoolError("the server closed the connection")


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
