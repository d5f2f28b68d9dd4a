"""Both stores, each with a thread of one user."""

import logging
import uuid
from collections.abc import Iterator

import pytest

from app.chatkit.context import RequestContext
from app.chatkit.store import Store
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from tests.chatkit.store_rooms import Room
from tests.support.memory_store import MemoryStore


@pytest.fixture
def postgres(pool: ConnectionPool) -> PostgresStore:
    return PostgresStore(Database(pool))


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store[RequestContext]:
    if request.param == "memory":
        return MemoryStore()
    return request.getfixturevalue("postgres")


@pytest.fixture
async def room(store: Store[RequestContext]) -> Room:
    room = Room(store, RequestContext(user_id=f"user_{uuid.uuid4().hex}"))
    await room.open()
    return room


@pytest.fixture(autouse=True)
def _warnings_are_logged() -> Iterator[None]:
    """Let warnings be heard, whatever level an application in this process has set before."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    yield
    root.setLevel(level)
