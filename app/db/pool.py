"""Connections to Postgres for the statements of the application, on asyncpg itself.

Here a statement takes a connection, runs, and puts it back, without a task. asyncpg's own pool
makes two for each statement (one waits for a connection, one puts it back); with a ``reset`` hook
instead of its round trip, and the same connections, a statement costs 2.4 times the CPU and a turn
16 to 19 % more (``python -m benchmarks.pools``). SQLAlchemy costs some 0.2 ms for each statement.

*No ping at checkout.* It would cost a round trip each time. A server that stops or restarts closes
its sockets, and the driver notices: a connection known to be closed is replaced when it is taken.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import URL

from app.db.database_url import DatabaseUrlError, describe_place, parse_database_url
from app.settings import Settings

APPLICATION_NAME = "chatkit-backend"
NETWORK_MARGIN = 5.0
"""Seconds that the server's own timeouts are ahead of the client's."""
MAX_AGE = 1800.0
"""Seconds after which a connection is replaced when it is put back."""
IDLE_TIME = 60.0
"""Seconds for which a connection beyond those that are kept waits for the next burst: to open one
and prepare its statements costs as much as some fifty statements."""

APP_ROLE = "chatkit_app"
"""Owns nothing and is held by every policy; migrations make it where they may."""
_LOOK_AT_USER = """
SELECT rolsuper OR rolbypassrls AS is_unguarded, to_regclass('alembic_version') IS NOT NULL
  AS is_migrated FROM pg_roles WHERE rolname = current_user"""

IntegrityError = asyncpg.IntegrityConstraintViolationError
"""A statement broke a constraint: what its row belongs to is not there, say."""

_connect_to_server = cast(
    "Callable[..., Awaitable[Any]]",
    asyncpg.connect,  # pyright: ignore[reportUnknownMemberType]
)


class ConnectionLostError(ConnectionError):
    """The connection was lost in the middle; the statement may or may not have been carried out."""


class UnguardedUserError(Exception):
    """Row-level security does not hold for the user of ``DATABASE_URL``.

    Where the database ``is_migrated`` not yet, the migrations may still make it hold.
    """

    def __init__(self, *, is_migrated: bool) -> None:
        super().__init__(
            "the user of DATABASE_URL bypasses row-level security, which keeps tenants apart "
            f"(let it create roles and run: python -m app migrate; or make it a member of "
            f"{APP_ROLE}; or take BYPASSRLS away from it)"
        )
        self.is_migrated = is_migrated


class DatabaseBusyError(TimeoutError):
    """All connections were in use for too long."""


OUTAGE_STATES = ("08", "57P", "57014", "55P03", "53300", "25006")
"""SQLSTATEs, or how they begin, of a server that is away, full, stalled or only a standby."""


def is_outage(error: BaseException) -> bool:
    """Return whether a statement failed because of the server's state, not because of itself."""
    state: object = getattr(error, "sqlstate", None)
    return isinstance(error, (OSError, TimeoutError)) or (
        isinstance(state, str) and state.startswith(OUTAGE_STATES)
    )


