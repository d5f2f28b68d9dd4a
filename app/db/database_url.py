"""A ``DATABASE_URL`` as people write it for libpq, turned into what SQLAlchemy and asyncpg take."""

import re
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


SESSION_ATTRIBUTES = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
DEFAULT_PORT = "5432"

_HOSTS = re.compile(r"^(\w[\w+.-]*://(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(.*)$", re.DOTALL)
"""Scheme and user, several hosts, and the rest."""


class DatabaseUrlError(ValueError):
    """The URL cannot be used; the message says why in one line, without the password."""


def parse_database_url(text: str) -> tuple[URL, dict[str, Any]]:
    """Return the URL for SQLAlchemy, and the arguments for asyncpg that were in its query.

    Raises ``DatabaseUrlError``, also for a parameter that we would otherwise ignore in silence.
    """
    hosts, rest = _split_hosts(text.strip())
    try:
        url = make_url(rest)
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
    query |= _read_hosts(hosts, query, default_port=url.port)
    if (attributes := query.get("target_session_attrs")) not in (None, *SESSION_ATTRIBUTES):
        raise DatabaseUrlError(
            f"target_session_attrs={attributes} is none of {', '.join(SESSION_ATTRIBUTES)}"
        )
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


def _split_hosts(text: str) -> tuple[list[str], str]:
    """Return the hosts of a URL that names several, and the URL without them."""
    found = _HOSTS.match(text)
    return ([], text) if found is None else (found[2].split(","), found[1] + found[3])


def _read_hosts(
    hosts: list[str], query: dict[str, str], *, default_port: int | None
) -> dict[str, str]:
    """Return the parameters ``host`` and ``port`` as the driver takes them: a list each.

    libpq takes several hosts in place of one or as a parameter, each with a port of its own or all
    with the one in ``port``.
    """
    given = hosts or [each for each in query.get("host", "").split(",") if each]
    if len(given) < 2:
        return {}
    ports = [each for each in query.get("port", "").split(",") if each]
    if len(ports) not in (0, 1, len(given)):
        raise DatabaseUrlError(f"port names {len(ports)} ports for {len(given)} hosts")
    fallback = ports or [str(default_port or DEFAULT_PORT)]
    names: list[str] = []
    numbers: list[str] = []
    for place, each in enumerate(given):
        name, colon, port = each.rpartition(":") if not each.endswith("]") else (each, "", "")
        names.append((name if colon else each).strip("[]"))
        numbers.append(port if colon else fallback[place % len(fallback)])
        if not names[-1] or not numbers[-1].isdecimal():
            raise DatabaseUrlError(f"{each!r} is not a host, or a host:port")
    return {"host": ",".join(names), "port": ",".join(numbers)}


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
