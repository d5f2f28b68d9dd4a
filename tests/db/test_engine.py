"""Connections: what the URL means, timeouts, and what a restart of the server does to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.database_url import DatabaseUrlError, parse_database_url
from app.db.embedded import EmbeddedPostgres
from app.db.engine import check_database, create_engine, transaction
from tests.databases import settings_for

SELECT_ONE = text("SELECT 1")


@pytest.fixture(scope="module")
def own_server(short_tmp_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may restart."""
    server = EmbeddedPostgres(short_tmp_dir / "restarted", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own_engine(own_server: EmbeddedPostgres) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings_for(own_server.url, database_timeout=5))
    yield engine
    await engine.dispose()


async def backend(engine: AsyncEngine) -> int:
    """Return the process id of the server's end of the connection."""
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT pg_backend_pid()"))


async def warm_up(engine: AsyncEngine, count: int) -> None:
    """Leave so many connections in the pool."""

    async def hold() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.1)"))

    await asyncio.gather(*(hold() for _ in range(count)))


# What the URL means


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_url_gets_the_asyncpg_driver_when_the_scheme_is_any_of_postgres(scheme):
    url, arguments = parse_database_url(f" {scheme}://me:p%40ss@db.example:6543/chat ")
    assert url.render_as_string(hide_password=False) == (
        "postgresql+asyncpg://me:p%40ss@db.example:6543/chat"
    )
    assert arguments == {}


@pytest.mark.parametrize(
    ("mode", "argument"),
    [("disable", False), ("allow", "allow"), ("prefer", "prefer"), ("require", "require")],
)
def test_sslmode_becomes_the_drivers_argument_when_nothing_is_verified(mode, argument):
    url, arguments = parse_database_url(f"postgres://h/db?sslmode={mode}&channel_binding=prefer")
    assert arguments == {"ssl": argument}
    assert not url.query


