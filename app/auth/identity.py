"""Who is calling: from an HTTP request to a user id.

An identity is an object with one async method. ``IDENTITY`` names it: ``anonymous`` is for
development, each browser gets an id of its own in a signed cookie; ``jwt`` and ``header`` go by
your identity provider or proxy; with ``none`` only your own server mints sessions, at ``/v1``; and
``package.module:function`` is an async function of yours, given the request, that returns a user
id or None.
"""

import base64
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import iscoroutinefunction
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol

from fastapi import Request, Response

from app.auth.header_identity import create_header_identity
from app.auth.jwt_identity import create_jwt_identity
from app.auth.user_ids import accept_user_id
from app.chatkit.protocol.ids import create_id
from app.errors import ForbiddenError
from app.observability import came_by_https
from app.settings import Settings, SettingsError

COOKIE_NAME = "chatkit_visitor"
COOKIE_LIFE = 365 * 24 * 3600

logger = logging.getLogger("app.identity")


class Identity(Protocol):
    """Recognises the caller of the session endpoint."""

    async def identify(self, request: Request, response: Response) -> str | None:
        """Return the caller's user id, or None; may set cookies on ``response``."""
        ...


class AnonymousIdentity:
    """Gives every browser an id of its own, kept in a signed, http-only cookie."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def identify(self, request: Request, response: Response) -> str | None:
        """Return the id in the cookie, or a new one that the response hands out."""
        known = self._read(request.cookies.get(COOKIE_NAME, ""))
        user_id = known or create_id("anon")
        if known is None:
            response.set_cookie(
                COOKIE_NAME,
                f"{user_id}.{self._sign(user_id)}",
                max_age=COOKIE_LIFE,
                httponly=True,
                samesite="lax",
                secure=came_by_https(request.url.scheme, request.headers),
            )
        return user_id

    def _read(self, cookie: str) -> str | None:
        user_id, _, signature = cookie.rpartition(".")
        if user_id and hmac.compare_digest(signature.encode(), self._sign(user_id).encode()):
            return user_id
        return None

    def _sign(self, user_id: str) -> str:
        digest = hmac.digest(self._secret, b"visitor:" + user_id.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class FunctionIdentity:
    """Asks the integrator's own function."""

    def __init__(self, function: Callable[[Request], Awaitable[object]]) -> None:
        self._function = function

    async def identify(self, request: Request, response: Response) -> str | None:
        """Return what the function says; an id that is empty or too long counts as unknown."""
        user_id = await self._function(request)
        if user_id is not None and not isinstance(user_id, str):
            logger.error("IDENTITY returned no text", extra={"kind": type(user_id).__name__})
            return None
        return accept_user_id(user_id)


class NoIdentity:
    """Recognises nobody: sessions are minted by the integrator's server, at ``/v1``."""

    async def identify(self, request: Request, response: Response) -> str | None:
        """Refuse, whoever asks."""
        raise ForbiddenError("This server mints sessions only for its own server API")


def create_identity(settings: Settings) -> Identity:
    """Return the configured identity; raises ``SettingsError`` if there is no such thing."""
    if settings.identity == "anonymous":
        return AnonymousIdentity(load_signing_secret(settings))
    if settings.identity == "jwt":
        return create_jwt_identity(settings)
    if settings.identity == "header":
        return create_header_identity(settings)
    if settings.identity == "none":
        return NoIdentity()
    try:
        function = resolve_name(settings.identity)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"IDENTITY: cannot load {settings.identity!r}: {error}") from error
    if not (iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)):
        raise SettingsError(f"IDENTITY: {settings.identity!r} is no async function")
    return FunctionIdentity(function)


def load_signing_secret(settings: Settings) -> bytes:
    """Return ``SIGNING_SECRET``, or in development one that is made once and kept on disk."""
    if settings.signing_secret is not None:
        return settings.signing_secret.get_secret_value().encode()
    path = settings.data_dir / "signing_secret"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return _create_secret_file(path)


def _create_secret_file(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written in full under another name first (mode 0600), and linked only where there is none yet:
    # of two processes that start together, both end up with the same one.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".secret-") as file:
        file.write(secrets.token_hex(32).encode())
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)
    return path.read_bytes()
