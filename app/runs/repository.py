"""The ``runs`` table: what every replica can see of the runs of all of them.

A run is claimed by the store, in the statement that loads its thread; everything after that is
here. Every change names the run's owner and that it is still ``running``.
"""

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

from app.chatkit.context import TokenUsage
from app.chatkit.protocol.items import ThreadItem
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.server import INTERRUPTED_NOTE
from app.db.database import Database

RunEnd = Literal["completed", "cancelled", "failed", "interrupted"]
"""How a run has ended."""

RunState = Literal["running"] | RunEnd


class RunRow(NamedTuple):
    """A run as every replica can see it.

    ``owner`` is the replica that carries it out; ``snapshot`` is JSON: its pending messages.
    """

    id: str
    thread_id: str
    owner: str
    state: RunState
    snapshot: str | None
    is_cancelled: bool


class RunId(NamedTuple):
    """Which run."""

    id: str


class RunOwner(NamedTuple):
    """Which replica carries a run out."""

    owner: str


class OwnedRun(NamedTuple):
    """Which run, and the replica that carries it out."""

    id: str
    owner: str


class HeldRun(NamedTuple):
    """A run that is running, as far as the database knows."""

    user_id: str
    id: str
    is_cancelled: bool


class Orphan(NamedTuple):
    """A run whose replica is gone."""

    user_id: str
    id: str
    owner: str


_FINISH = """
UPDATE runs SET state = $3, finished_at = now(), snapshot = NULL, error_id = $4,
  model = $5, input_tokens = $6, output_tokens = $7
WHERE user_id = $1 AND id = $2 AND state = 'running'"""

_SAVE_SNAPSHOTS = """
UPDATE runs SET snapshot = mine.snapshot::jsonb
FROM unnest($1::text[], $2::text[], $3::text[]) AS mine (user_id, id, snapshot)
WHERE runs.user_id = mine.user_id AND runs.id = mine.id AND runs.state = 'running'
RETURNING runs.id"""

_FIND_HELD = """
SELECT user_id, id, cancel_requested_at IS NOT NULL AS is_cancelled FROM runs
WHERE owner = $1 AND state = 'running'"""

_REQUEST_CANCEL = """
UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now())
WHERE user_id = $1 AND id = $2 AND state = 'running' RETURNING owner"""

_REQUEST_CANCEL_OF_THREAD = """
UPDATE runs SET cancel_requested_at = now()
WHERE user_id = $1 AND thread_id = $2 AND state = 'running' AND cancel_requested_at IS NULL
  AND id < $3 COLLATE "C"
RETURNING id, owner"""

_RUN = "id, thread_id, owner, state, snapshot, cancel_requested_at IS NOT NULL AS is_cancelled"

_FIND = f"SELECT {_RUN} FROM runs WHERE user_id = $1 AND id = $2"

_FIND_LATEST = f"""
SELECT {_RUN} FROM runs WHERE user_id = $1 AND thread_id = $2
ORDER BY state = 'running' DESC, created_at DESC LIMIT 1"""

# Whose replica has ended, and whose replica nobody has heard of for so long that it never will be.
_FIND_ORPHANS = """
SELECT user_id, id, owner FROM runs
WHERE state = 'running' AND (owner = ANY($2::text[]) OR (
  owner <> ALL($1::text[]) AND created_at < now() - make_interval(secs => $3)
)) ORDER BY created_at LIMIT $4"""

# What the snapshot has of answers becomes items, as after a stop, and the model is told; all in one
# statement, so that whichever replica gets there first does it once. An item that is stored already
# keeps the longer text: it was finished since, or was stored pending to keep its place.
_RECOVER = """
WITH dead AS (
  UPDATE runs SET state = 'interrupted', finished_at = now()
  WHERE user_id = $1 AND id = $2 AND owner = $3 AND state = 'running'
  RETURNING user_id, id, thread_id, snapshot
), kept AS (
  SELECT dead.user_id, dead.thread_id, item ->> 'id' AS id, item ->> 'type' AS type,
    false AS hidden, item AS data, place
  FROM dead, jsonb_array_elements(coalesce(dead.snapshot, '[]'::jsonb)) WITH ORDINALITY
    AS snapshot (item, place)
  WHERE item ->> 'type' = 'assistant_message' AND item -> 'content' <> '[]'::jsonb
), noted AS (
  SELECT user_id, thread_id, 'shcx_' || id AS id, 'sdk_hidden_context' AS type,
    true AS hidden, jsonb_build_object(
      'id', 'shcx_' || id, 'thread_id', thread_id, 'type', 'sdk_hidden_context',
      'created_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'content', $4::text
    ) AS data, 1000000 AS place
  FROM dead
), stored AS (
  INSERT INTO thread_items (user_id, thread_id, id, type, hidden, data, created_at)
  SELECT user_id, thread_id, id, type, hidden, data, now()
  FROM (SELECT * FROM kept UNION ALL SELECT * FROM noted) AS items
  ORDER BY user_id, thread_id, place
  ON CONFLICT (user_id, thread_id, id) DO UPDATE SET data = excluded.data
  WHERE thread_items.type = excluded.type
    AND length(thread_items.data #>> '{content}') < length(excluded.data #>> '{content}')
)
SELECT id FROM dead"""


