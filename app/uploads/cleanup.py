"""Removes files that nobody finished or sent, and the bytes of those that were deleted.

Every replica runs one: a batch of rows is locked, and rows that another one holds are passed over.
Bytes go before their row, so whoever dies in between leaves the row for the next one.
"""

import asyncio
import logging

from app.uploads.attachments import UploadStore
from app.uploads.repository import AttachmentRepository, FileKey

BATCH = 100

logger = logging.getLogger(__name__)


class UploadCleanup:
    """Tidies up every ``interval`` seconds what is older than ``keep`` seconds."""

    def __init__(
        self,
        repository: AttachmentRepository,
        uploads: UploadStore,
        *,
        keep: float,
        interval: float,
    ) -> None:
        self._repository = repository
        self._uploads = uploads
        self._keep = keep
        self._interval = interval
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    def start(self) -> None:
        """Begin to tidy up in the background."""
        self._task = asyncio.create_task(self._repeat(), name="uploads-cleanup")

    def wake(self) -> None:
        """Tidy up soon: something was deleted."""
        self._wanted.set()

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def tidy(self) -> int:
        """Remove everything that is to go; return how many files that were."""
        removed = 0
        while files := await self._repository.list_stale(older_than=self._keep, batch=BATCH):
            gone = [each for each in files if await self._remove(each)]
            await self._repository.forget_across(gone)
            removed += len(gone)
            if len(gone) < len(files) or len(files) < BATCH:
                break
        removed += await self._uploads.sweep_incoming(keep=self._keep)
        if removed:
            logger.info("Removed files that were deleted or never sent", extra={"files": removed})
        return removed

    async def _remove(self, file: FileKey) -> bool:
        try:
            await self._uploads.attempts.remove_bytes(file.user_id, file.id)
        except Exception:
            # The storage may be away for a while; the row stays for the next time.
            logger.exception("A file could not be removed", extra={"attachment_id": file.id})
            return False
        return True

    async def _repeat(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self.tidy()
            except Exception:
                # The database may be away for a while.
                logger.exception("Uploads could not be tidied up")
            try:
                async with asyncio.timeout(self._interval):
                    await self._wanted.wait()
            except TimeoutError:
                continue
