"""The store that other tests rely on."""

import pytest

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.items import EndOfTurnItem, HiddenContextItem, ThreadMetadata, now
from tests.support.memory_store import MemoryStore

ADA = RequestContext(user_id="ada")
BOB = RequestContext(user_id="bob")


def thread(thread_id: str = "thr_1") -> ThreadMetadata:
    return ThreadMetadata(id=thread_id, created_at=now())


def item(item_id: str) -> EndOfTurnItem:
    return EndOfTurnItem(id=item_id, thread_id="thr_1", created_at=now())


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await store.save_thread(thread(), ADA)
    for item_id in ("a", "b", "c"):
        await store.add_thread_item("thr_1", item(item_id), ADA)
    return store


@pytest.mark.parametrize(
    ("after", "limit", "order", "ids", "more"),
    [
        (None, 2, "asc", "ab", True),
        ("b", 2, "asc", "c", False),
        (None, 3, "asc", "abc", False),
        (None, 2, "desc", "cb", True),
        ("b", 1, "desc", "a", False),
        ("c", 9, "asc", "", False),
    ],
)
async def test_pages_of_items(
    store: MemoryStore, after: str | None, limit: int, order: str, ids: str, more: bool
) -> None:
    page = await store.load_thread_items("thr_1", after, limit, order, ADA)
    assert "".join(each.id for each in page.data) == ids
    assert page.has_more is more
    assert page.after == (ids[-1] if more else None)


async def test_pages_of_threads(store: MemoryStore) -> None:
    await store.save_thread(thread("thr_2"), ADA)
    newest = await store.load_threads(1, None, "desc", ADA)
    assert [each.id for each in newest.data] == ["thr_2"]
    assert newest.has_more
    rest = await store.load_threads(1, newest.after, "desc", ADA)
    assert [each.id for each in rest.data] == ["thr_1"]
    assert not rest.has_more


async def test_page_after_an_unknown_item_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError):
        await store.load_thread_items("thr_1", "x", 1, "asc", ADA)


async def test_saved_item_keeps_its_place(store: MemoryStore) -> None:
    hidden = HiddenContextItem(id="b", thread_id="thr_1", created_at=now(), content="new")
    await store.save_item("thr_1", hidden, ADA)
    assert [each.id for each in store.items("thr_1", ADA)] == ["a", "b", "c"]
    assert await store.load_item("thr_1", "b", ADA) == hidden


async def test_what_comes_out_is_a_copy(store: MemoryStore) -> None:
    loaded = await store.load_thread("thr_1", ADA)
    loaded.title = "changed"
    assert (await store.load_thread("thr_1", ADA)).title is None


async def test_only_named_fields_of_a_thread_change(store: MemoryStore) -> None:
    stale = await store.load_thread("thr_1", ADA)
    await store.save_thread(stale.model_copy(update={"title": "renamed"}), ADA)
    stale.metadata = {"a": 1}
    await store.chatkit_save_thread_changes(stale, frozenset({"metadata"}), ADA)
    stored = await store.load_thread("thr_1", ADA)
    assert (stored.title, stored.metadata) == ("renamed", {"a": 1})


async def test_nothing_of_another_user_is_found(store: MemoryStore) -> None:
    for look in (
        store.load_thread("thr_1", BOB),
        store.load_item("thr_1", "a", BOB),
        store.load_thread_items("thr_1", None, 1, "asc", BOB),
        store.delete_thread("thr_1", BOB),
    ):
        with pytest.raises(NotFoundError):
            await look
    assert (await store.load_threads(9, None, "asc", BOB)).data == []


async def test_deleting_an_item_that_is_not_there_is_harmless(store: MemoryStore) -> None:
    await store.delete_thread_item("thr_1", "x", ADA)
    await store.delete_thread_item("thr_1", "a", ADA)
    assert [each.id for each in store.items("thr_1", ADA)] == ["b", "c"]