class SnapshotToSave(NamedTuple):
    """A run's pending items."""

    user_id: str
    run_id: str
    items: Sequence[ThreadItem]


class RunRepository:
    """Statements on ``runs``; each is one round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def finish(
        self,
        user_id: str,
        run_id: str,
        state: RunEnd,
        *,
        usage: TokenUsage,
        error_id: str | None = None,
    ) -> None:
        """End a run; one that was taken over stays as it is."""
        await self._database.execute(
            _FINISH,
            user_id,
            run_id,
            state,
            error_id,
            usage.model,
            usage.input_tokens,
            usage.output_tokens,
        )

    async def save_snapshots(self, snapshots: Sequence[SnapshotToSave]) -> set[str]:
        """Save the pending items of runs; return the ids of the runs still held."""
        rows = await self._database.fetch_across_owners(
            "janitor",
            RunId,
            _SAVE_SNAPSHOTS,
            [each.user_id for each in snapshots],
            [each.run_id for each in snapshots],
            [_dump_snapshot(each.items) for each in snapshots],
        )
        return {row.id for row in rows}

    async def find_held(self, replica: str) -> dict[str, HeldRun]:
        """Return the runs that a replica holds, by id."""
        rows = await self._database.fetch_across_owners("janitor", HeldRun, _FIND_HELD, replica)
        return {row.id: row for row in rows}

    async def request_cancel(self, user_id: str, run_id: str) -> str | None:
        """Ask for a run to be stopped; return the replica to tell, or None if it is not running."""
        row = await self._database.fetchrow(RunOwner, _REQUEST_CANCEL, user_id, run_id)
        return None if row is None else row.owner

    async def request_cancel_of_thread(
        self, user_id: str, thread_id: str, *, before: str
    ) -> OwnedRun | None:
        """Ask the run of a thread to stop if it is older than the run ``before``.

        Returns it, or None where there is none or it was asked already.
        """
        return await self._database.fetchrow(
            OwnedRun, _REQUEST_CANCEL_OF_THREAD, user_id, thread_id, before
        )

    async def find(self, user_id: str, run_id: str) -> RunRow | None:
        """Return a run, or None."""
        return await self._database.fetchrow(RunRow, _FIND, user_id, run_id)

    async def find_latest(self, user_id: str, thread_id: str) -> RunRow | None:
        """Return the run that holds a thread or, where none does, held it last; or None."""
        return await self._database.fetchrow(RunRow, _FIND_LATEST, user_id, thread_id)

    async def find_orphans(
        self, *, living: Sequence[str], ended: Sequence[str], unknown_for: float, batch: int = 100
    ) -> list[Orphan]:
        """Return runs of ``ended`` replicas.

        A run of a replica that is in neither list is one if it began ``unknown_for`` seconds ago.
        """
        return await self._database.fetch_across_owners(
            "janitor", Orphan, _FIND_ORPHANS, list(living), list(ended), unknown_for, batch
        )

    async def recover(self, orphan: Orphan) -> bool:
        """End a run with what was saved of it; return whether it was this call that did."""
        row = await self._database.fetchrow(
            RunId, _RECOVER, orphan.user_id, orphan.id, orphan.owner, INTERRUPTED_NOTE
        )
        return row is not None


def _dump_snapshot(items: Sequence[ThreadItem]) -> str:
    return json.dumps([json.loads(dump_wire(item)) for item in items], ensure_ascii=False)
