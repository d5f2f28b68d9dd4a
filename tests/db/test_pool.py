"""The connections of the application: taken, put back, lost, waited for."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg
import pytest
from asyncpg import PostgresError, QueryCanceledError
from sqlalchemy.engine import make_url

from app.db.database import Database
from app.db.embedded import EmbeddedPostgres
from app.db.pool import (
    APPLICATION_NAME,
    ConnectionLostError,
    ConnectionPool,
    DatabaseBusyError,
    create_pool,
)
from tests.support.databases import settings_for
from tests.support.waiting import until


class OwnerRow(NamedTuple):
    owner: str


MakePool = Callable[..., ConnectionPool]

NAPS = "SELECT pg_sleep($1), $2::int AS number"
# Nobody else on this server may take connections for those of this test run.
UNDER_TEST = f"pool under test {uuid.uuid4().hex[:8]}"
END_OTHERS = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = '{UNDER_TEST}' AND pid <> pg_backend_pid()"""
ASLEEP = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = $1 AND wait_event IN ('PgSleep', 'advisory')"""
HELD_BACK = "SELECT pg_backend_pid() AS pid FROM pg_advisory_xact_lock_shared(4711)"


@asynccontextmanager
async def holding_back(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Let statements that are ``HELD_BACK`` wait; the connection sees who does."""
    url = make_url(database_url)
    connection = await asyncpg.connect(
        host=url.host or url.query.get("host"),
        port=url.port or int(url.query.get("port", 5432)),
        user=url.username,
        password=url.password,
        database=url.database,
    )
    try:
        await connection.execute("SELECT pg_advisory_lock(4711)")
        yield connection
    finally:
        await connection.close()


async def asleep(pool: ConnectionPool, name: str, count: int = 1) -> None:
    """Wait until so many statements of these connections sleep, or are held back."""

    async def is_so() -> bool:
        (row,) = await pool.fetch(ASLEEP, [name])
        return row.count == count

    await until(is_so)


async def all_closed(pool: ConnectionPool) -> None:
    """Wait until the pool could know that its connections are dead."""
    await until(lambda: all(each.connection.is_closed() for each in pool._idle))


@pytest.fixture
async def make_pool(database_url: str) -> AsyncIterator[MakePool]:
    """Makes pools whose connections can be told from all others."""
    pools: list[ConnectionPool] = []
    separator = "&" if "?" in database_url else "?"
    url = f"{database_url}{separator}application_name={quote(UNDER_TEST)}"

    def make(*, guarded: bool = True, **values: Any) -> ConnectionPool:
        pools.append(create_pool(settings_for(url, **values), guarded=guarded))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
        assert pool.open_connections == 0