@pytest.mark.parametrize(("mode", "names"), [("verify-ca", False), ("verify-full", True)])
def test_sslmode_becomes_a_verifying_context_when_the_server_is_to_be_verified(mode, names):
    _, arguments = parse_database_url(f"postgres://h/db?sslmode={mode}&sslrootcert=system")
    context = arguments["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is names


def test_other_parameters_of_libpq_are_translated_when_asyncpg_calls_them_differently():
    _, arguments = parse_database_url("postgres://h/db?connect_timeout=3&application_name=me")
    assert arguments == {"timeout": 3.0, "server_settings": {"application_name": "me"}}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "postgresql://"),
        ("mysql://h/db", "mysql"),
        ("postgres://h:port/db", "postgresql://"),
        ("postgres://h/db?sslmode=maybe", "sslmode=maybe"),
        ("postgres://h/db?sslmode=verify-full&sslrootcert=/does/not/exist", "cannot be read"),
        ("postgres://h/db?connect_timeout=soon", "connect_timeout=soon"),
        ("postgres://me:secret@h/db?pgbouncer=true", "pgbouncer"),
    ],
)
def test_url_is_refused_in_one_line_without_the_password_when_it_cannot_be_used(url, message):
    with pytest.raises(DatabaseUrlError, match=message) as caught:
        parse_database_url(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


# Statements and transactions


async def test_a_statement_is_committed_at_once_when_no_transaction_is_asked_for(engine):
    async with engine.connect() as writer, engine.connect() as reader:
        await writer.execute(text("CREATE TABLE scratch_autocommit (n int)"))
        await writer.execute(text("INSERT INTO scratch_autocommit VALUES (1)"))
        assert await reader.scalar(text("SELECT n FROM scratch_autocommit")) == 1
        await writer.execute(text("DROP TABLE scratch_autocommit"))


async def test_a_transaction_leaves_nothing_when_it_ends_with_an_exception(engine):
    async def fail() -> None:
        async with transaction(engine) as connection:
            await connection.execute(text("CREATE TABLE scratch_rolled_back (n int)"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT to_regclass('scratch_rolled_back')")) is None


async def test_the_connection_is_in_autocommit_again_when_a_transaction_has_ended(engine):
    level = text("SHOW transaction_isolation")
    async with transaction(engine, "SERIALIZABLE") as connection:
        assert await connection.scalar(level) == "serializable"
    async with engine.connect() as connection:
        assert await connection.scalar(level) == "read committed"
        transactions = {
            await connection.scalar(text("SELECT pg_current_xact_id()::text")) for _ in range(2)
        }
        assert len(transactions) == 2


async def test_the_server_ends_what_takes_too_long_when_a_timeout_is_set(database_url):
    engine = create_engine(settings_for(database_url, database_timeout=0.2))
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match="statement timeout"):
            await connection.execute(text("SELECT pg_sleep(5)"))
        limits = await connection.execute(
            text("SELECT name, setting FROM pg_settings WHERE source = 'client' AND unit = 'ms'")
        )
        assert dict(limits.all()) == {
            "idle_in_transaction_session_timeout": "200",
            "lock_timeout": "100",
            "statement_timeout": "200",
        }
        assert await connection.scalar(text("SHOW application_name")) == "chatkit-backend"
    await engine.dispose()


# A restart of the server


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_no_statement_fails_when_the_server_was_restarted_in_between(
    own_server, own_engine, mode
):
    await warm_up(own_engine, 5)
    before = await backend(own_engine)
    await asyncio.to_thread(own_server.restart, mode)
    assert await backend(own_engine) != before
    await warm_up(own_engine, 5)
    async with transaction(own_engine) as connection:
        await connection.execute(SELECT_ONE)


async def test_only_the_running_statement_fails_when_the_server_restarts_under_it(
    own_server, own_engine
):
    async def long_statement() -> None:
        async with own_engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))

    await warm_up(own_engine, 3)
    running = asyncio.create_task(long_statement())
    await asyncio.sleep(0.05)
    await asyncio.to_thread(own_server.restart)
    with pytest.raises(DBAPIError) as caught:
        await running
    assert caught.value.connection_invalidated
    await warm_up(own_engine, 3)


# The check for readyz


async def test_check_is_ok_when_the_database_is_migrated(engine):
    check = await check_database(engine)
    assert check.state == "ok", check


async def test_check_says_not_migrated_when_the_database_is_empty(fresh_database_url):
    engine = create_engine(settings_for(await fresh_database_url(migrated=False)))
    check = await check_database(engine)
    await engine.dispose()
    assert check.state == "not_migrated"
    assert "python -m app migrate" in check.message


@pytest.mark.parametrize(("revision", "state"), [("from_the_future", "ok"), (None, "not_migrated")])
async def test_check_tells_newer_from_older_when_the_revision_is_not_the_head(
    fresh_database_url, revision, state
):
    engine = create_engine(settings_for(await fresh_database_url()))
    async with engine.connect() as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
        if revision:
            await connection.execute(text(f"INSERT INTO alembic_version VALUES ('{revision}')"))
    check = await check_database(engine)
    await engine.dispose()
    assert check.state == state


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:secret@127.0.0.1:1/db", "127.0.0.1"),
        ("postgresql://me:secret@/db?host=/does/not/exist", "No such file"),
    ],
)
async def test_check_says_unreachable_in_one_line_when_nobody_answers(url, reason):
    engine = create_engine(settings_for(url))
    check = await check_database(engine)
    await engine.dispose()
    assert check.state == "unreachable"
    assert reason in check.message
    assert "secret" not in check.message
    assert "\n" not in check.message


async def test_check_says_unreachable_when_the_database_does_not_exist(own_server):
    engine = create_engine(settings_for(own_server.url.replace("/postgres?", "/nowhere?")))
    check = await check_database(engine)
    await engine.dispose()
    assert check.state == "unreachable"
    assert 'database "nowhere" does not exist' in check.message
