"""Attempts to upload a file, of which one counts.

Every attempt writes to a key of its own below the file's folder, and the key in the file's row says
which one counts: an attempt that was given up for dead harms nobody when it comes back to life.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from app.uploads.repository import AttachmentRepository, ClaimedRow
from app.uploads.storage import Storage

PREVIEW_SUFFIX = ".preview"
INCOMING_PREFIX = "incoming/"
"""Where clients put bytes themselves: their URL stays good for a while, so never the place of a
file that was checked."""

RENEWAL = 20.0
"""Seconds between two signs of life of an attempt."""

logger = logging.getLogger(__name__)


def new_key(user_id: str, attachment_id: str) -> str:
    """Return where a new attempt to upload a file writes."""
    return f"{_folder(user_id, attachment_id)}/{secrets.token_hex(8)}"


def incoming_key(user_id: str, attachment_id: str) -> str:
    """Return where a client itself puts a file's bytes."""
    return INCOMING_PREFIX + _folder(user_id, attachment_id)


def _folder(user_id: str, attachment_id: str) -> str:
    """Return below which key everything of a file is."""
    owner = hashlib.sha256(user_id.encode(errors="replace")).hexdigest()[:32]
    return f"{owner}/{attachment_id}"


class UploadAttempts:
    """Begins attempts and cleans up behind them; ``abandoned`` as in ``UploadLimits``."""

    def __init__(
        self, repository: AttachmentRepository, storage: Storage, *, abandoned: float
    ) -> None:
        self._repository = repository
        self._storage = storage
        self._abandoned = abandoned

    async def begin(self, user_id: str, attachment_id: str, key: str) -> ClaimedRow | None:
        """Begin to upload to ``key``; return the file's row, None if there is nothing to begin."""
        row = await self._repository.claim(user_id, attachment_id, key, abandoned=self._abandoned)
        if row is not None and row.key_before not in (None, key):
            try:
                await self._delete(row.key_before)
            except Exception:
                # It goes with the file; the attempt that begins here must not fail with it.
                logger.exception("What an upload left could not be removed")
        return row

    @asynccontextmanager
    async def keep_alive(self, user_id: str, attachment_id: str, key: str) -> AsyncGenerator[None]:
        """Say again and again that the attempt is under way, until it is over or counts no more."""
        over = asyncio.Event()
        renewal = asyncio.create_task(self._renew(user_id, attachment_id, key, over))
        try:
            yield
        finally:
            over.set()
            await renewal

    async def _renew(self, user_id: str, attachment_id: str, key: str, over: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(RENEWAL):
                    await over.wait()
                return
            except TimeoutError:
                pass
            try:
                if not await self._repository.touch(user_id, attachment_id, key):
                    return
            except Exception:
                # The database may be away for a while; the attempt goes on as long as it can.
                logger.exception("An upload could not be renewed")

    async def discard(self, user_id: str, attachment_id: str, key: str) -> None:
        """Remove a file that was refused; where another attempt counts, what this one wrote."""
        if not await self._repository.tombstone(user_id, attachment_id, key):
            await self._delete(key)
            return
        await self.remove_bytes(user_id, attachment_id)
        await self._repository.forget(user_id, [attachment_id])

    async def take_back(self, user_id: str, attachment_id: str, key: str) -> bool:
        """Undo an attempt, so that the file can be sent again; return whether it was the one.

        Where it has come to its end all the same (the answer of the database was lost, say), the
        file stays.
        """
        counts = await self._repository.release(user_id, attachment_id, key)
        if not counts:
            row = await self._repository.find(user_id, attachment_id)
            if row is not None and row.upload_state == "finished" and row.storage_key == key:
                return True
        await self._delete(key)
        return counts

    async def remove_bytes(self, user_id: str, attachment_id: str) -> None:
        """Delete everything that is stored of a file, also by attempts that came to nothing."""
        await self._storage.delete_folder(_folder(user_id, attachment_id))
        if self._storage.presigns:
            await self._storage.delete(incoming_key(user_id, attachment_id))

    async def _delete(self, key: str) -> None:
        await self._storage.delete(key, key + PREVIEW_SUFFIX)
