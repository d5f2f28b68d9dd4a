"""What a ``DATABASE_URL`` means."""

import ssl

import pytest

from app.db.database_url import DatabaseUrlError, parse_database_url


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
