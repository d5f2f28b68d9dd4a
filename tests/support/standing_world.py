"""Rows that stand beside what a test does, and must be the same when it is over.

A statement that forgets one of its conditions does to them what it should do to the test's own
rows only: the same user's other threads, and another user's rows of the same ids.
"""

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

THREADS = ("wld_1", "wld_2", "wld_3")
ITEMS = ("first", "a", "b", "q")
RUN_STATES = (("running", "completed"), ("failed", "cancelled"), ("interrupted", "completed"))
FILE_STATES = ("pending", "uploading", "finished", "deleted")
AWAY = "rep_of_the_world"

_THREAD = """
INSERT INTO threads (user_id, id, title, metadata) VALUES (:user, :id, :title, '{"kept": true}')"""
_ITEM = """
INSERT INTO thread_items (user_id, thread_id, id, type, hidden, data, created_at)
VALUES (:user, :thread, :id, :type, :hidden, CAST(:data AS jsonb), now())"""
_RUN = """
INSERT INTO runs (user_id, id, thread_id, kind, state, owner, snapshot, finished_at)
VALUES (:user, :id, :thread, 'threads.create', CAST(:state AS text), :owner,
  CAST(:snapshot AS jsonb), CASE WHEN CAST(:state AS text) <> 'running' THEN now() END)"""
_FILE = """
INSERT INTO attachments (user_id, id, thread_id, data, upload_state, storage_key, size)
VALUES (:user, :id, :thread, CAST(:data AS jsonb), :state, :key, 7)"""
_FEEDBACK = """
INSERT INTO feedback (user_id, thread_id, item_id, kind) VALUES (:user, :thread, 'a', 'negative')"""
_REPLICA = """
INSERT INTO replicas (id, heartbeat_at) VALUES (:id, now() + interval '1 day')
ON CONFLICT (id) DO NOTHING"""
_DUMP = {
    "threads": "id",
    "thread_items": "thread_id",
    "runs": "thread_id",
    "attachments": "id",
    "feedback": "thread_id",
}


class StandingWorld:
    """Three threads of ``user_id`` that a test does not name, and all rows of a second user.

    The second user's threads have the ids in ``taken``: those that the test uses itself.
    """

    def __init__(self, engine: AsyncEngine, user_id: str, taken: tuple[str, ...]) -> None:
        self._engine = engine
        self.user_id = user_id
        self.other_id = f"other_of_{user_id}"
        self._taken = (*taken, *(f"more_{n}" for n in range(3 - len(taken))))
        self._before: list[str] = []

    async def build(self) -> None:
        """Store it, and remember how it looks."""
        async with self._engine.connect() as connection:
            await connection.execute(text(_REPLICA), {"id": AWAY})
        for user, threads, prefix in (
            (self.user_id, THREADS, "wld_"),
            (self.other_id, self._taken, ""),
        ):
            for number, thread in enumerate(threads):
                await self._furnish(user, thread, prefix, number)
        self._before = await self._dump()

    async def check(self) -> None:
        """Raise ``AssertionError`` where anything of it has changed."""
        assert await self._dump() == self._before

    async def _furnish(self, user: str, thread: str, prefix: str, number: int) -> None:
        await self._run(_THREAD, user=user, id=thread, title=f"Title of {thread}")
        for item in (*ITEMS, f"hidden_{number}"):
            await self._run(_ITEM, user=user, thread=thread, id=item, **_item(item, thread))
        await self._run(_FEEDBACK, user=user, thread=thread)
        for place, state in enumerate(RUN_STATES[number]):
            snapshot = json.dumps([_message("unseen", thread)]) if state == "running" else None
            await self._run(
                _RUN,
                user=user,
                # The second user's runs have the ids that tests give theirs.
                id=f"{prefix}run_{2 * number + place + 1}",
                thread=thread,
                state=state,
                owner=AWAY,
                snapshot=snapshot,
            )
        for place, state in enumerate(FILE_STATES):
            file_id = f"{prefix}atc_{len(FILE_STATES) * number + place + 1}"
            data = {"id": file_id, "type": "file", "name": "x", "mime_type": "text/plain"}
            await self._run(
                _FILE,
                user=user,
                id=file_id,
                thread=thread if state == "finished" else None,
                data=json.dumps(data),
                state=state,
                key=f"key/{user}/{file_id}",
            )

    async def _run(self, statement: str, **values: Any) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(text(statement), values)

    async def _dump(self) -> list[str]:
        found: list[str] = []
        async with self._engine.connect() as connection:
            for table, column in _DUMP.items():
                rows = await connection.execute(
                    text(
                        f"SELECT t::text FROM {table} t WHERE user_id = :other OR "
                        f"(user_id = :user AND {column} LIKE 'wld#_%' ESCAPE '#') ORDER BY 1"
                    ),
                    {"user": self.user_id, "other": self.other_id},
                )
                found += [f"{table}: {row}" for row in rows.scalars()]
        return found


def _item(item_id: str, thread_id: str) -> dict[str, Any]:
    if item_id.startswith("hidden"):
        data = {"id": item_id, "thread_id": thread_id, "type": "hidden_context_item"}
        data |= {"created_at": "2030-01-01T00:00:00Z", "content": "for the model"}
        return {"type": "hidden_context_item", "hidden": True, "data": json.dumps(data)}
    message = _message(item_id, thread_id)
    return {"type": "assistant_message", "hidden": False, "data": json.dumps(message)}


def _message(item_id: str, thread_id: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "thread_id": thread_id,
        "type": "assistant_message",
        "created_at": "2030-01-01T00:00:00Z",
        "content": [{"type": "output_text", "text": f"{thread_id} {item_id}", "annotations": []}],
    }
