"""``UploadStore``: files from their announcement to their end.

A file's row is there before its first byte, and every change of its state names the state before,
so whatever dies in the middle leaves a row that the cleanup finds. What is not finished cannot be
sent; what is finished was counted, hashed, looked at, and is of the type that it is recorded as.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from pydantic import AnyUrl

from app.chatkit.context import RequestContext
from app.chatkit.errors import (
    InvalidRequestError,
    NotFoundError,
    ThreadConflictError,
    UnprocessableError,
)
from app.chatkit.protocol.items import (
    Attachment,
    AttachmentUploadDescriptor,
    ImageAttachment,
)
from app.chatkit.protocol.requests import AttachmentCreateParams
from app.chatkit.protocol.serialization import clean_text, dump_wire
from app.chatkit.store import AttachmentContent, AttachmentStore
from app.errors import ForbiddenError, PayloadTooLargeError
from app.uploads.attempts import (
    INCOMING_PREFIX,
    PREVIEW_SUFFIX,
    UploadAttempts,
    incoming_key,
    new_key,
)
from app.uploads.content import bytes_to_read, create_content
from app.uploads.descriptions import FileTypeCheck, StoredFile, describe, load_attachment
from app.uploads.file_urls import FileUrls
from app.uploads.limits import UploadLimits
from app.uploads.previews import create_preview, is_image
from app.uploads.receiving import CheckedBytes, IncomingFile, clean_name, too_large
from app.uploads.repository import AttachmentRepository, UploadRow
from app.uploads.sniffing import clean_type, sniff
from app.uploads.storage import Storage

NO_QUOTA = 2**62

logger = logging.getLogger(__name__)


class UploadStore(AttachmentStore[RequestContext]):
    """The bytes of attachments in a ``Storage``, their states in an ``AttachmentRepository``."""

    def __init__(
        self,
        repository: AttachmentRepository,
        storage: Storage,
        urls: FileUrls,
        limits: UploadLimits,
    ) -> None:
        self.repository = repository
        self.storage = storage
        self.urls = urls
        self.limits = limits
        self.attempts = UploadAttempts(repository, storage, abandoned=limits.abandoned)

    # --- announcing ------------------------------------------------------------------------------

    async def create_attachment(
        self, input: AttachmentCreateParams, context: RequestContext
    ) -> Attachment:
        """Announce a file; its descriptor says where its bytes go.

        Raises ``InvalidRequestError`` for an impossible size, ``PayloadTooLargeError``,
        ``UnprocessableError`` for a type that is not taken or a full quota, ``ForbiddenError``
        where the session has no uploads.
        """
        self._check_session(context)
        if input.size <= 0:
            raise InvalidRequestError("params.size: must be positive", field="params.size")
        limit = self._file_limit(context)
        if input.size > limit:
            raise too_large(limit)
        declared = clean_type(input.mime_type)
        self.limits.check_announced(declared)
        attachment = describe(
            self.generate_attachment_id(declared, context), clean_name(input.name), declared
        )
        await self._add(attachment, context, input.size)
        if self.storage.presigns:
            place = incoming_key(context.user_id, attachment.id)
            url = await self.storage.presign_put(place, self.limits.url_ttl)
            headers = self.storage.put_headers
        else:
            headers = {}
            url = self.urls.make("uploads", context.public_url, context.user_id, attachment.id)
        descriptor = AttachmentUploadDescriptor(url=AnyUrl(url), method="PUT", headers=headers)
        return self._present(attachment, context, upload_descriptor=descriptor)

    async def _add(
        self,
        attachment: Attachment,
        context: RequestContext,
        size: int,
        *,
        least: int | None = None,
        key: str | None = None,
        quota: int | None = None,
    ) -> int:
        """Announce a file, with a ``key`` as being sent; return how large it may be.

        That is ``size`` or, where the quota (by default the user's) leaves less, at least ``least``
        (by default ``size``).
        """
        room = await self.repository.add(
            context.user_id,
            attachment.id,
            data=dump_wire(attachment).decode(),
            size=size,
            least=size if least is None else least,
            storage_key=key,
            state="pending" if key is None else "uploading",
            quota=self.limits.user_bytes if quota is None else quota,
        )
        if room is None:
            raise UnprocessableError(self._full)
        return room

    @property
    def _full(self) -> str:
        return f"Your files may have {self.limits.user_bytes} bytes in all; delete some first"

    # --- receiving -------------------------------------------------------------------------------

    async def receive(self, file: IncomingFile, size: int, context: RequestContext) -> Attachment:
        """Take a file in one request, and return it finished; on failure nothing is left.

        ``size`` is what the request says of its length, or 0.
        """
        self._check_session(context)
        declared = clean_type(file.mime_type)
        attachment = describe(
            self.generate_attachment_id(declared, context), clean_text(file.name), declared
        )
        limit = self._file_limit(context)
        key = new_key(context.user_id, attachment.id)
        # What does not say how long it is may be as long as is allowed.
        wanted, least = (min(size, limit), None) if size else (limit, 1)
        room = await self._add(attachment, context, wanted, least=least, key=key)
        try:
            return await self._store(attachment, key, file.chunks, context, limit=room)
        except BaseException as error:
            await asyncio.shield(self.attempts.discard(context.user_id, attachment.id, key))
            if isinstance(error, PayloadTooLargeError) and room < wanted:
                raise PayloadTooLargeError(self._full) from None
            raise

    async def receive_announced(
        self, attachment_id: str, chunks: AsyncIterator[bytes], context: RequestContext
    ) -> Attachment:
        """Take the bytes of a file that was announced; on failure they can be sent again.

        Raises ``NotFoundError``, or ``ThreadConflictError`` where they were or are being sent.
        """
        key = new_key(context.user_id, attachment_id)
        row = await self.attempts.begin(context.user_id, attachment_id, key)
        if row is None:
            known = await self.repository.find(context.user_id, attachment_id)
            if known is None or known.upload_state == "deleted":
                raise NotFoundError(f"Attachment {attachment_id} not found")
            raise ThreadConflictError("This file was sent already, or is being sent")
        announced = load_attachment(row.data)
        try:
            return await self._store(
                announced, key, chunks, context, limit=row.size, expected=row.size
            )
        except (UnprocessableError, PayloadTooLargeError):
            # These bytes will not do, however often they are sent.
            await asyncio.shield(self.attempts.discard(context.user_id, attachment_id, key))
            raise
        except BaseException as error:
            counted = await asyncio.shield(
                self.attempts.take_back(context.user_id, attachment_id, key)
            )
            if counted or not isinstance(error, Exception):
                raise
            # What was written of it is gone, which the storage may have complained of.
            if await self._is_known(context, attachment_id):
                raise ThreadConflictError("This file was sent once more, which counts") from error
            raise NotFoundError(f"Attachment {attachment_id} was deleted") from error

    async def _is_known(self, context: RequestContext, attachment_id: str) -> bool:
        return bool(await self.repository.find_many(context.user_id, [attachment_id]))

    async def _store(
        self,
        attachment: Attachment,
        key: str,
        chunks: AsyncIterator[bytes],
        context: RequestContext,
        *,
        limit: int,
        expected: int | None = None,
        is_ours: bool = False,
    ) -> Attachment:
        found = FileTypeCheck(attachment, None if is_ours else self.limits)
        checked = CheckedBytes(chunks, limit=limit, check=found.look, expected=expected)
        async with self.attempts.keep_alive(context.user_id, attachment.id, key):
            try:
                await self.storage.write(key, checked.stream())
            except BaseException:
                if checked.error is not None:
                    raise checked.error from None
                raise
            return await self._finish(attachment, key, found.mime_type, checked, context)

    async def _finish(
        self,
        attachment: Attachment,
        key: str,
        mime_type: str,
        checked: CheckedBytes,
        context: RequestContext,
    ) -> Attachment:
        preview_type = None
        if is_image(mime_type):
            async with self.storage.as_file(key) as path:
                preview = await create_preview(path, mime_type)
            await self.storage.write(key + PREVIEW_SUFFIX, _once(preview.data))
            preview_type = preview.mime_type
        finished = describe(attachment.id, attachment.name, mime_type)
        if not await self.repository.finish(
            context.user_id,
            attachment.id,
            key,
            data=dump_wire(finished).decode(),
            size=checked.size,
            digest=checked.digest,
            sniffed_type=mime_type,
            preview_type=preview_type,
        ):
            raise NotFoundError(f"Attachment {attachment.id} was deleted meanwhile")
        return self._present(finished, context)

    # --- sending ---------------------------------------------------------------------------------

    async def chatkit_finish_uploads(
        self, attachments: Sequence[Attachment], context: RequestContext
    ) -> list[Attachment]:
        """Return the files of a message, all of them finished.

        One that was sent to an object store is checked now. Raises ``UnprocessableError`` that
        names a file which is not there or cannot be taken, or where there are too many, and
        ``ForbiddenError`` where the session has no uploads.
        """
        if attachments:
            self._check_session(context)
        most = min(self.limits.files, context.features.max_uploads or self.limits.files)
        if len(attachments) > most:
            raise UnprocessableError(f"A message can have {most} files, not {len(attachments)}")
        rows = await self.repository.find_many(context.user_id, [each.id for each in attachments])
        return [await self._finish_one(each, rows.get(each.id), context) for each in attachments]

    async def _finish_one(
        self, attachment: Attachment, row: UploadRow | None, context: RequestContext
    ) -> Attachment:
        if row is None:
            raise NotFoundError(f"Attachment {attachment.id} not found")
        if row.upload_state == "finished":
            return attachment
        not_there = UnprocessableError(f"The upload of {attachment.name!r} is not finished")
        if not self.storage.presigns:
            raise not_there
        size = await self.storage.head(incoming_key(context.user_id, attachment.id))
        if size is None:
            raise not_there
        key = new_key(context.user_id, attachment.id)
        announced = await self.attempts.begin(context.user_id, attachment.id, key)
        if announced is None:
            raise not_there
        try:
            async with self.attempts.keep_alive(context.user_id, attachment.id, key):
                return await self._check_incoming(attachment, key, size, announced.size, context)
        except (UnprocessableError, PayloadTooLargeError):
            await asyncio.shield(self.attempts.discard(context.user_id, attachment.id, key))
            raise
        except BaseException:
            await asyncio.shield(self.attempts.take_back(context.user_id, attachment.id, key))
            raise

    async def _check_incoming(
        self, attachment: Attachment, key: str, size: int, limit: int, context: RequestContext
    ) -> Attachment:
        """Check what a client has put into the object store, under a key that it cannot write."""
        if size != limit:
            raise UnprocessableError(
                f"{attachment.name!r} has {size} bytes, not {limit} as announced"
            )
        incoming = incoming_key(context.user_id, attachment.id)
        await self.storage.copy(incoming, key)
        found = FileTypeCheck(attachment, self.limits)
        checked = CheckedBytes(self.storage.read(key), limit=limit, check=found.look)
        async for _ in checked.stream():
            pass
        finished = await self._finish(attachment, key, found.mime_type, checked, context)
        try:
            await self.storage.delete(incoming)
        except Exception:
            # The sweep gets it; the file is there.
            logger.exception("A checked upload could not be removed")
        return finished.model_copy(update={"thread_id": attachment.thread_id})

    # --- reading ---------------------------------------------------------------------------------

    async def find_finished(self, user_id: str, attachment_id: str) -> StoredFile | None:
        """Return what is known of a user's finished file, or None."""
        row = await self.repository.find_finished(user_id, attachment_id)
        if row is None:
            return None
        name = load_attachment(row.data).name
        return StoredFile(
            name, row.storage_key, row.sniffed_type, row.size, row.preview_type, row.digest
        )

    # --- deleting --------------------------------------------------------------------------------

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        """Delete a file's bytes; its row goes behind them. Raises ``NotFoundError``."""
        if not await self.repository.tombstone(context.user_id, attachment_id):
            raise NotFoundError(f"Attachment {attachment_id} not found")
        await self.attempts.remove_bytes(context.user_id, attachment_id)

    async def sweep_incoming(self, *, keep: float) -> int:
        """Delete what clients put where nobody looks any more; return how many files that were.

        What is younger than ``keep`` seconds may be of a message that is still being written.
        """
        if not self.storage.presigns:
            return 0
        return await self.storage.sweep(INCOMING_PREFIX, max(keep, 2 * self.limits.url_ttl))

    # --- the assistant ---------------------------------------------------------------------------

    async def chatkit_load_content(
        self, attachment_id: str, context: RequestContext, *, max_bytes: int, max_text_bytes: int
    ) -> AttachmentContent | None:
        """Return what a model can be given of a file; None for what it cannot read."""
        file = await self.find_finished(context.user_id, attachment_id)
        if file is None:
            return None
        needed = bytes_to_read(
            file.mime_type, file.size, max_bytes=max_bytes, max_text_bytes=max_text_bytes
        )
        if needed is None:
            return None
        try:
            chunks = [each async for each in self.storage.read(file.key, 0, needed)]
        except FileNotFoundError:
            logger.warning("A file is gone", extra={"attachment_id": attachment_id})
            return None
        return await create_content(
            file.mime_type,
            b"".join(chunks),
            size=file.size,
            max_bytes=max_bytes,
            max_text_bytes=max_text_bytes,
        )

    async def chatkit_save_generated_image(
        self, data: bytes, context: RequestContext
    ) -> str | None:
        """Keep an image that the assistant made, and return its URL.

        It counts among the user's files, but limits on what users attach do not refuse it.
        """
        mime_type = sniff(data)
        if not is_image(mime_type) or not context.public_url:
            return None
        name = f"image.{mime_type.partition('/')[2]}"
        attachment = describe(self.generate_attachment_id(mime_type, context), name, mime_type)
        key = new_key(context.user_id, attachment.id)
        await self._add(attachment, context, len(data), key=key, quota=NO_QUOTA)
        try:
            await self._store(attachment, key, _once(data), context, limit=len(data), is_ours=True)
        except BaseException:
            await asyncio.shield(self.attempts.discard(context.user_id, attachment.id, key))
            raise
        return self.urls.make("files", context.public_url, context.user_id, attachment.id)

    def chatkit_find_attachment_id(self, url: str) -> str | None:
        """Return the id of the file that a URL of ours leads to."""
        return self.urls.find_attachment_id(url)

    # --- what a file is --------------------------------------------------------------------------

    def _check_session(self, context: RequestContext) -> None:
        if not context.features.uploads:
            raise ForbiddenError("Files cannot be sent in this session")

    def _file_limit(self, context: RequestContext) -> int:
        own = context.features.max_upload_bytes
        return self.limits.file_bytes if own is None else min(own, self.limits.file_bytes)

    def _present(
        self, attachment: Attachment, context: RequestContext, **changes: Any
    ) -> Attachment:
        """Return the attachment as the client gets it."""
        if isinstance(attachment, ImageAttachment):
            url = self.urls.make("previews", context.public_url, context.user_id, attachment.id)
            changes["preview_url"] = AnyUrl(url)
        return attachment.model_copy(update=changes)


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