class Row(asyncpg.Record):
    """A row whose columns are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class _PooledConnection:
    """A connection, and since when it has been open and idle."""

    __slots__ = ("connection", "idle_since", "opened_at")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.opened_at = self.idle_since = time.monotonic()

    @property
    def is_expired(self) -> bool:
        return self.connection.is_closed() or time.monotonic() - self.opened_at > MAX_AGE


class ConnectionPool:
    """At most ``limit`` connections, of which ``kept`` stay open when nobody needs them for long.

    ``place`` says in words where they lead. Times are in seconds. Belongs to one event loop.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        *,
        place: str,
        kept: int,
        limit: int,
        timeout: float,
        idle_time: float = IDLE_TIME,
    ) -> None:
        self._connect = connect
        self.place = place
        self._kept = kept
        self._slots = asyncio.Semaphore(limit)
        self._timeout = timeout
        self._idle_time = idle_time
        self._open = 0
        # The one that was used last is at the end, and used next.
        self._idle: list[_PooledConnection] = []
        self._trimming: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def open_connections(self) -> int:
        """How many connections there are, in use or not."""
        return self._open

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """Run one statement and return its rows.

        Raises ``ConnectionLostError`` if the connection broke, ``DatabaseBusyError`` if there was
        none for too long, ``OSError`` if none could be opened, and asyncpg's ``PostgresError``.
        """
        pooled = await self._acquire()
        try:
            rows = await pooled.connection.fetch(sql, *args)
        except Exception as error:
            is_lost = pooled.connection.is_closed()
            # A timeout leaves the connection in the middle of a statement; one to a server that has
            # become a standby is of no use either.
            if is_lost or is_outage(error):
                self._discard(pooled)
            else:
                self._release(pooled)
            if is_lost:
                raise ConnectionLostError(f"The connection was lost: {error}") from error
            raise
        except BaseException:
            # Cancelled in the middle: nobody will read the rest of the answer.
            self._discard(pooled)
            raise
        self._release(pooled)
        return cast("list[Row]", rows)

    async def close(self) -> None:
        """Close what is open and refuse what comes."""
        self._is_closed = True
        if self._trimming is not None:
            self._trimming.cancel()
        idle, self._idle = self._idle, []
        for pooled in idle:
            self._open -= 1
            try:
                await pooled.connection.close(timeout=self._timeout)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pooled.connection.terminate()

    async def _acquire(self) -> _PooledConnection:
        await self._take_slot()
        try:
            while self._idle:
                pooled = self._idle.pop()
                if not pooled.connection.is_closed():
                    return pooled
                self._open -= 1
            if self._is_closed:
                raise DatabaseBusyError("The database was closed")
            return await self._open_one()
        except BaseException:
            self._slots.release()
            raise

    async def _take_slot(self) -> None:
        if not self._slots.locked():  # spares the timer
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise DatabaseBusyError(
                f"All database connections were in use for {self._timeout} seconds "
                "(raise DATABASE_POOL_SIZE, or look for slow statements)"
            ) from None

    async def _open_one(self) -> _PooledConnection:
        self._open += 1
        try:
            return _PooledConnection(await self._connect())
        except BaseException as error:
            self._open -= 1
            if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
                raise ConnectionLostError(f"Could not connect: {error}") from error
            raise

    def _release(self, pooled: _PooledConnection) -> None:
        if self._is_closed or pooled.is_expired:
            self._discard(pooled)
            return
        pooled.idle_since = time.monotonic()
        self._idle.append(pooled)
        if len(self._idle) > self._kept and self._trimming is None:
            self._trim_later()
        self._slots.release()

    def _discard(self, pooled: _PooledConnection) -> None:
        """Close a connection that was in use."""
        self._terminate(pooled)
        self._slots.release()

    def _terminate(self, pooled: _PooledConnection) -> None:
        """Close a connection at once; Postgres ends what it was doing when it notices."""
        self._open -= 1
        pooled.connection.terminate()

    def _trim_later(self) -> None:
        self._trimming = asyncio.get_running_loop().call_later(self._idle_time, self._trim)

    def _trim(self) -> None:
        """Close what has not been needed for a while, the longest idle first."""
        self._trimming = None
        before = time.monotonic() - self._idle_time
        while len(self._idle) > self._kept and self._idle[0].idle_since <= before:
            self._terminate(self._idle.pop(0))
        if len(self._idle) > self._kept:
            self._trim_later()


def create_pool(settings: Settings, *, guarded: bool = True) -> ConnectionPool:
    """Return a pool for ``DATABASE_URL``; nothing is connected yet.

    If it is ``guarded``, row-level security holds also where the user is a superuser; where it
    cannot, connections are refused with ``UnguardedUserError``. Raises ``DatabaseUrlError``.
    """
    if settings.database_url is None:
        raise DatabaseUrlError("it is not set")
    url, arguments = parse_database_url(settings.database_url.get_secret_value())
    limit = settings.database_timeout
    milliseconds = {name: str(round(seconds * 1000)) for name, seconds in _limits(limit).items()}
    server_settings = {
        "application_name": APPLICATION_NAME,
        # Every statement looks rows up by key: one plan for all parameters is the right plan.
        "plan_cache_mode": "force_generic_plan",
        **milliseconds,
    } | arguments.pop("server_settings", {})
    options: dict[str, Any] = {
        **_connect_arguments(url),
        "timeout": limit,
        # The last resort, when the network swallows the server's answer.
        "command_timeout": limit + NETWORK_MARGIN,
        "server_settings": server_settings,
        "record_class": Row,
        "max_cached_statement_lifetime": 0,
        **arguments,
    }

    async def connect() -> Any:
        connection = await _connect_to_server(**options)
        if not guarded:
            return connection
        try:
            await _give_up_rights(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    kept = settings.database_pool_size
    return ConnectionPool(
        connect,
        place=describe_place(url),
        kept=kept,
        limit=kept + settings.database_max_overflow,
        timeout=limit,
    )


def describe_error(error: Exception) -> str:
    """Return one line that says what went wrong with the database."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error}"
    lines = str(error).splitlines()
    return lines[0] if lines and lines[0] else type(error).__name__


async def _give_up_rights(connection: Any) -> None:
    """Become the application's role, if there is one for us; raises ``UnguardedUserError``."""
    with suppress(asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError):
        await connection.execute(f"SET ROLE {APP_ROLE}")
    user = await connection.fetchrow(_LOOK_AT_USER)
    if user.is_unguarded:
        raise UnguardedUserError(is_migrated=user.is_migrated)


def _limits(seconds: float) -> dict[str, float]:
    return {
        "statement_timeout": seconds,
        "lock_timeout": seconds / 2,
        "idle_in_transaction_session_timeout": seconds,
    }


def _connect_arguments(url: URL) -> dict[str, Any]:
    """Return asyncpg's arguments for a URL, as SQLAlchemy understands it."""
    _, options = PGDialect_asyncpg().create_connect_args(url)
    arguments: dict[str, Any] = dict(options)
    cache_size = arguments.pop("prepared_statement_cache_size", None)
    if cache_size is not None:
        arguments["statement_cache_size"] = int(cache_size)
    return arguments
