"""Who is calling: anonymous visitors, a trusted proxy's header, an integrator's own function."""

import pytest
from fastapi import Request, Response

from app.auth.header_identity import create_header_identity
from app.auth.identity import NoIdentity, create_identity
from app.errors import ForbiddenError
from app.settings import SettingsError
from tests.auth.requests import identify, make_request
from tests.support.databases import settings_for

# --- anonymous -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "outside", "secure"),
    [("http", "", False), ("https", "", True), ("http", "https", True), ("http", "http", False)],
)
async def test_visitor_keeps_the_id_when_the_cookie_comes_back(
    scheme: str, outside: str, secure: bool
) -> None:
    identity = create_identity(settings_for(signing_secret="s" * 32))
    response = Response()
    request = make_request(("X-Forwarded-Proto", outside), scheme=scheme)
    user_id = await identity.identify(request, response)
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert ("Secure" in cookie) == secure
    value = cookie.partition(";")[0]
    assert await identify(identity, make_request(("Cookie", value))) == user_id
    assert await identify(identity, make_request(("Cookie", value[:-1] + "!"))) != user_id


# --- header --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("10.1.2.3", "ada"),
        ("::ffff:10.1.2.3", "ada"),
        ("2001:db8::7", "ada"),
        ("192.0.2.7", "ada"),
        ("192.0.2.8", None),
        ("2001:db9::7", None),
        ("testclient", None),
        (None, None),
    ],
)
async def test_header_is_believed_only_when_a_trusted_proxy_sends_it(
    address: str | None, user: str | None
) -> None:
    identity = create_header_identity(
        settings_for(identity="header", trusted_proxies="10.0.0.0/8, 2001:db8::/32,192.0.2.7")
    )
    request = make_request(
        ("X-Forwarded-User", "ada"), ("X-Forwarded-For", "10.1.2.3"), address=address
    )
    assert await identify(identity, request) == user


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Forwarded-User", "")],
        [("X-Forwarded-User", "x" * 257)],
        [("X-Forwarded-User", "ada"), ("X-Forwarded-User", "eve")],
        [("X-Real-User", "ada")],
    ],
)
async def test_nobody_is_known_when_the_header_is_unusable(headers: list[tuple[str, str]]) -> None:
    identity = create_header_identity(settings_for(identity="header", trusted_proxies="10.0.0.0/8"))
    assert await identify(identity, make_request(*headers)) is None


def test_start_is_refused_when_a_proxy_is_no_network() -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        create_identity(settings_for(identity="header", trusted_proxies="10.0.0.1/8"))


# --- none, and a function of one's own -----------------------------------------------------------


async def test_nobody_gets_a_session_when_only_the_server_api_mints() -> None:
    identity = create_identity(settings_for(identity="none"))
    assert isinstance(identity, NoIdentity)
    with pytest.raises(ForbiddenError):
        await identify(identity, make_request())


async def from_header(request: Request) -> str | None:
    """Identify, as an integrator's function would."""
    return request.headers.get("x-test-user")


@pytest.mark.parametrize(
    ("given", "user"), [("ada", "ada"), ("", None), ("a\x7fb", None), ("x" * 257, None)]
)
async def test_own_function_is_asked_when_it_is_named(given: str, user: str | None) -> None:
    identity = create_identity(settings_for(identity=f"{__name__}:from_header"))
    assert await identify(identity, make_request(("X-Test-User", given))) == user


def no_coroutine(request: Request) -> str | None:
    """Identify, but not asynchronously."""
    return request.headers.get("x-test-user")


async def number(request: Request) -> int:
    """Identify by what is no text."""
    return 7


class CallableIdentity:
    """An integrator's object that is called."""

    async def __call__(self, request: Request) -> str | None:
        """Identify."""
        return "ada"


an_object = CallableIdentity()


async def test_own_object_is_asked_when_it_can_be_called() -> None:
    identity = create_identity(settings_for(identity=f"{__name__}:an_object"))
    assert await identify(identity, make_request()) == "ada"


async def test_nobody_is_known_and_the_log_says_why_when_an_id_is_no_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    identity = create_identity(settings_for(identity=f"{__name__}:number"))
    assert await identify(identity, make_request()) is None
    assert vars(caplog.records[-1])["kind"] == "int"


@pytest.mark.parametrize("name", ["no_coroutine", "USERS_THAT_ARE_NONE"])
def test_start_is_refused_when_the_function_is_not_async(name: str) -> None:
    with pytest.raises(SettingsError, match="IDENTITY"):
        create_identity(settings_for(identity=f"{__name__}:{name}"))


def test_start_is_refused_when_the_function_does_not_exist() -> None:
    with pytest.raises(SettingsError, match="IDENTITY"):
        create_identity(settings_for(identity="nowhere.to.be:found"))
