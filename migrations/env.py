"""Runs the migrations: for ``app.db.migrate`` on its connection, for ``alembic`` on one of its own.

``alembic`` works on the database of the settings: ``DATABASE_URL``, or the embedded server.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from app.db.embedded import provide_database
from app.db.engine import create_engine
from app.db.migrate import ADVISORY_LOCK, LOCK_TIMEOUT, TURN_TIMEOUT
from app.db.models import Base
from app.settings import load_settings


def migrate(connection: Connection) -> None:
    """Run what Alembic was asked for, while no other replica does."""
    connection.execute(text(f"SET lock_timeout = '{TURN_TIMEOUT}'"))
    connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})"))
    connection.commit()


async def connect_and_migrate() -> None:
    """Do the same with a connection to the database of the settings."""
    with provide_database(load_settings()) as settings:
        engine = create_engine(settings)
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
        await engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    asyncio.run(connect_and_migrate())
