"""What a ``DATABASE_URL`` means."""

import ssl

import pytest
from sqlalchemy.engine import make_url

from app.db.database_url import DatabaseUrlError, parse_database_url
from app.db.pool import create_pool
from tests.faults.links import DatabaseLink
from tests.support.databases import settings_for
from tests.support.replica import free_port


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
        ("postgres://me:secret@a,b:x/db", "host:port"),
        ("postgres://me:secret@a,,b/db", "host:port"),
        ("postgres://a,b,c/db?port=1,2", "2 ports for 3 hosts"),
        ("postgres://a,b/db?target_session_attrs=writable", "read-write"),
    ],
)
def test_url_is_refused_in_one_line_without_the_password_when_it_cannot_be_used(url, message):
    with pytest.raises(DatabaseUrlError, match=message) as caught:
        parse_database_url(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://me:p@h1,h2/db", "h1,h2", "5432,5432"),
        ("postgresql://me:p@h1:1,h2:2/db", "h1,h2", "1,2"),
        ("postgresql://me:p@h1:1,h2/db", "h1,h2", "1,5432"),
        ("postgresql://me:p@/db?host=h1:1,h2:2", "h1,h2", "1,2"),
        ("postgresql://me:p@/db?host=h1&host=h2", "h1,h2", "5432,5432"),
        ("postgresql://me:p@/db?host=h1,h2&port=7", "h1,h2", "7,7"),
        ("postgresql://me:p@/db?host=h1,h2,h3&port=1,2,3", "h1,h2,h3", "1,2,3"),
        ("postgresql://me:p%2C%40@h1,h2/db", "h1,h2", "5432,5432"),
        ("postgresql://me:p@[::1]:1,[::2]:2/db", "::1,::2", "1,2"),
    ],
)
def test_several_hosts_are_taken_however_libpq_takes_them(url, hosts, ports):
    joined = f"{url}{'&' if '?' in url else '?'}target_session_attrs=read-write"
    parsed, arguments = parse_database_url(joined)
    assert parsed.host is None
    assert (parsed.query["host"], parsed.query["port"]) == (hosts, ports)
    assert parsed.query["target_session_attrs"] == "read-write"
    assert (parsed.username, parsed.database, arguments) == ("me", "db", {})


async def test_server_is_found_when_the_first_of_several_is_away(database_url):
    link = DatabaseLink(database_url)
    await link.open()
    target = make_url(link.url)
    url = (
        f"postgresql://{target.username}:{target.password or 'x'}@127.0.0.1:{free_port()},"
        f"127.0.0.1:{target.port}/{target.database}?target_session_attrs=read-write"
    )
    pool = create_pool(settings_for(url, database_timeout=5), guarded=False)
    try:
        (row,) = await pool.fetch("SELECT current_setting('transaction_read_only') AS mode", [])
        assert row.mode == "off"
    finally:
        await pool.close()
        await link.close()
