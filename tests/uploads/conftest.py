"""A user of the uploads without HTTP, and a look at what is stored."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.chatkit.context import RequestContext
from app.db.attachments import AttachmentRepository
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from app.uploads.attachments import UploadStore
from app.uploads.cleanup import UploadCleanup
from app.uploads.file_urls import FileUrls
from app.uploads.limits import UploadLimits
from app.uploads.receiving import IncomingFile
from app.uploads.storage import Storage

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
        rows = await self.repository.of_user(self.context.user_id)
        return {row.id: row.upload_state for row in rows}


MakeRoom = Callable[..., Room]


@pytest.fixture
def make_room(pool: ConnectionPool, tmp_path: Path, user_id: str) -> MakeRoom:
    """Makes rooms; limits can be given."""

    def make(url: str | None = None, **limits: Any) -> Room:
        repository = AttachmentRepository(Database(pool))
        urls = FileUrls(b"secret", upload_ttl=600, view_ttl=600)
        given = {
            "file_bytes": 1_000_000,
            "files": 10,
            "user_bytes": 10_000_000,
            "types": ("image/*", "text/*", "application/pdf"),
            "url_ttl": 600.0,
            "idle_timeout": 600.0,
            **limits,
        }
        storage = Storage(url or (tmp_path / "files").as_uri())
        uploads = UploadStore(repository, storage, urls, UploadLimits(**given))
        context = RequestContext(user_id=user_id, public_url=PUBLIC_URL)
        store = PostgresStore(Database(pool), urls)
        return Room(uploads, store, repository, tmp_path / "files", context)

    return make


@pytest.fixture
def room(make_room: MakeRoom) -> Room:
    return make_room()
