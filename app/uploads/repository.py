"""The statements on uploads: a file's row is there before its first byte and outlives its last.

States: ``pending`` (announced), ``uploading`` (somebody sends it), ``finished`` (checked, may be
sent in a message) and ``deleted`` (its bytes are still to be removed). Who changes a state names
the state before it, so of two that race one wins.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from app.db.database import Database, Found

UploadState = Literal["pending", "uploading", "finished", "deleted"]


class UploadRow(NamedTuple):
    """A file as it is stored; ``data`` is the attachment in JSON.

    What is known of the bytes is null until they are there: ``storage_key`` while nobody sends
    them, the rest until they are checked; all of it for an attachment that the store was given.
    """

    id: str
    data: str
    size: int | None
    sniffed_type: str | None
    upload_state: UploadState
    storage_key: str | None
    digest: str | None
    preview_type: str | None
    touched_at: datetime


class ClaimedRow(NamedTuple):
    """A file that is being sent now: its attachment and size as announced.

    ``key_before`` is where it was sent before.
    """

    data: str
    size: int
    key_before: str | None


class FinishedRow(NamedTuple):
    """A file whose bytes are there and checked."""

    data: str
    storage_key: str
    sniffed_type: str
    size: int
    preview_type: str | None
    digest: str


class FileKey(NamedTuple):
    """Which file, and whose."""

    user_id: str
    id: str


class Room(NamedTuple):
    """How many bytes were reserved."""

    size: int


_COLUMNS = ", ".join(UploadRow._fields)

# ``upload_room`` holds a lock of the owner's until the row is there: two that come at once are
# counted one after the other.
_ADD = """
WITH room AS MATERIALIZED (SELECT upload_room($1, $2, $8::bigint) AS free)
INSERT INTO attachments (user_id, id, data, size, storage_key, upload_state)
SELECT $1, $2, $3::jsonb, least($4::bigint, room.free), $6, $7 FROM room
WHERE room.free >= $5::bigint
ON CONFLICT (user_id, id) DO UPDATE SET id = excluded.id
RETURNING size"""

_FIND = f"SELECT {_COLUMNS} FROM attachments WHERE user_id = $1 AND id = $2"
_FIND_FINISHED = f"""
SELECT {", ".join(FinishedRow._fields)} FROM attachments
WHERE user_id = $1 AND id = $2 AND upload_state = 'finished' AND storage_key IS NOT NULL"""
_FIND_MANY = f"""
SELECT {_COLUMNS} FROM attachments
WHERE user_id = $1 AND id = ANY($2::text[]) AND upload_state <> 'deleted'"""

# An upload whose server died in the middle can be taken up again after a while. Who takes it up
# writes to a place of its own: the key in the row says whose the upload is.
_CLAIM = """
UPDATE attachments SET upload_state = 'uploading', touched_at = now(), storage_key = $3
FROM (
  SELECT storage_key AS key_before FROM attachments WHERE user_id = $1 AND id = $2 FOR UPDATE
) AS before
WHERE user_id = $1 AND id = $2 AND (upload_state = 'pending' OR (upload_state = 'uploading'
  AND (storage_key = $3 OR touched_at < now() - make_interval(secs => $4))))
RETURNING data, size, key_before"""

_TOUCH = """
UPDATE attachments SET touched_at = now()
WHERE user_id = $1 AND id = $2 AND storage_key = $3 AND upload_state = 'uploading'
RETURNING true AS found"""

_RELEASE = """
UPDATE attachments SET upload_state = 'pending', touched_at = now(), storage_key = NULL
WHERE user_id = $1 AND id = $2 AND storage_key = $3 AND upload_state = 'uploading'
RETURNING true AS found"""

_FINISH = """
UPDATE attachments SET upload_state = 'finished', touched_at = now(), data = $4::jsonb,
  size = $5, digest = $6, sniffed_type = $7, preview_type = $8
