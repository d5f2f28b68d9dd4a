"""Pages of a thread whose answer is still being written."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.items import EndOfTurnItem, ThreadMetadata, now
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore

STORED = ["one", "two"]
PENDING = ["three", "four"]


def item(item_id: str) -> EndOfTurnItem:
    return EndOfTurnItem(id=item_id, thread_id="t", created_at=now())


@pytest.fixture
async def store(engine: AsyncEngine, pool: ConnectionPool, user_id: str) -> PostgresStore:
    """A store with two finished items, and a run with two pending ones."""
    store, context = PostgresStore(Database(pool)), RequestContext(user_id)
    await store.save_thread(ThreadMetadata(id="t", created_at=now()), context)
    for each in STORED:
        await store.add_thread_item("t", item(each), context)
    snapshot = json.dumps([json.loads(item(each).model_dump_json()) for each in PENDING])
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "INSERT INTO runs (user_id, id, thread_id, kind, owner, snapshot)"
                " VALUES (:user, 'r', 't', 'k', 'o', cast(:snapshot AS jsonb))"
            ),
            {"user": user_id, "snapshot": snapshot},
        )
    return store


async def read_pages(store: PostgresStore, user_id: str, limit: int, order: str) -> list[Any]:
    """Return the ids of all pages, following the cursors."""
    ids: list[str] = []
    after = None
    while True:
        page = json.loads(
            await store.chatkit_load_items_json("t", after, limit, order, RequestContext(user_id))
        )
        assert len(page["data"]) == limit or not page["has_more"]
        ids += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            return ids
        after = page["after"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_every_item_comes_once_and_in_order_when_paging_through_unfinished_ones(
    store: PostgresStore, user_id: str, limit: int, order: str
) -> None:
    expected = STORED + PENDING
    expected = expected if order == "asc" else expected[::-1]
    assert await read_pages(store, user_id, limit, order) == expected


async def test_item_comes_once_when_it_was_stored_after_the_snapshot(
    store: PostgresStore, user_id: str
) -> None:
    await store.add_thread_item("t", item("three"), RequestContext(user_id))
    for order in ("asc", "desc"):
        ids = await read_pages(store, user_id, 20, order)
        assert sorted(ids) == sorted(STORED + PENDING)


async def test_cursor_is_not_found_when_it_is_neither_stored_nor_unfinished(
    store: PostgresStore, user_id: str
) -> None:
    with pytest.raises(NotFoundError):
        await store.chatkit_load_items_json("t", "five", 20, "desc", RequestContext(user_id))
