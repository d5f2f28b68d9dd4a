"""A ``DATABASE_URL`` as people write it for libpq, turned into what SQLAlchemy and asyncpg take."""

import ssl
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

DRIVER = "postgresql+asyncpg"
SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
UNVERIFIED_MODES = ("allow", "prefer", "require")
VERIFIED_MODES = ("verify-ca", "verify-full")
SSL_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
PASSED_ON = ("host", "port", "prepared_statement_cache_size", "target_session_attrs")


class DatabaseUrlError(ValueError):
    """The URL cannot be used; the message says why in one line, without the password."""


def parse_database_url(text: str) -> tuple[URL, dict[str, Any]]:
    """Return the URL for SQLAlchemy, and the arguments for asyncpg that were in its query.

    Raises ``DatabaseUrlError``, also for a parameter that we would otherwise ignore in silence.
    """
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(
            "it is not a URL like postgresql://user:password@host/name"
        ) from None
    if url.drivername not in SCHEMES:
        raise DatabaseUrlError(f"it must start with postgresql:// (not {url.drivername}://)")
    query = {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in url.query.items()
    }
    arguments: dict[str, Any] = {}
    tls = {name: query.pop(name) for name in SSL_PARAMETERS if name in query}
    if tls:
        arguments["ssl"] = _ssl_argument(tls)
    # Neon and others write it; asyncpg has no channel binding, and sslmode decides about TLS.
    query.pop("channel_binding", None)
    if "connect_timeout" in query:
        arguments["timeout"] = _seconds(query.pop("connect_timeout"))
    if "application_name" in query:
        arguments["server_settings"] = {"application_name": query.pop("application_name")}
    if unknown := sorted(set(query) - set(PASSED_ON)):
        raise DatabaseUrlError(f"the parameter {unknown[0]!r} is not supported")
    return url.set(drivername=DRIVER, query=query), arguments


def describe_place(url: URL) -> str:
    """Return where the database is, without user and password."""
    host = url.host or url.query.get("host") or "localhost"
    return f"database {url.database} on {host}{f':{url.port}' if url.port else ''}"


def _ssl_argument(tls: dict[str, str]) -> bool | str | ssl.SSLContext:
    """Return asyncpg's ``ssl`` for libpq's parameters, which mean the same here."""
    mode = tls.get("sslmode", "prefer")
    if mode == "disable":
        return False
    certificates = {name for name in tls if name != "sslmode"}
    if mode in UNVERIFIED_MODES and not certificates:
        return mode
    if mode == "require" and "sslrootcert" in tls:
        mode = "verify-ca"  # as libpq does
    if mode not in VERIFIED_MODES:
        modes = ", ".join(("disable", *UNVERIFIED_MODES, *VERIFIED_MODES))
        raise DatabaseUrlError(
            f"sslmode={mode} does not go with {certificates or 'it'}: use {modes}"
        )
    root = tls.get("sslrootcert", "system")
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
        context.check_hostname = mode == "verify-full"
        if "sslcert" in tls:
            context.load_cert_chain(tls["sslcert"], tls.get("sslkey"))
    except OSError as error:
        raise DatabaseUrlError(f"its certificates cannot be read: {error}") from error
    return context


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DatabaseUrlError(f"connect_timeout={text} is not a number of seconds") from None
