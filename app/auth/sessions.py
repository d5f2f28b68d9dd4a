"""Chat sessions: client secrets that are minted, verified, exchanged and end.

A secret is ``ck_`` and 256 random bits. Only its SHA-256 is stored: a leaked table opens nothing,
and a hash of something this random needs no salt. The lookup is by that hash, so nothing about a
secret can be learned from how long a comparison takes.

Nothing is cached: every request asks the database, so a session that was cancelled is over
everywhere at once. The same statement counts the request, for the session and for its user.
"""

import hashlib
import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit import audit
from app.auth import repository
from app.auth.configuration import OWN, SessionConfiguration, load_configuration
from app.auth.repository import CountedRow, SessionStatus, VerifiedRow
from app.chatkit.context import SessionFeatures
from app.chatkit.protocol.ids import create_id
from app.db.database import Database
from app.errors import RateLimitedError

SECRET_PREFIX = "ck_"  # noqa: S105 - a prefix, no secret
KEEP_ENDED = 86_400.0
"""How long a session is kept behind its end and the time it can be exchanged in, in seconds."""


@dataclass(frozen=True, slots=True)
class MintedSession:
    """A new session: the only time that its secret is known."""

    id: str
    client_secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ChatSession:
    """A session that a request proved to hold the secret of.

    ``running`` is how many answers are being written for its user, on all replicas.
    """

    id: str
    user_id: str
    expires_at: datetime
    features: SessionFeatures
    state_variables: dict[str, Any]
    running: int


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was looked up by its id to be cancelled."""

    id: str
    user_id: str
    expires_at: datetime
    limits: str
    configuration: SessionConfiguration
    status: SessionStatus


class ChatSessions:
    """The ``chat_sessions`` table, and the counters of requests.

    Requests per minute are those of one session (unless it is minted with a limit of its own) and
    of all sessions of a user; 0 means that there is no limit. ``refresh_grace`` is in seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        session_requests: int = 0,
        user_requests: int = 0,
        refresh_grace: float = 3600,
    ) -> None:
        self._database = database
        self._session_requests = session_requests
        self._user_requests = user_requests
        self._grace = refresh_grace

    async def mint(
        self,
        user_id: str,
        *,
        ttl: float,
        replaces: str | None = None,
        requests: int | None = None,
        configuration: SessionConfiguration = OWN,
        server_key: str | None = None,
    ) -> MintedSession:
        """Return a new session of ``user_id`` that lives ``ttl`` seconds.

        ``replaces`` is the secret that the page holds already: if it is that user's, and valid or
        just expired, its session hands on its configuration and is over. ``server_key`` is the name
        of the key on whose behalf the session is minted.
        """
        session_id = create_id("cks")
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        row = await repository.mint(
            self._database,
            session_id,
            user_id,
            hash_secret(secret),
            ttl=float(ttl),
            replaces=hash_secret(replaces or ""),
            grace=float(self._grace),
            limits=self._dump_limits(requests),
            configuration=configuration.dump() if configuration.chatkit else "{}",
            keep_ended=self._grace + KEEP_ENDED,
        )
        if row is None:
            raise RuntimeError(f"Session {session_id} could not be stored")
        event = "session.refreshed" if row.replaced else "session.minted"
        details = {"replaces": row.replaced} if row.replaced else {}
        if server_key is not None:
            details["server_key"] = server_key
        audit(event, user_id=user_id, session_id=session_id, **details)
        return MintedSession(session_id, secret, row.expires_at)

    def _dump_limits(self, requests: int | None) -> str:
        allowed = requests or self._session_requests
        return f'{{"max_requests_per_1_minute": {allowed}}}' if allowed else "{}"

    async def verify(self, secret: str, *, is_limited: bool = True) -> ChatSession | None:
        """Return the session of a secret, or None if it is unknown, expired or cancelled.

        Counts as one request. Raises ``RateLimitedError``, where the request ``is_limited``.
        """
        if not secret.startswith(SECRET_PREFIX):
            return None
        row = await repository.verify(
            self._database, hash_secret(secret), user_limit=self._user_requests
        )
        if row is None:
            return None
        if is_limited:
            _check_rate(row)
        configuration = load_configuration(row.configuration)
        return ChatSession(
            row.id,
            row.user_id,
            row.expires_at,
            configuration.features,
            configuration.state_variables,
            row.running,
        )

    async def count(self, user_id: str) -> None:
        """Count a request of a user who has no session yet; raises ``RateLimitedError``."""
        if self._user_requests:
            row = await repository.count_user(self._database, user_id, limit=self._user_requests)
            if row is not None:
                _check_rate(row)

    async def cancel(self, secret: str) -> bool:
        """End the session of a secret; return whether it was an active one."""
        row = await repository.cancel(self._database, hash_secret(secret))
        if row is not None:
            audit("session.cancelled", user_id=row.user_id, session_id=row.id)
        return row is not None

    async def cancel_by_id(self, session_id: str, *, server_key: str) -> EndedSession | None:
        """End a session on behalf of a server key; None if there is no such session."""
        row = await repository.cancel_by_id(self._database, session_id)
        if row is None:
            return None
        if row.ended:
            audit(
                "session.cancelled", user_id=row.user_id, session_id=row.id, server_key=server_key
            )
        return EndedSession(
            row.id,
            row.user_id,
            row.expires_at,
            row.limits,
            load_configuration(row.configuration),
            row.status,
        )


def _check_rate(row: CountedRow | VerifiedRow) -> None:
    """Raise ``RateLimitedError`` where the session or its user has made too many requests."""
    for whose, waits in (("session", row.session_waits), ("user", row.user_waits)):
        if waits is not None:
            audit("rate_limited", user_id=row.user_id, session_id=row.id, limit=f"{whose}_requests")
            raise RateLimitedError(
                "Too many requests. Please wait a moment and try again.",
                retry_after=max(math.ceil(waits), 1),
            )


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a client secret."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
