"""The statements on ``chat_sessions`` and ``rate_counters``; each is one round trip."""

from datetime import datetime
from typing import Literal, NamedTuple

from app.db.database import Database

SessionStatus = Literal["active", "expired", "cancelled"]


class MintedRow(NamedTuple):
    """A session that was stored, and the id of the one whose place it takes."""

    expires_at: datetime
    replaced: str | None


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


async def mint(
    database: Database,
    session_id: str,
    user_id: str,
    secret_hash: bytes,
    *,
    ttl: float,
    replaces: bytes,
    grace: float,
    limits: str,
    configuration: str,
    keep_ended: float,
) -> MintedRow | None:
    """Store a session; times are in seconds, ``limits`` and ``configuration`` JSON.

    A session of the same user whose secret has the hash ``replaces`` is over, unless it has been
    for more than ``grace``. Sessions that ended more than ``keep_ended`` ago are deleted.
    """
    return await database.fetchrow_across_owners(
        "sessions",
        MintedRow,
        _MINT,
        session_id,
        user_id,
        secret_hash,
        ttl,
        replaces,
        grace,
        limits,
        configuration,
        keep_ended,
    )


class CountedRow(NamedTuple):
    """A request that was counted, of a session or of a user who has none.

    ``session_waits`` and ``user_waits`` are for how many seconds there have been too many.
    """

    user_id: str
    id: str | None
    session_waits: float | None
    user_waits: float | None


_COUNT_USER = """
INSERT INTO rate_counters AS counter (user_id, scope, requests, ends_at)
VALUES ($1, '', 1, now() + interval '1 minute')
ON CONFLICT (user_id, scope) DO UPDATE SET
  requests = CASE WHEN counter.ends_at > now() THEN counter.requests + 1 ELSE 1 END,
  ends_at = CASE WHEN counter.ends_at > now() THEN counter.ends_at ELSE excluded.ends_at END
RETURNING user_id, NULL AS id, NULL AS session_waits,
  CASE WHEN requests > $2::int THEN extract(epoch FROM ends_at - now())::float8 END AS user_waits"""


async def count_user(database: Database, user_id: str, *, limit: int) -> CountedRow | None:
    """Count a request of a user; more than ``limit`` a minute are too many."""
    return await database.fetchrow_across_owners(
        "sessions", CountedRow, _COUNT_USER, user_id, limit
    )


class VerifiedRow(NamedTuple):
    """A session that is active, its request counted; ``running`` are the runs of its user."""

    id: str
    user_id: str
    expires_at: datetime
    configuration: str
    session_waits: float | None
    user_waits: float | None
    running: int


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


async def verify(database: Database, secret_hash: bytes, *, user_limit: int) -> VerifiedRow | None:
    """Return the active session of a secret and count a request; no ``user_limit`` is 0."""
    return await database.fetchrow_across_owners(
        "sessions", VerifiedRow, _VERIFY, secret_hash, user_limit
    )


class CancelledRow(NamedTuple):
    """A session that was active until now."""

    id: str
    user_id: str


_CANCEL = """
UPDATE chat_sessions SET cancelled_at = now()
WHERE secret_hash = $1 AND cancelled_at IS NULL AND expires_at > now()
RETURNING id, user_id"""


async def cancel(database: Database, secret_hash: bytes) -> CancelledRow | None:
    """End the session of a secret; None if it was not active."""
    return await database.fetchrow_across_owners("sessions", CancelledRow, _CANCEL, secret_hash)


class EndedRow(NamedTuple):
    """A session that is over; ``ended`` if it was active until now."""

    id: str
    user_id: str
    expires_at: datetime
    limits: str
    configuration: str
    status: SessionStatus
    ended: bool


_CANCEL_BY_ID = """
WITH cancelled AS (
  UPDATE chat_sessions SET cancelled_at = now()
  WHERE id = $1 AND cancelled_at IS NULL AND expires_at > now() RETURNING id
)
SELECT id, user_id, expires_at, limits, configuration,
  CASE WHEN cancelled_at IS NOT NULL OR EXISTS (SELECT 1 FROM cancelled) THEN 'cancelled'
    ELSE 'expired' END AS status, EXISTS (SELECT 1 FROM cancelled) AS ended
FROM chat_sessions WHERE id = $1"""


async def cancel_by_id(database: Database, session_id: str) -> EndedRow | None:
    """End a session; None if there is no such session."""
    return await database.fetchrow_across_owners("sessions", EndedRow, _CANCEL_BY_ID, session_id)


class EndedSessions(NamedTuple):
    """How many sessions were ended."""

    sessions: int


_END_OF_USER = """
WITH counted AS (
  DELETE FROM rate_counters WHERE user_id = $1
), ended AS (
  UPDATE chat_sessions SET cancelled_at = now(), expires_at = now()
  WHERE user_id = $1 AND cancelled_at IS NULL RETURNING 1
)
SELECT count(*) AS sessions FROM ended"""


async def end_of_user(database: Database, user_id: str) -> int:
    """End all sessions of a user and forget their counters; return how many that were."""
    row = await database.fetchrow_across_owners("sessions", EndedSessions, _END_OF_USER, user_id)
    return row.sessions if row else 0
