"""Rooms: uploads, a store and a user of their own."""

from pathlib import Path
from typing import Any

import pytest

from app.chatkit.context import RequestContext
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from app.uploads.attachments import UploadStore
from app.uploads.file_urls import FileUrls
from app.uploads.limits import UploadLimits
from app.uploads.repository import AttachmentRepository
from app.uploads.storage import Storage
from tests.uploads.room import PUBLIC_URL, MakeRoom, Room


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
