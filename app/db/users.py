"""Everything of a user, whatever table it is in."""

from typing import NamedTuple

from app.db.database import Database


class DeletedThreads(NamedTuple):
    """How many threads were deleted."""

    threads: int


# Items and feedback go with their threads.
_DELETE_THREADS = """
WITH files AS (
  UPDATE attachments SET upload_state = 'deleted' WHERE user_id = $1
), ended AS (
  DELETE FROM runs WHERE user_id = $1
), gone AS (
  DELETE FROM threads WHERE user_id = $1 RETURNING 1
)
SELECT count(*) AS threads FROM gone"""


async def delete_threads(database: Database, user_id: str) -> int:
    """Delete the threads and runs of a user and mark their files as deleted.

    Returns how many threads that were.
    """
    row = await database.fetchrow(DeletedThreads, _DELETE_THREADS, user_id)
    return row.threads if row else 0
