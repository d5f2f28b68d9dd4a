"""Pages are bounded in bytes as well as in number, say so, and let others have their turn."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import Page, ThreadItem, ThreadMetadata
from app.chatkit.protocol.page_size import MAX_PAGE_BYTES, PAUSE_BYTES, within_bytes
from app.chatkit.store import Store
from app.db import store as postgres_store
from app.db.database import Database
from app.db.pool import ConnectionPool, Row
from app.db.server_api_threads import Cursor, ServerApiThreads
from app.db.store import PostgresStore
from app.uploads.file_urls import FileUrls
from tests.support.memory_store import MemoryStore
from tests.support.samples import THREAD_ID, answer, base, hidden, question

Context = RequestContext
LARGE = 150_000
"""Characters of an item: seven of them fill a page."""
COUNT = 40


@pytest.fixture
def context(user_id: str) -> Context:
    return Context(user_id=user_id, public_url="https://chat.example")


class OwnCursors(MemoryStore):
    """A store whose cursors are no ids of items."""

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Context
    ) -> Page[ThreadItem]:
        given = None if after is None else after.removeprefix("cursor:")
        page = await super().load_thread_items(thread_id, given, limit, order, context)
        page.after = f"cursor:{page.data[-1].id}" if page.has_more else None
        return page


@pytest.fixture(params=["postgres", "memory", "own cursors"])
def store(request: pytest.FixtureRequest, pool: ConnectionPool) -> Store[Context]:
    match request.param:
        case "memory":
            return MemoryStore()
        case "postgres":
            return PostgresStore(Database(pool))
        case _:
            return OwnCursors()


async def fill(store: Store[Context], context: Context, items: Sequence[ThreadItem]) -> None:
    await store.save_thread(ThreadMetadata(**base(THREAD_ID)), context)
    for item in items:
        await store.add_thread_item(THREAD_ID, item, context)


async def pages(
    store: Store[Context], context: Context, order: str, limit: int = 100
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = None
    while not found or found[-1]["has_more"]:
        data = await store.chatkit_load_items_json(THREAD_ID, after, limit, order, context)
        found.append(json.loads(data) | {"size": len(data)})
        after = found[-1].get("after")
        assert (after is not None) == found[-1]["has_more"]
    return found


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_every_item_comes_once_when_pages_end_early(
    store: Store[Context], context: Context, order: str
) -> None:
    items = [answer(f"msg_{i:02}", "x" * (LARGE if i % 3 else 10)) for i in range(COUNT)]
    await fill(store, context, items)
    found = await pages(store, context, order)
    expected = [each.id for each in items]
    if order == "desc":
        expected.reverse()
    assert [item["id"] for page in found for item in page["data"]] == expected
    if not isinstance(store, OwnCursors):  # which cannot be had for an item within a page
        assert len(found) > 3
        assert all(page["size"] < MAX_PAGE_BYTES + 2 * LARGE for page in found)


async def test_no_page_is_empty_when_one_item_is_too_large_for_it(
    store: Store[Context], context: Context
) -> None:
    huge = "x" * (2 * MAX_PAGE_BYTES)
    items = [answer("a", huge), hidden("b", "y" * LARGE), answer("c", huge), answer("d", "z")]
    await fill(store, context, items)
    found = await pages(store, context, "asc", limit=3)
    assert [item["id"] for page in found for item in page["data"]] == ["a", "c", "d"]
    assert all(page["data"] for page in found)


async def test_database_sends_no_more_than_a_page_when_there_is_more(
    pool: ConnectionPool, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(Database(pool))
    await fill(store, context, [answer(f"msg_{i}", "x" * LARGE) for i in range(COUNT)])
    sent = 0
    fetch = ConnectionPool.fetch

    async def count(self: ConnectionPool, sql: str, args: Sequence[Any]) -> list[Row]:
        nonlocal sent
        rows = await fetch(self, sql, args)
        sent += sum(len(each) for row in rows for each in row.values() if isinstance(each, str))
        return rows

    monkeypatch.setattr(ConnectionPool, "fetch", count)
    await store.chatkit_load_items_json(THREAD_ID, None, 100, "desc", context)
    assert sent < MAX_PAGE_BYTES + 2 * LARGE
    sent = 0
    page = await store.load_thread_items(THREAD_ID, None, 100, "desc", context)
    assert page.has_more
    assert sent < postgres_store.MAX_READ_BYTES + 2 * LARGE
    ids = [each.id async for each in store.chatkit_scan_items(THREAD_ID, context)]
    assert ids == [f"msg_{i}" for i in reversed(range(COUNT))]


async def test_private_data_counts_and_stays_when_items_are_read(
    pool: ConnectionPool, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "MAX_READ_BYTES", 1000)
    store = PostgresStore(Database(pool))
    files = [
        {"type": "file", "id": "a", "name": "n", "mime_type": "m", "metadata": {"k": "v" * 900}}
    ]
    items = [question(f"msg_{i}", "Hi").model_copy(deep=True) for i in range(3)]
    for item in items:
        item.attachments = (
            type(item)
            .model_validate(item.model_dump(mode="json") | {"attachments": files})
            .attachments
        )
    await fill(store, context, items)
    page = await store.load_thread_items(THREAD_ID, None, 100, "asc", context)
    assert (len(page.data), page.has_more, page.after) == (1, True, "msg_0")
    shown = await store.chatkit_load_items_json(THREAD_ID, None, 100, "asc", context)
    assert b"vvv" not in shown
    assert len(json.loads(shown)["data"]) == 3


async def test_threads_come_in_pages_of_bytes(pool: ConnectionPool, context: Context) -> None:
    store = PostgresStore(Database(pool))
    for i in range(20):
        fields = base(f"thr_{i:02}") | {"metadata": {"k": "x" * LARGE}}
        await store.save_thread(ThreadMetadata(**fields), context)
    seen: list[str] = []
    after, more, count = None, True, 0
    while more:
        page = await store.load_threads(100, after, "asc", context)
        seen += [each.id for each in page.data]
        after, more, count = page.after, page.has_more, count + 1
    assert seen == [f"thr_{i:02}" for i in range(20)]
    assert count > 2


async def test_server_api_pages_both_ways_when_they_end_early(
    pool: ConnectionPool, context: Context, user_id: str
) -> None:
    store = PostgresStore(Database(pool))
    thread_id = f"thr_{user_id}"
    await store.save_thread(ThreadMetadata(**base(thread_id)), context)
    for i in range(COUNT):
        item = answer(f"msg_{i:02}", "x" * LARGE).model_copy(update={"thread_id": thread_id})
        await store.add_thread_item(thread_id, item, context)
    links = FileUrls(b"s" * 32, upload_ttl=60, view_ttl=60)
    threads = ServerApiThreads(Database(pool), links)
    expected = [f"msg_{i:02}" for i in range(COUNT)]

    async def read(cursor: Cursor) -> tuple[list[str], bool]:
        page, more = await threads.list_items(
            thread_id, cursor, 100, public_url="https://chat.example"
        )
        assert sum(map(len, page)) < MAX_PAGE_BYTES + 2 * LARGE
        return [json.loads(each)["id"] for each in page], more

    seen, more = await read(Cursor("asc"))
    while more:
        page, more = await read(Cursor("asc", after=seen[-1]))
        seen += page
    assert seen == expected
    seen, more = expected[-1:], True
    while more:
        page, more = await read(Cursor("asc", before=seen[0]))
        assert len(page) < COUNT - 1
        seen = page + seen
    assert seen == expected


async def test_others_have_their_turn_while_a_page_is_put_together(
    store: Store[Context], context: Context
) -> None:
    await fill(store, context, [answer(f"msg_{i}", "x" * LARGE) for i in range(8)])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def during(work: Any) -> int:
        nonlocal turns
        counter = asyncio.create_task(count())
        await asyncio.sleep(0)
        turns = 0
        await work
        counter.cancel()
        return turns

    few = await during(store.chatkit_load_items_json(THREAD_ID, None, 1, "desc", context))
    many = await during(store.chatkit_load_items_json(THREAD_ID, None, 100, "desc", context))
    if isinstance(store, PostgresStore):
        assert many >= MAX_PAGE_BYTES // PAUSE_BYTES  # the database is waited for as well
    else:
        assert many - few >= MAX_PAGE_BYTES // PAUSE_BYTES - 1


def test_first_value_is_there_however_large_it_is() -> None:
    assert list(within_bytes([9, 1, 1], lambda each: each, 5)) == [9]
    assert list(within_bytes([2, 2, 2, 2], lambda each: each, 5)) == [2, 2, 2]
    assert list(within_bytes([], lambda each: each, 5)) == []
