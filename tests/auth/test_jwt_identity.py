"""Tokens of an identity provider: which are taken, and which never are."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.auth.jwks import COOLDOWN, LIFETIME, JwksKeys
from app.auth.jwt_identity import JwtIdentity, create_jwt_identity
from app.errors import UnavailableError
from app.settings import SettingsError
from tests.auth.fake_http import FakeAnswer, FakeServer, fake_server
from tests.auth.requests import identify, make_request
from tests.support.databases import settings_for

SECRET = "a secret that is shared with whoever signs the tokens"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token, changed; None takes one away."""
    now = int(time.time())
    good = {"sub": "ada", "iss": "https://id.example", "aud": "chat", "exp": now + 600, "iat": now}
    return {name: value for name, value in (good | changes).items() if value is not None}


def sign(key: Any, algorithm: str, key_id: str | None = None, **changes: Any) -> str:
    headers = {"kid": key_id} if key_id else None
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def unsigned(algorithm: str = "none", **changes: Any) -> str:
    """Return a token without a signature."""
    parts = [{"alg": algorithm, "typ": "JWT"}, claims(**changes)]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return b".".join([*(each.rstrip(b"=") for each in encoded), b""]).decode()


async def user_of(identity: JwtIdentity, token: str) -> str | None:
    return await identify(identity, make_request(("Authorization", f"Bearer {token}")))


def published(**keys: Any) -> dict[str, Any]:
    """Return the document of a provider with these public keys, by their id."""
    documents = []
    for key_id, key in keys.items():
        algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
        documents.append(
            algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig"}
        )
    return {"keys": documents}


@asynccontextmanager
async def provider(**keys: Any) -> AsyncIterator[FakeServer]:
    async with fake_server(lambda _: FakeAnswer(body=published(**keys))) as server:
        yield server


def with_keys(server: FakeServer, clock: Clock | None = None) -> JwtIdentity:
    return JwtIdentity(
        JwksKeys(f"{server.url}/keys", clock=clock or Clock()),
        algorithms=("RS256", "ES256"),
        issuer="https://id.example",
        audience="chat",
    )


@pytest.fixture
def shared() -> JwtIdentity:
    """An identity with a shared secret."""
    return create_jwt_identity(
        settings_for(
            identity="jwt", jwt_secret=SECRET, jwt_issuer="https://id.example", jwt_audience="chat"
        )
    )


# --- a shared secret -----------------------------------------------------------------------------


async def test_user_is_known_when_the_token_is_good(shared: JwtIdentity) -> None:
    assert await user_of(shared, sign(SECRET, "HS256")) == "ada"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "mail"},
        {"aud": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\x00b"},
        {"sub": "x" * 257},
    ],
    ids=str,
)
async def test_token_is_refused_when_a_claim_is_wrong(
    shared: JwtIdentity, changes: dict[str, Any]
) -> None:
    assert await user_of(shared, sign(SECRET, "HS256", **changes)) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "x" * 20_000,
        unsigned(),
        unsigned("HS256"),
        unsigned("None"),
        sign("another secret that somebody else may very well know", "HS256"),
        sign(SECRET + SECRET, "HS512"),
        sign(RSA_KEY, "RS256"),
    ],
    ids=lambda token: token[:12],
)
async def test_token_is_refused_when_its_signature_does_not_count(
    shared: JwtIdentity, token: str
) -> None:
    assert await user_of(shared, token) is None


async def test_nobody_is_known_when_there_is_no_token(shared: JwtIdentity) -> None:
    assert await identify(shared, make_request()) is None
    basic = make_request(("Authorization", f"Basic {sign(SECRET, 'HS256')}"))
    assert await identify(shared, basic) is None


@pytest.mark.parametrize(("late", "user"), [(20, "ada"), (60, None)])
async def test_clocks_may_differ_by_the_leeway(
    shared: JwtIdentity, late: int, user: str | None
) -> None:
    assert await user_of(shared, sign(SECRET, "HS256", exp=int(time.time()) - late)) == user


async def test_user_is_taken_from_another_claim_when_one_is_named() -> None:
    identity = create_jwt_identity(
        settings_for(identity="jwt", jwt_secret=SECRET, jwt_user_claim="email")
    )
    assert await user_of(identity, sign(SECRET, "HS256", email="ada@example")) == "ada@example"
    assert await user_of(identity, sign(SECRET, "HS256")) is None


# --- published keys ------------------------------------------------------------------------------


async def test_keys_are_fetched_once_when_many_ask_at_the_same_time() -> None:
    async with provider(one=RSA_KEY, two=EC_KEY) as server:
        identity = with_keys(server)
        tokens = [sign(RSA_KEY, "RS256", "one"), sign(EC_KEY, "ES256", "two")] * 5
        assert set(await asyncio.gather(*(user_of(identity, each) for each in tokens))) == {"ada"}
    assert len(server.requests) == 1


