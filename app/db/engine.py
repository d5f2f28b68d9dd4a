"""SQLAlchemy's connections, for migrations only; the application's own are in ``app.db.pool``."""

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db.database_url import DatabaseUrlError, parse_database_url
from app.db.pool import APPLICATION_NAME
from app.settings import Settings


def create_engine(settings: Settings) -> AsyncEngine:
    """Return an engine for ``DATABASE_URL``, whose statements may take any time.

    Nothing is connected yet, and no connection is kept. Raises ``DatabaseUrlError``.
    """
    if settings.database_url is None:
        raise DatabaseUrlError("it is not set")
    url, arguments = parse_database_url(settings.database_url.get_secret_value())
    server_settings = {
        "application_name": APPLICATION_NAME,
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": str(round(settings.database_timeout * 1000)),
    } | arguments.pop("server_settings", {})
    return create_async_engine(
        url,
        poolclass=NullPool,
        # Parameters may be people's words; they belong in no log.
        hide_parameters=True,
        connect_args={"timeout": settings.database_timeout, "server_settings": server_settings}
        | arguments,
    )
