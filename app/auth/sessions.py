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
from typing import Any, Literal

from app.audit import audit
from app.auth.configuration import OWN, SessionConfiguration, load_configuration
from app.chatkit.context import SessionFeatures
from app.chatkit.protocol.ids import create_id
from app.db.database import Database
from app.db.pool import Row
from app.errors import RateLimitedError

SECRET_PREFIX = "ck_"  # noqa: S105 - a prefix, no secret
KEEP_ENDED = 86_400.0
"""How long a session is kept behind its end and the time it can be exchanged in, in seconds."""

SessionStatus = Literal["active", "expired", "cancelled"]

# The session that is exchanged hands on its limits, what is used up of them, and its configuration.
# Sessions that ended long ago go a few at a time, so nobody has to sweep the table.
_MINT = """
WITH old AS (
  SELECT id, limits, configuration FROM chat_sessions
  WHERE secret_hash = $5 AND user_id = $2 AND expires_at > now() - make_interval(secs => $6)
), retired AS (
  UPDATE chat_sessions SET cancelled_at = now() FROM old
  WHERE chat_sessions.id = old.id AND chat_sessions.cancelled_at IS NULL
), ended AS (
  DELETE FROM chat_sessions WHERE id IN (
    SELECT id FROM chat_sessions WHERE expires_at < now() - make_interval(secs => $9)
    ORDER BY expires_at LIMIT 10 FOR UPDATE SKIP LOCKED
  ) RETURNING user_id, id
), forgotten AS (
  DELETE FROM rate_counters USING ended
  WHERE rate_counters.user_id = ended.user_id AND rate_counters.scope = ended.id
), counted AS (
  INSERT INTO rate_counters (user_id, scope, requests, ends_at)
  SELECT user_id, $1, requests, ends_at FROM rate_counters JOIN old ON scope = old.id
  WHERE user_id = $2 AND ends_at > now()
  ON CONFLICT DO NOTHING
)
INSERT INTO chat_sessions (id, user_id, secret_hash, expires_at, limits, configuration)
SELECT $1, $2, $3, now() + make_interval(secs => $4),
  coalesce((SELECT limits FROM old), $7::jsonb),
  coalesce((SELECT configuration FROM old), $8::jsonb)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING expires_at, (SELECT id FROM old) AS replaced"""

_COUNT_USER = """
INSERT INTO rate_counters AS counter (user_id, scope, requests, ends_at)
VALUES ($1, '', 1, now() + interval '1 minute')
ON CONFLICT (user_id, scope) DO UPDATE SET
  requests = CASE WHEN counter.ends_at > now() THEN counter.requests + 1 ELSE 1 END,
  ends_at = CASE WHEN counter.ends_at > now() THEN counter.ends_at ELSE excluded.ends_at END
RETURNING user_id, NULL AS id, NULL AS session_waits,
  CASE WHEN requests > $2::int THEN extract(epoch FROM ends_at - now())::float8 END AS user_waits"""

# The session's counter comes first; what it refuses does not use up what the user has left.
_VERIFY = """
WITH session AS (
  SELECT id, user_id, expires_at, configuration,
    (limits ->> 'max_requests_per_1_minute')::int AS allowed
  FROM chat_sessions
  WHERE secret_hash = $1 AND cancelled_at IS NULL AND expires_at > now()
), of_session AS (
  INSERT INTO rate_counters AS counter (user_id, scope, requests, ends_at)
  SELECT user_id, id, 1, now() + interval '1 minute' FROM session WHERE allowed IS NOT NULL
  ON CONFLICT (user_id, scope) DO UPDATE SET
    requests = CASE WHEN counter.ends_at > now() THEN counter.requests + 1 ELSE 1 END,
    ends_at = CASE WHEN counter.ends_at > now() THEN counter.ends_at ELSE excluded.ends_at END
  RETURNING requests, ends_at
), of_user AS (
  INSERT INTO rate_counters AS counter (user_id, scope, requests, ends_at)
  SELECT user_id, '', 1, now() + interval '1 minute' FROM session
  WHERE $2::int > 0 AND coalesce((SELECT requests FROM of_session) <= allowed, true)
  ON CONFLICT (user_id, scope) DO UPDATE SET
    requests = CASE WHEN counter.ends_at > now() THEN counter.requests + 1 ELSE 1 END,
    ends_at = CASE WHEN counter.ends_at > now() THEN counter.ends_at ELSE excluded.ends_at END
  RETURNING requests, ends_at
)
SELECT session.id, session.user_id, session.expires_at, session.configuration,
  CASE WHEN of_session.requests > session.allowed
    THEN extract(epoch FROM of_session.ends_at - now())::float8 END AS session_waits,
  CASE WHEN of_user.requests > $2::int
    THEN extract(epoch FROM of_user.ends_at - now())::float8 END AS user_waits,
  (SELECT count(*) FROM runs WHERE user_id = session.user_id AND state = 'running') AS running
FROM session LEFT JOIN of_session ON true LEFT JOIN of_user ON true"""

_CANCEL_HELD = """
UPDATE chat_sessions SET cancelled_at = now()
WHERE secret_hash = $1 AND cancelled_at IS NULL AND expires_at > now()
RETURNING id, user_id"""

_CANCEL_BY_ID = """
WITH cancelled AS (
  UPDATE chat_sessions SET cancelled_at = now()
  WHERE id = $1 AND cancelled_at IS NULL AND expires_at > now() RETURNING id
)
SELECT id, user_id, expires_at, limits, configuration,
  CASE WHEN cancelled_at IS NOT NULL OR EXISTS (SELECT 1 FROM cancelled) THEN 'cancelled'
    ELSE 'expired' END AS status, EXISTS (SELECT 1 FROM cancelled) AS ended
FROM chat_sessions WHERE id = $1"""


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
        row = await self._database.fetchrow_across_owners(
            "sessions",
            _MINT,
            session_id,
            user_id,
            hash_secret(secret),
            float(ttl),
            hash_secret(replaces or ""),
            float(self._grace),
            self._dump_limits(requests),
            configuration.dump() if configuration.chatkit else "{}",
            self._grace + KEEP_ENDED,
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
        row = await self._database.fetchrow_across_owners(
            "sessions", _VERIFY, hash_secret(secret), self._user_requests
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
            row = await self._database.fetchrow_across_owners(
                "sessions", _COUNT_USER, user_id, self._user_requests
            )
            if row is not None:
                _check_rate(row)

    async def cancel(self, secret: str) -> bool:
        """End the session of a secret; return whether it was an active one."""
        row = await self._database.fetchrow_across_owners(
            "sessions", _CANCEL_HELD, hash_secret(secret)
        )
        if row is not None:
            audit("session.cancelled", user_id=row.user_id, session_id=row.id)
        return row is not None

    async def cancel_by_id(self, session_id: str, *, server_key: str) -> EndedSession | None:
        """End a session on behalf of a server key; None if there is no such session."""
        row = await self._database.fetchrow_across_owners("sessions", _CANCEL_BY_ID, session_id)
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


def _check_rate(row: Row) -> None:
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
