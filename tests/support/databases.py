"""Databases for tests: settings that name one, and ways in that are not the application's."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.db.database_url import parse_database_url
from app.settings import Settings


def settings_for(database_url: str | None = None, **values: Any) -> Settings:
    """Return settings with the defaults and these values, whatever ``.env`` says."""
    return Settings(_env_file=None, database_url=database_url, **values)  # type: ignore[call-arg]


def database_named(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


async def execute(server_url: str, statement: str) -> None:
    """Run one statement that no transaction may surround, such as CREATE DATABASE."""
    url = make_url(server_url)
    connection = await asyncpg.connect(
        host=url.host or url.query.get("host"),
        port=url.port or int(url.query.get("port", 5432)),
        user=url.username,
        password=url.password,
        database=url.database,
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def open_engine(database_url: str) -> AsyncEngine:
    """Return SQLAlchemy's way into a database, past the application; JSON stays text."""
    url, arguments = parse_database_url(database_url)
    return create_async_engine(
        url, isolation_level="AUTOCOMMIT", json_deserializer=str, connect_args=arguments
    )


def transaction(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """Return a connection in a transaction: committed at the end, rolled back by an exception."""
    return engine.execution_options(isolation_level="READ COMMITTED").begin()