async def test_token_is_refused_when_its_key_is_not_the_one_it_names() -> None:
    async with provider(one=RSA_KEY, two=EC_KEY) as server:
        identity = with_keys(server)
        assert await user_of(identity, sign(OTHER_RSA_KEY, "RS256", "one")) is None
        assert await user_of(identity, sign(RSA_KEY, "RS256", "two")) is None
        assert await user_of(identity, sign(RSA_KEY, "RS256")) is None  # which of the two?
        assert await user_of(identity, sign(RSA_KEY, "RS512", "one")) is None
        assert await user_of(identity, unsigned()) is None


async def test_public_key_is_no_shared_secret_when_a_token_claims_it_is() -> None:
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signed = signature.sign(header + b"." + body, public)
    token = b".".join([header, body, base64.urlsafe_b64encode(signed).rstrip(b"=")]).decode()
    async with provider(one=RSA_KEY) as server:
        assert await user_of(with_keys(server), token) is None


async def test_shared_secrets_and_encryption_keys_are_ignored_when_they_are_published() -> None:
    secret = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    keys = published(one=RSA_KEY)["keys"]
    document = {
        "keys": [
            {"kty": "oct", "k": secret, "kid": "one", "alg": "HS256"},
            {"kty": "XYZ", "kid": "odd"},
            keys[0] | {"use": "enc", "kid": "two"},
            "no key",
            keys[0] | {"kid": "three"},
        ]
    }
    async with fake_server(lambda _: FakeAnswer(body=document)) as server:
        identity = with_keys(server)
        assert await user_of(identity, sign(SECRET, "HS256", "one")) is None
        assert await user_of(identity, sign(RSA_KEY, "RS256", "two")) is None
        assert await user_of(identity, sign(RSA_KEY, "RS256", "three")) == "ada"


async def test_new_key_is_found_when_the_provider_has_rotated() -> None:
    clock = Clock()
    async with provider(one=RSA_KEY) as server:
        identity = with_keys(server, clock)
        assert await user_of(identity, sign(RSA_KEY, "RS256", "one")) == "ada"
        server.answer = lambda _: FakeAnswer(body=published(new=OTHER_RSA_KEY))
        clock.time += COOLDOWN + 1
        assert await user_of(identity, sign(OTHER_RSA_KEY, "RS256", "new")) == "ada"
        assert await user_of(identity, sign(RSA_KEY, "RS256", "one")) is None


async def test_provider_is_not_flooded_when_tokens_name_made_up_keys() -> None:
    async with provider(one=RSA_KEY) as server:
        identity = with_keys(server)
        for number in range(20):
            assert await user_of(identity, sign(OTHER_RSA_KEY, "RS256", f"k{number}")) is None
    assert len(server.requests) == 1


async def test_revoked_key_stops_counting_when_the_keys_have_aged() -> None:
    clock = Clock()
    async with provider(one=RSA_KEY) as server:
        identity = with_keys(server, clock)
        token = sign(RSA_KEY, "RS256", "one")
        assert await user_of(identity, token) == "ada"
        server.answer = lambda _: FakeAnswer(body=published(new=OTHER_RSA_KEY))
        assert await user_of(identity, token) == "ada"
        clock.time += LIFETIME + 1
        assert await user_of(identity, token) is None


async def test_known_keys_go_on_counting_when_the_provider_is_away() -> None:
    clock = Clock()
    async with provider(one=RSA_KEY) as server:
        identity = with_keys(server, clock)
        token = sign(RSA_KEY, "RS256", "one")
        assert await user_of(identity, token) == "ada"
        server.answer = lambda _: FakeAnswer(status=500)
        clock.time += LIFETIME + 1
        for _ in range(5):
            assert await user_of(identity, token) == "ada"
        assert len(server.requests) == 2  # it is not asked at every request
        server.answer = lambda _: FakeAnswer(body=published(new=OTHER_RSA_KEY))
        clock.time += COOLDOWN + 1
        assert await user_of(identity, token) is None  # but soon, not after another lifetime


@pytest.mark.parametrize("answer", [None, FakeAnswer(status=500), FakeAnswer(body=["odd"])])
async def test_caller_may_try_again_when_the_provider_was_never_reached(
    answer: FakeAnswer | None,
) -> None:
    clock = Clock()
    async with fake_server(lambda _: answer) as server:
        identity, token = with_keys(server, clock), sign(RSA_KEY, "RS256", "one")
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await user_of(identity, token)
        assert len(server.requests) == 1  # nobody else waits for a provider that is away
        server.answer = lambda _: FakeAnswer(body=published(one=RSA_KEY))
        clock.time += COOLDOWN + 1
        assert await user_of(identity, token) == "ada"


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"jwt_secret": SECRET, "jwt_jwks_url": "https://id.example/keys"},
        {"jwt_jwks_url": "https://id.example/keys", "jwt_algorithms": "RS256,HS256"},
        {"jwt_jwks_url": "https://id.example/keys", "jwt_algorithms": "none"},
        {"jwt_secret": SECRET, "jwt_algorithms": "none"},
        {"jwt_secret": SECRET, "jwt_algorithms": "RS256"},
        {"jwt_jwks_url": "https://id.example/keys", "jwt_algorithms": "RS257"},
    ],
    ids=str,
)
def test_start_is_refused_when_tokens_would_be_checked_badly(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="JWT_"):
        create_jwt_identity(settings_for(identity="jwt", **settings))
