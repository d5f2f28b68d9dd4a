"""A user of the uploads without HTTP, and a look at what is stored."""

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import (
    InferenceOptions,
    Page,
    Thread,
    UserMessageItem,
    UserMessageTextContent,
    now,
)
from app.db.store import PostgresStore
from app.uploads.attachments import UploadStore
from app.uploads.cleanup import UploadCleanup
from app.uploads.receiving import IncomingFile
from app.uploads.repository import AttachmentRepository

PUBLIC_URL = "http://chat.test"


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the parts of a body."""
    for chunk in chunks:
        yield chunk


def incoming(name: str, mime_type: str, *chunks: bytes) -> IncomingFile:
    """Return a file that is on its way."""
    return IncomingFile(name, mime_type, chunks_of(*chunks))


@dataclass
class Room:
    """Everything that uploads are made of."""

    uploads: UploadStore
    store: PostgresStore
    repository: AttachmentRepository
    files: Path
    context: RequestContext

    def stored(self) -> list[str]:
        """Return whose bytes are stored: an attachment's id, with ``.preview`` for its preview."""
        found = [each for each in self.files.rglob("*") if each.is_file()]
        return sorted(each.parent.name + each.suffix for each in found)

    def cleanup(self, keep: float) -> UploadCleanup:
        return UploadCleanup(self.repository, self.uploads, keep=keep, interval=3600)

    async def states(self) -> dict[str, str]:
        """Return the states of the user's files by id."""
        rows = await self.repository.list_of_user(self.context.user_id)
        return {row.id: row.upload_state for row in rows}


MakeRoom = Callable[..., Room]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (900, 600), "teal").save(buffer, "PNG")
    return buffer.getvalue()


async def send(room: Room, *files: Any, thread_id: str | None = None) -> str:
    """Send a message with these files in a new thread; return the thread's id."""
    thread = Thread(
        id=thread_id or room.store.generate_thread_id(room.context), created_at=now(), items=Page()
    )
    finished = await room.uploads.chatkit_finish_uploads(files, room.context)
    item = UserMessageItem(
        id=room.store.generate_item_id("message", thread, room.context),
        thread_id=thread.id,
        created_at=now(),
        content=[UserMessageTextContent(text="look")],
        attachments=finished,
        inference_options=InferenceOptions(),
    )
    await room.store.chatkit_add_user_message(thread, item, finished, room.context, new_thread=True)
    return thread.id