WHERE user_id = $1 AND id = $2 AND storage_key = $3
  AND upload_state IN ('uploading', 'finished') RETURNING true AS found"""

_TOMBSTONE = """
UPDATE attachments SET upload_state = 'deleted', touched_at = now()
WHERE user_id = $1 AND id = $2 AND upload_state <> 'deleted'
  AND ($3::text IS NULL OR storage_key = $3) RETURNING true AS found"""

_FORGET = """
DELETE FROM attachments
WHERE user_id = $1 AND id = ANY($2::text[]) AND upload_state = 'deleted'"""

_LIST_OF_USER = f"SELECT {_COLUMNS} FROM attachments WHERE user_id = $1"

# What cannot be removed goes to the end of the queue, so that it keeps nothing else back.
_STALE = """
WITH stale AS (
  SELECT user_id, id FROM attachments
  WHERE upload_state = 'deleted'
    OR (thread_id IS NULL AND touched_at < now() - make_interval(secs => $1))
  ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE attachments SET upload_state = 'deleted', touched_at = now() FROM stale
WHERE attachments.user_id = stale.user_id AND attachments.id = stale.id
RETURNING attachments.user_id, attachments.id"""

_FORGET_ACROSS = """
DELETE FROM attachments USING unnest($1::text[], $2::text[]) AS gone (user_id, id)
WHERE attachments.user_id = gone.user_id AND attachments.id = gone.id
  AND upload_state = 'deleted'"""


class AttachmentRepository:
    """Rows of ``attachments`` as uploads see them; each method is one round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        user_id: str,
        attachment_id: str,
        *,
        data: str,
        size: int,
        least: int,
        storage_key: str | None,
        state: UploadState,
        quota: int,
    ) -> int | None:
        """Announce a file and reserve ``size`` bytes for it, or what is left of ``quota``.

        Returns how many that are; None if there are not even ``least`` left.
        """
        row = await self._database.fetchrow(
            Room, _ADD, user_id, attachment_id, data, size, least, storage_key, state, quota
        )
        return None if row is None else row.size

    async def find(self, user_id: str, attachment_id: str) -> UploadRow | None:
        """Return a row, whatever its state, or None."""
        return await self._database.fetchrow(UploadRow, _FIND, user_id, attachment_id)

    async def find_finished(self, user_id: str, attachment_id: str) -> FinishedRow | None:
        """Return a file whose bytes are there and checked, or None."""
        return await self._database.fetchrow(FinishedRow, _FIND_FINISHED, user_id, attachment_id)

    async def find_many(self, user_id: str, attachment_ids: Sequence[str]) -> dict[str, UploadRow]:
        """Return the rows that are there by id, but for deleted ones."""
        rows = await self._database.fetch(UploadRow, _FIND_MANY, user_id, list(attachment_ids))
        return {row.id: row for row in rows}

    async def claim(
        self, user_id: str, attachment_id: str, storage_key: str, *, abandoned: float
    ) -> ClaimedRow | None:
        """Begin to upload to ``storage_key``; None if somebody else does or has, or if unknown.

        An upload of which nothing was heard for ``abandoned`` seconds counts as given up;
        ``key_before`` is where that one wrote.
        """
        return await self._database.fetchrow(
            ClaimedRow, _CLAIM, user_id, attachment_id, storage_key, abandoned
        )

    async def touch(self, user_id: str, attachment_id: str, storage_key: str) -> bool:
        """Record that an upload is under way; False if it is over or another one counts."""
        row = await self._database.fetchrow(Found, _TOUCH, user_id, attachment_id, storage_key)
        return row is not None

    async def release(self, user_id: str, attachment_id: str, storage_key: str) -> bool:
        """Give an upload up, so that it can be begun again; False if it is over or another's."""
        row = await self._database.fetchrow(Found, _RELEASE, user_id, attachment_id, storage_key)
        return row is not None

    async def finish(
        self,
        user_id: str,
        attachment_id: str,
        storage_key: str,
        *,
        data: str,
        size: int,
        digest: str,
        sniffed_type: str,
        preview_type: str | None,
    ) -> bool:
        """Record a checked file; False if it was deleted or taken over meanwhile."""
        row = await self._database.fetchrow(
            Found,
            _FINISH,
            user_id,
            attachment_id,
            storage_key,
            data,
            size,
            digest,
            sniffed_type,
            preview_type,
        )
        return row is not None

    async def tombstone(
        self, user_id: str, attachment_id: str, storage_key: str | None = None
    ) -> bool:
        """Mark a file as deleted; False if it was, or does not exist.

        With a ``storage_key`` only if the upload to it is the one that counts.
        """
        row = await self._database.fetchrow(Found, _TOMBSTONE, user_id, attachment_id, storage_key)
        return row is not None

    async def forget(self, user_id: str, attachment_ids: Sequence[str]) -> None:
        """Delete rows of deleted files whose bytes are gone."""
        await self._database.execute(_FORGET, user_id, list(attachment_ids))

    async def list_of_user(self, user_id: str) -> list[UploadRow]:
        """Return all files of a user."""
        return await self._database.fetch(UploadRow, _LIST_OF_USER, user_id)

    async def list_stale(self, *, older_than: float, batch: int) -> list[FileKey]:
        """Mark what nobody finished or sent in ``older_than`` seconds as deleted.

        Returns those files and all that were deleted before.
        """
        return await self._database.fetch_across_owners(
            "janitor", FileKey, _STALE, older_than, batch
        )

    async def forget_across(self, files: Sequence[FileKey]) -> None:
        """Delete the rows of files that ``list_stale`` returned, once their bytes are gone."""
        await self._database.execute_across_owners(
            "janitor", _FORGET_ACROSS, [each.user_id for each in files], [each.id for each in files]
        )
