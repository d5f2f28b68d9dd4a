"""The ``replicas`` table: one row says that a process lives, whatever it carries out.

A replica renews its row once a heartbeat. Whoever finds a row silent declares that replica ended,
and its runs are ended with it. A replica that was declared ended while it was paused learns so at
its next heartbeat, and goes on under a new id; the runs it had are no longer its own.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.db.database import Database, Found

# What was handled leaves the row only now, so a lost reply loses no signal.
_RENEW = """
INSERT INTO replicas (id) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), signals = ARRAY(
  SELECT unnest(replicas.signals) EXCEPT SELECT unnest($2::text[])
) WHERE replicas.ended_at IS NULL
RETURNING signals"""

_LOOK = """
SELECT id, heartbeat_at, ended_at IS NOT NULL AS has_ended,
  heartbeat_at < now() - make_interval(secs => $1) AS is_silent,
  coalesce(ended_at < now() - make_interval(secs => $2), false) AS is_over
FROM replicas ORDER BY id"""

_DECLARE_ENDED = """
UPDATE replicas SET ended_at = now()
WHERE id = $1 AND ended_at IS NULL AND heartbeat_at = $2 RETURNING true AS found"""

_END = "UPDATE replicas SET ended_at = now() WHERE id = $1 AND ended_at IS NULL"

_FORGET = "DELETE FROM replicas WHERE id = ANY($1::text[]) AND ended_at IS NOT NULL"

_SIGNAL = """
UPDATE replicas SET signals = array_append(signals, $2::text)
WHERE id = $1 AND ended_at IS NULL AND NOT $2::text = ANY(signals)"""

REMEMBERED = 3600.0
"""For how many seconds the row of a replica that has ended is kept: what it still tried to begin
while it was paused is found by it."""


class Signals(NamedTuple):
    """The runs that a replica should look at."""

    signals: list[str]


class ReplicaLook(NamedTuple):
    """A replica as the database sees it."""

    id: str
    heartbeat_at: datetime
    has_ended: bool
    is_silent: bool
    is_over: bool


class ReplicaRepository:
    """Statements on ``replicas``; each is one round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, replica: str, handled: Sequence[str]) -> list[str] | None:
        """Say that a replica lives; return the runs that it should look at.

        ``handled`` are those of earlier replies that need no look any more. None means that the
        replica was declared ended.
        """
        row = await self._database.fetchrow_across_owners(
            "janitor", Signals, _RENEW, replica, list(handled)
        )
        return None if row is None else row.signals

    async def look(self, *, silent_for: float) -> list[ReplicaLook]:
        """Return all replicas that are remembered; ``silent_for`` is in seconds."""
        return await self._database.fetch_across_owners(
            "janitor", ReplicaLook, _LOOK, silent_for, REMEMBERED
        )

    async def declare_ended(self, replica: str, heartbeat_at: datetime) -> bool:
        """End a replica that said nothing since ``heartbeat_at``; return whether that was so."""
        rows = await self._database.fetch_across_owners(
            "janitor", Found, _DECLARE_ENDED, replica, heartbeat_at
        )
        return bool(rows)

    async def end(self, replica: str) -> None:
        """Say that a replica carries nothing out any more."""
        await self._database.execute_across_owners("janitor", _END, replica)

    async def forget(self, replicas: Sequence[str]) -> None:
        """Delete the rows of replicas that ended long ago."""
        await self._database.execute_across_owners("janitor", _FORGET, list(replicas))

    async def signal(self, replica: str, run_id: str) -> None:
        """Ask a replica to look at one of its runs; one that has ended needs no telling."""
        await self._database.execute_across_owners("janitor", _SIGNAL, replica, run_id)
