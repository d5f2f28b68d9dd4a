"""Forgetting a user: every row and every file, for good."""

import asyncio

from app.audit import audit
from app.db.attachments import AttachmentRepository
from app.db.database import Database
from app.db.pool import create_pool
from app.main import create_uploads
from app.settings import Settings

# Items and feedback go with their threads.
_FORGET = """
WITH files AS (
  UPDATE attachments SET upload_state = 'deleted' WHERE user_id = $1
), ended AS (
  DELETE FROM runs WHERE user_id = $1
), gone AS (
  DELETE FROM threads WHERE user_id = $1 RETURNING 1
)
SELECT count(*) AS threads FROM gone"""
_FORGET_SESSIONS = """
WITH counted AS (
  DELETE FROM rate_counters WHERE user_id = $1
), ended AS (
  UPDATE chat_sessions SET cancelled_at = now(), expires_at = now()
  WHERE user_id = $1 AND cancelled_at IS NULL RETURNING 1
)
SELECT count(*) AS sessions FROM ended"""


def delete_user(settings: Settings, user_id: str) -> str:
    """Delete everything of a user; return what that was, in words.

    Sessions are ended; their rows go with others that are over. Can be repeated if it is cut off.
    """
    return asyncio.run(_forget(settings, user_id))


async def _forget(settings: Settings, user_id: str) -> str:
    pool = create_pool(settings)
    try:
        database = Database(pool)
        ended = await database.fetchrow_across_owners("sessions", _FORGET_SESSIONS, user_id)
        gone = await database.fetchrow(_FORGET, user_id)
        repository, uploads = AttachmentRepository(database), create_uploads(settings, database)
        rows = await repository.of_user(user_id)
        for row in rows:
            await uploads.attempts.remove_bytes(row.user_id, row.id)
        await repository.forget(user_id, [row.id for row in rows])
    finally:
        await pool.close()
    audit("user.deleted", user_id=user_id)
    threads = gone.threads if gone else 0
    sessions = ended.sessions if ended else 0
    return f"{threads} threads, {len(rows)} files and {sessions} sessions of {user_id!r} are gone"
