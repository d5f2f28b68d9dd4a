"""The ``runs`` table: what every replica can see of the runs of all of them.

A run is claimed by the store, in the statement that loads its thread; everything after that is
here. Every change names the run's owner and that it is still ``running``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.chatkit.context import TokenUsage
from app.chatkit.protocol.items import AssistantMessageItem
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.server import INTERRUPTED_NOTE
from app.db.database import Database

RunState = Literal["completed", "cancelled", "failed", "interrupted"]

_FINISH = """
UPDATE runs SET state = $3, finished_at = now(), snapshot = NULL, error_id = $4,
  model = $5, input_tokens = $6, output_tokens = $7
WHERE user_id = $1 AND id = $2 AND state = 'running'"""

_RENEW = """
UPDATE runs SET heartbeat_at = now(), snapshot = coalesce(mine.snapshot::jsonb, runs.snapshot)
FROM unnest($1::text[], $2::text[], $3::text[]) AS mine (user_id, id, snapshot)
WHERE runs.user_id = mine.user_id AND runs.id = mine.id AND runs.state = 'running'
RETURNING runs.id, runs.cancel_requested_at IS NOT NULL AS cancelled"""

_REQUEST_CANCEL = """
UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now())
WHERE user_id = $1 AND id = $2 AND state = 'running' RETURNING 1"""

_REQUEST_CANCEL_OF_THREAD = """
UPDATE runs SET cancel_requested_at = now()
WHERE user_id = $1 AND thread_id = $2 AND state = 'running' AND cancel_requested_at IS NULL
  AND id < $3 COLLATE "C"
RETURNING id"""

_FIND = "SELECT id, thread_id, state, snapshot FROM runs WHERE user_id = $1 AND id = $2"

_FIND_LATEST = """
SELECT id, owner, state, snapshot FROM runs WHERE user_id = $1 AND thread_id = $2
ORDER BY state = 'running' DESC, created_at DESC LIMIT 1"""

# A dead run's snapshot becomes its items, and the model is told; all in one statement, so that
# whichever replica gets there first does it once. What was stored as finished is left alone.
_RECOVER = """
WITH dead AS (
  UPDATE runs SET state = 'interrupted', finished_at = now() WHERE (user_id, id) IN (
    SELECT user_id, id FROM runs
    WHERE state = 'running' AND heartbeat_at < now() - make_interval(secs => $1)
    ORDER BY heartbeat_at LIMIT $2 FOR UPDATE SKIP LOCKED
  ) RETURNING user_id, id, thread_id, snapshot
), kept AS (
  SELECT dead.user_id, dead.thread_id, item ->> 'id' AS id, item ->> 'type' AS type,
    false AS hidden, item AS data, place
  FROM dead, jsonb_array_elements(coalesce(dead.snapshot, '[]'::jsonb)) WITH ORDINALITY
    AS snapshot (item, place)
), noted AS (
  SELECT user_id, thread_id, 'shcx_' || id AS id, 'sdk_hidden_context' AS type,
    true AS hidden, jsonb_build_object(
      'id', 'shcx_' || id, 'thread_id', thread_id, 'type', 'sdk_hidden_context',
      'created_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'content', $3::text
    ) AS data, 1000000 AS place
  FROM dead
), stored AS (
  INSERT INTO thread_items (user_id, thread_id, id, type, hidden, data, created_at)
  SELECT user_id, thread_id, id, type, hidden, data, now()
  FROM (SELECT * FROM kept UNION ALL SELECT * FROM noted) AS items
  ORDER BY user_id, thread_id, place
  ON CONFLICT DO NOTHING
)
SELECT user_id, id, thread_id FROM dead"""


@dataclass(slots=True)
class Renewal:
    """What a heartbeat says of one run; ``snapshot`` is None where nothing changed."""

    user_id: str
    run_id: str
    snapshot: Sequence[AssistantMessageItem] | None


class RunRepository:
    """Statements on ``runs``; each is one round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def finish(
        self,
        user_id: str,
        run_id: str,
        state: RunState,
        *,
        usage: TokenUsage,
        error_id: str | None = None,
    ) -> None:
        """End a run; one that was taken over stays as it is."""
        await self._database.fetch(
            _FINISH,
            user_id,
            run_id,
            state,
            error_id,
            usage.model,
            usage.input_tokens,
            usage.output_tokens,
        )

    async def renew(self, renewals: Sequence[Renewal]) -> dict[str, bool]:
        """Renew runs; return, for those still held, whether a cancel was asked for."""
        rows = await self._database.fetch_across_owners(
            "janitor",
            _RENEW,
            [each.user_id for each in renewals],
            [each.run_id for each in renewals],
            [_dump_snapshot(each.snapshot) for each in renewals],
        )
        return {row.id: row.cancelled for row in rows}

    async def request_cancel(self, user_id: str, run_id: str) -> bool:
        """Ask the replica that carries a run out to stop it; return whether it is running."""
        return bool(await self._database.fetch(_REQUEST_CANCEL, user_id, run_id))

    async def request_cancel_of_thread(
        self, user_id: str, thread_id: str, *, before: str
    ) -> str | None:
        """Ask the run of a thread to stop if it is older than the run ``before``.

        Returns its id, or None where there is none or it was asked already.
        """
        row = await self._database.fetchrow(_REQUEST_CANCEL_OF_THREAD, user_id, thread_id, before)
        return None if row is None else row.id

    async def find(self, user_id: str, run_id: str) -> Any | None:
        """Return ``id, thread_id, state, snapshot`` of a run, or None."""
        return await self._database.fetchrow(_FIND, user_id, run_id)

    async def find_latest(self, user_id: str, thread_id: str) -> Any | None:
        """Return ``id, owner, state, snapshot`` of the run that holds a thread, or held it last."""
        return await self._database.fetchrow(_FIND_LATEST, user_id, thread_id)

    async def recover(self, *, silent_for: float, batch: int = 100) -> list[str]:
        """End runs whose heartbeat stopped ``silent_for`` seconds ago; return their ids."""
        rows = await self._database.fetch_across_owners(
            "janitor", _RECOVER, silent_for, batch, INTERRUPTED_NOTE
        )
        return [row.id for row in rows]


def _dump_snapshot(items: Sequence[AssistantMessageItem] | None) -> str | None:
    if items is None:
        return None
    return json.dumps([json.loads(dump_wire(item)) for item in items], ensure_ascii=False)
