"""Deleting a user: every row and every file, for good."""

import asyncio

from app.audit import audit
from app.auth.repository import end_of_user
from app.db.database import Database
from app.db.pool import create_pool
from app.db.users import delete_threads
from app.main import create_uploads
from app.settings import Settings
from app.uploads.repository import AttachmentRepository


def delete_user(settings: Settings, user_id: str) -> str:
    """Delete everything of a user; return what that was, in words.

    Sessions are ended; their rows go with others that are over. Can be repeated if it is cut off.
    """
    return asyncio.run(_delete(settings, user_id))


async def _delete(settings: Settings, user_id: str) -> str:
    pool = create_pool(settings)
    try:
        database = Database(pool)
        sessions = await end_of_user(database, user_id)
        threads = await delete_threads(database, user_id)
        repository, uploads = AttachmentRepository(database), create_uploads(settings, database)
        rows = await repository.list_of_user(user_id)
        for row in rows:
            await uploads.attempts.remove_bytes(user_id, row.id)
        await repository.forget(user_id, [row.id for row in rows])
    finally:
        await pool.close()
    audit("user.deleted", user_id=user_id)
    return f"{threads} threads, {len(rows)} files and {sessions} sessions of {user_id!r} are gone"