@pytest.fixture(scope="module")
def own_server(short_tmp_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may restart."""
    server = EmbeddedPostgres(short_tmp_dir / "restarted", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own_pool(own_server: EmbeddedPostgres) -> AsyncIterator[ConnectionPool]:
    """Connections to the server that may be restarted."""
    pool = create_pool(settings_for(own_server.url, database_timeout=60), guarded=False)
    yield pool
    await pool.close()


async def backends(
    pool: ConnectionPool, count: int, database_url: str, name: str = UNDER_TEST
) -> set[int]:
    """Use so many connections at once; return the process ids of the server's ends."""
    async with holding_back(database_url) as gate:
        found = [asyncio.create_task(pool.fetch(HELD_BACK, [])) for _ in range(count)]

        async def are_held_back() -> bool:
            return await gate.fetchval(ASLEEP, name) == count

        await until(are_held_back)
    return {rows[0].pid for rows in await asyncio.gather(*found)}


async def test_columns_are_attributes(make_pool: MakePool) -> None:
    (row,) = await make_pool().fetch("SELECT 1 AS one, 'x' AS name", [])
    assert (row.one, row.name) == (1, "x")
    with pytest.raises(AttributeError, match="other"):
        _ = row.other


async def test_statement_that_fails_costs_no_connection(make_pool: MakePool) -> None:
    pool = make_pool(database_pool_size=1, database_max_overflow=0)
    for _ in range(3):
        with pytest.raises(PostgresError, match="nowhere"):
            await pool.fetch("SELECT * FROM nowhere", [])
    assert pool.open_connections == 1


async def test_statements_wait_for_each_other_when_all_connections_are_in_use(
    make_pool: MakePool,
) -> None:
    pool = make_pool(database_pool_size=1, database_max_overflow=1)
    found = await asyncio.gather(*(pool.fetch(NAPS, [0.01, number]) for number in range(10)))
    assert [rows[0].number for rows in found] == list(range(10))
    assert pool.open_connections == 2


async def test_connections_of_a_burst_wait_for_the_next_one(
    make_pool: MakePool, database_url: str
) -> None:
    """To open one for a statement and close it again costs more than ten statements."""
    pool = make_pool(database_pool_size=1, database_max_overflow=9)
    first = await backends(pool, 6, database_url)
    assert len(first) == 6
    assert await backends(pool, 6, database_url) == first


async def test_connections_of_a_burst_are_closed_when_there_is_no_next_one(
    make_pool: MakePool, database_url: str
) -> None:
    pool = make_pool(database_pool_size=1, database_max_overflow=9)
    pool._idle_time = 0.05
    first = await backends(pool, 6, database_url)
    await until(lambda: pool.open_connections == 1)
    assert await backends(pool, 6, database_url) - first


async def test_statement_gives_up_when_no_connection_is_put_back(
    make_pool: MakePool, pool: ConnectionPool, database_url: str
) -> None:
    busy = make_pool(database_pool_size=1, database_max_overflow=0, database_timeout=300)
    async with holding_back(database_url):
        holder = asyncio.create_task(busy.fetch(HELD_BACK, []))
        await asleep(pool, UNDER_TEST)
        busy._timeout = 0.05
        with pytest.raises(DatabaseBusyError, match="DATABASE_POOL_SIZE"):
            await busy.fetch("SELECT 1", [])
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
    busy._timeout = 300
    assert await busy.fetch("SELECT 1 AS one", [])


async def test_answers_stay_apart_when_statements_are_cancelled_at_random(
    make_pool: MakePool,
) -> None:
    pool = make_pool(database_pool_size=3, database_max_overflow=2)
    chance = random.Random(7)

    async def ask(number: int) -> int | None:
        asking = asyncio.create_task(pool.fetch(NAPS, [chance.random() / 200, number]))
        if chance.random() < 0.6:
            await asyncio.sleep(chance.random() / 100)
            asking.cancel()
        try:
            return (await asking)[0].number
        except asyncio.CancelledError:
            return None

    answers = await asyncio.gather(*(ask(number) for number in range(400)))
    assert all(answer in (None, number) for number, answer in enumerate(answers))
    assert sum(answer is not None for answer in answers) > 50
    assert pool.open_connections <= 5
    assert not pool._slots.locked()
    found = await asyncio.gather(*(pool.fetch(NAPS, [0, number]) for number in range(20)))
    assert [rows[0].number for rows in found] == list(range(20))


async def test_dead_connections_are_replaced_when_the_server_has_closed_them(
    make_pool: MakePool, pool: ConnectionPool, database_url: str
) -> None:
    mortal = make_pool()
    await backends(mortal, 4, database_url)
    await pool.fetch(END_OTHERS, [])
    await all_closed(mortal)
    found = await asyncio.gather(*(mortal.fetch(NAPS, [0, number]) for number in range(8)))
    assert [rows[0].number for rows in found] == list(range(8))


async def test_statement_under_way_is_lost_when_its_connection_breaks(
    make_pool: MakePool, pool: ConnectionPool
) -> None:
    mortal = make_pool()
    asking = asyncio.create_task(mortal.fetch(NAPS, [300, 1]))
    await asleep(pool, UNDER_TEST)
    await pool.fetch(END_OTHERS, [])
    with pytest.raises(ConnectionLostError):
        await asking
    assert mortal.open_connections == 0


async def test_statement_is_sent_once_more_when_its_connection_breaks(
    make_pool: MakePool, pool: ConnectionPool, database_url: str
) -> None:
    database = Database(make_pool())
    held_back = "SELECT $1 AS owner FROM pg_advisory_xact_lock_shared(4711)"
    async with holding_back(database_url):
        asking = asyncio.create_task(database.fetch(OwnerRow, held_back, "user_x"))
        await asleep(pool, UNDER_TEST)
        await pool.fetch(END_OTHERS, [])
    assert (await asking)[0].owner == "user_x"


async def test_every_connection_has_the_role_and_the_limits(
    make_pool: MakePool, pool: ConnectionPool
) -> None:
    mine = make_pool(database_timeout=7)
    question = """
        SELECT current_user AS role, current_setting('statement_timeout') AS timeout,
          current_setting('is_superuser') AS superuser, pg_sleep(0.05)"""

    async def look() -> set[tuple[str, str, str]]:
        found = await asyncio.gather(*(mine.fetch(question, []) for _ in range(4)))
        return {(rows[0].role, rows[0].timeout, rows[0].superuser) for rows in found}

    assert await look() == {("chatkit_app", "7s", "off")}
    await pool.fetch(END_OTHERS, [])
    await all_closed(mine)
    assert await look() == {("chatkit_app", "7s", "off")}


async def test_server_that_is_not_there_is_an_error_of_the_operating_system() -> None:
    pool = create_pool(settings_for("postgresql://nobody@127.0.0.1:1/nothing"))
    for _ in range(2):
        with pytest.raises(OSError, match="Connect"):
            await pool.fetch("SELECT 1", [])
    assert pool.open_connections == 0


async def test_closed_pool_refuses_statements(make_pool: MakePool) -> None:
    pool = make_pool()
    await pool.fetch("SELECT 1", [])
    await pool.close()
    with pytest.raises(DatabaseBusyError, match="closed"):
        await pool.fetch("SELECT 1", [])


async def test_a_statement_is_committed_at_once(make_pool: MakePool, pool: ConnectionPool) -> None:
    await pool.fetch("CREATE TABLE scratch_autocommit (n int)", [])
    await pool.fetch("INSERT INTO scratch_autocommit VALUES (1)", [])
    other = make_pool(guarded=False)
    assert (await other.fetch("SELECT n FROM scratch_autocommit", []))[0].n == 1
    await pool.fetch("DROP TABLE scratch_autocommit", [])


async def test_the_server_ends_what_takes_too_long_when_a_timeout_is_set(
    make_pool: MakePool,
) -> None:
    pool = make_pool(database_timeout=0.2)
    with pytest.raises(QueryCanceledError, match="statement timeout"):
        await pool.fetch("SELECT pg_sleep(5)", [])
    limits = await pool.fetch(
        "SELECT name, setting FROM pg_settings WHERE source = 'client' AND unit = 'ms'", []
    )
    assert {row.name: row.setting for row in limits} == {
        "idle_in_transaction_session_timeout": "200",
        "lock_timeout": "100",
        "statement_timeout": "200",
    }


async def test_connections_say_whose_they_are(database_url: str) -> None:
    pool = create_pool(settings_for(database_url))
    (row,) = await pool.fetch("SELECT current_setting('application_name') AS name", [])
    await pool.close()
    assert row.name == "chatkit-backend"


# A restart of the server


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_no_statement_fails_when_the_server_was_restarted_in_between(
    own_server: EmbeddedPostgres, own_pool: ConnectionPool, mode: str
) -> None:
    url = own_server.url
    before = await backends(own_pool, 5, url, APPLICATION_NAME)
    await asyncio.to_thread(own_server.restart, mode)
    assert await backends(own_pool, 1, url, APPLICATION_NAME) - before
    assert len(await backends(own_pool, 5, url, APPLICATION_NAME) - before) == 5


async def test_only_the_running_statement_fails_when_the_server_restarts_under_it(
    own_server: EmbeddedPostgres, own_pool: ConnectionPool
) -> None:
    url = own_server.url
    await backends(own_pool, 3, url, APPLICATION_NAME)
    async with holding_back(url) as gate:
        running = asyncio.create_task(own_pool.fetch(HELD_BACK, []))

        async def is_running() -> bool:
            return await gate.fetchval(ASLEEP, APPLICATION_NAME) == 1

        await until(is_running)
        await asyncio.to_thread(own_server.restart)
    with pytest.raises(ConnectionLostError):
        await running
    assert len(await backends(own_pool, 3, url, APPLICATION_NAME)) == 3
