"""The store contract, held against every store there is, and what only Postgres promises."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chatkit.context import RequestContext, RunIdentity
from app.chatkit.errors import (
    NotFoundError,
    RunLostError,
    StoreUnavailableError,
    ThreadBusyError,
    UnprocessableError,
)
from app.chatkit.protocol.items import (
    ActiveStatus,
    Attachment,
    ClosedStatus,
    FileAttachment,
    LockedStatus,
    Thread,
    ThreadItem,
    ThreadMetadata,
    is_hidden,
)
from app.chatkit.protocol.items import Page as PageOf
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.store import Store
from app.db.database import Database
from app.db.pool import ConnectionLostError, ConnectionPool
from app.db.statements import items as item_sql
from app.db.statements.fence import Fenced, Written
from app.db.store import PostgresStore
from tests.support.databases import transaction
from tests.support.memory_store import MemoryStore
from tests.support.samples import ITEMS, MOMENT, THREAD_ID, answer, file, hidden, question
from tests.support.standing_world import StandingWorld

Context = RequestContext
AnyStore = Store[RequestContext]
Calls = dict[str, Callable[[], Awaitable[Any]]]

DIRTY, CLEAN = "a\x00b\ud83dc\udc00\x00", "a\ufffdb\ufffdc\ufffd\ufffd"


def thread(thread_id: str = THREAD_ID, **fields: Any) -> ThreadMetadata:
    return ThreadMetadata(id=thread_id, created_at=MOMENT, **fields)


def texts(items: Sequence[ThreadItem]) -> list[str]:
    return [each.content[0].text for each in items if each.type == "assistant_message"]


@pytest.fixture
def context(user_id: str) -> Context:
    return RequestContext(user_id=user_id)


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, engine: AsyncEngine, user_id: str
) -> AsyncIterator[StandingWorld]:
    """Rows that nothing in this file may touch; a test that needs an empty store says so."""
    standing = StandingWorld(engine, user_id, (THREAD_ID, "thr_2", "thr_3"))
    if request.node.get_closest_marker("empty_store") is None:
        await standing.build()
    yield standing
    await standing.check()


@pytest.fixture
def postgres(pool: ConnectionPool, world: StandingWorld) -> PostgresStore:
    return PostgresStore(Database(pool))


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    if request.param == "memory":
        return MemoryStore()
    return request.getfixturevalue("postgres")


async def fill(store: AnyStore, context: Context, *items: ThreadItem) -> None:
    """Store a thread with these items."""
    await store.save_thread(thread(), context)
    for each in items:
        await store.add_thread_item(THREAD_ID, each, context)


async def load_ids(store: AnyStore, context: Context) -> list[str]:
    page = await store.load_thread_items(THREAD_ID, None, 100, "asc", context)
    return [each.id for each in page.data]


async def load_json(store: AnyStore, context: Context, **paging: Any) -> dict[str, Any]:
    after, limit = paging.get("after"), paging.get("limit", 100)
    order = paging.get("order", "asc")
    return json.loads(await store.chatkit_load_items_json(THREAD_ID, after, limit, order, context))


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [ActiveStatus(), LockedStatus(reason="later"), ClosedStatus()])
async def test_thread_comes_back_as_it_was_when_saved(
    store: AnyStore, context: Context, status: Any
) -> None:
    saved = thread(
        title="Ü",
        status=status,
        allowed_image_domains=["example.org"],
        metadata={"a": None, "b": [1, {"c": 2.5}]},
    )
    await store.save_thread(saved, context)
    assert await store.load_thread(THREAD_ID, context) == saved


async def test_thread_is_replaced_when_saved_again(store: AnyStore, context: Context) -> None:
    await store.save_thread(thread(title="old", allowed_image_domains=["a"]), context)
    await store.save_thread(thread(title="new"), context)
    assert await store.load_thread(THREAD_ID, context) == thread(title="new")


async def test_items_are_not_part_of_the_thread_when_one_with_items_is_saved(
    store: AnyStore, context: Context
) -> None:
    whole = Thread(id=THREAD_ID, created_at=MOMENT, items=PageOf(data=[answer("a", "x")]))
    await store.save_thread(whole, context)
    assert type(await store.load_thread(THREAD_ID, context)) is ThreadMetadata
    assert await load_ids(store, context) == []


async def test_only_named_fields_change_when_a_stale_thread_is_saved(
    store: AnyStore, context: Context
) -> None:
    stale = thread(title="stale", metadata={"step": 1}, allowed_image_domains=["stale"])
    await store.save_thread(stale, context)
    await store.save_thread(thread(title="renamed", allowed_image_domains=["new"]), context)
    stale.metadata, stale.status = {"step": 2}, LockedStatus()
    await store.chatkit_save_thread_changes(stale, frozenset({"metadata", "status"}), context)
    assert await store.load_thread(THREAD_ID, context) == thread(
        title="renamed",
        allowed_image_domains=["new"],
        metadata={"step": 2},
        status=LockedStatus(),
    )


@pytest.mark.parametrize("value", [None, []])
async def test_field_is_emptied_when_it_is_named(
    store: AnyStore, context: Context, value: Any
) -> None:
    await store.save_thread(thread(title="t", allowed_image_domains=["a"]), context)
    empty = thread(title=None, allowed_image_domains=value)
    names = frozenset({"title", "allowed_image_domains"})
    await store.chatkit_save_thread_changes(empty, names, context)
    assert await store.load_thread(THREAD_ID, context) == empty


async def test_everything_goes_when_a_thread_is_deleted(store: AnyStore, context: Context) -> None:
    await fill(store, context, answer("a", "x"), answer("b", "y"))
    await store.chatkit_save_feedback(THREAD_ID, ["a"], "positive", context)
    await store.delete_thread(THREAD_ID, context)
    with pytest.raises(NotFoundError):
        await store.load_thread(THREAD_ID, context)
    await store.save_thread(thread(), context)
    assert await load_ids(store, context) == []


# --- items ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
async def test_item_comes_back_as_it_was_when_stored(
    store: AnyStore, context: Context, item: ThreadItem
) -> None:
    await fill(store, context, item)
    assert await store.load_item(THREAD_ID, item.id, context) == item
    page = await store.load_thread_items(THREAD_ID, None, 10, "asc", context)
    assert page.data == [item]


async def test_pages_of_json_are_the_items_as_a_client_sees_them_when_all_kinds_are_stored(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, *ITEMS)
    page = await load_json(store, context)
    parsed = await store.load_thread_items(THREAD_ID, None, 100, "asc", context)
    seen = [each for each in parsed.data if not is_hidden(each)]
    assert page == {"data": [json.loads(dump_wire(each)) for each in seen], "has_more": False}
    assert len(seen) == len(ITEMS) - 3


async def test_order_is_that_of_insertion_when_times_say_otherwise(
    store: AnyStore, context: Context
) -> None:
    items = [answer(each, each) for each in "cadb"]
    assert len({each.created_at for each in items}) == 4
    await fill(store, context, *items)
    assert await load_ids(store, context) == ["c", "a", "d", "b"]
    newest = await store.load_thread_items(THREAD_ID, None, 9, "desc", context)
    assert texts(newest.data) == ["b", "d", "a", "c"]


async def test_item_keeps_its_place_when_saved_again(store: AnyStore, context: Context) -> None:
    await fill(store, context, answer("a", "1"), answer("b", "2"))
    await store.save_item(THREAD_ID, answer("a", "new"), context)
    await store.add_thread_item(THREAD_ID, answer("a", "newer"), context)
    page = await store.load_thread_items(THREAD_ID, None, 9, "asc", context)
    assert texts(page.data) == ["newer", "2"]


async def test_item_is_inserted_when_saved_for_the_first_time(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, answer("a", "1"))
    await store.save_item(THREAD_ID, answer("b", "2"), context)
    assert await load_ids(store, context) == ["a", "b"]


async def test_deleting_is_harmless_when_the_item_is_not_there(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, answer("a", "1"))
    await store.delete_thread_item(THREAD_ID, "x", context)
    assert await load_ids(store, context) == ["a"]


async def test_everything_behind_goes_when_items_after_one_are_deleted(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, *(answer(each, each) for each in "cadb"), hidden("h"))
    await store.save_thread(thread("thr_2"), context)
    await store.add_thread_item("thr_2", answer("b", "x"), context)
    for _ in range(2):
        await store.chatkit_delete_items_after(THREAD_ID, "a", context)
        assert await load_ids(store, context) == ["c", "a"]
    assert (await store.load_item("thr_2", "b", context)).id == "b"


async def test_nothing_goes_when_the_item_to_go_back_to_is_unknown(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, answer("a", "1"), answer("b", "2"))
    with pytest.raises(NotFoundError):
        await store.chatkit_delete_items_after(THREAD_ID, "x", context)
    assert await load_ids(store, context) == ["a", "b"]


async def test_page_of_json_is_full_when_hidden_items_lie_in_between(
    store: AnyStore, context: Context
) -> None:
    names = ["a", "h1", "h2", "b", "h3", "c", "h4", "d", "h5"]
    items = [hidden(each) if each.startswith("h") else answer(each, each) for each in names]
    await fill(store, context, *items)
    first = await load_json(store, context, limit=3)
    assert [each["id"] for each in first["data"]] == ["a", "b", "c"]
    assert (first["has_more"], first["after"]) == (True, "c")
    second = await load_json(store, context, limit=3, after="c")
    assert [each["id"] for each in second["data"]] == ["d"]
    assert second["has_more"] is False
    assert "after" not in second
    newest = await load_json(store, context, limit=1, order="desc")
    assert [each["id"] for each in newest["data"]] == ["d"]
    last = await load_json(store, context, limit=1, order="desc", after="b")
    assert ([each["id"] for each in last["data"]], last["has_more"]) == (["a"], False)


# --- any sequence of writes and pages is what a list would give ----------------------------------

IDS = st.sampled_from("abcdefgh")
WRITES = st.one_of(
    st.tuples(st.sampled_from(["add", "save", "hide"]), IDS),
    st.tuples(st.sampled_from(["remove", "back"]), IDS),
)


async def play(store: AnyStore, context: Context, writes: list[tuple[str, str]]) -> dict[str, Any]:
    """Carry out writes on the store and on a plain dict, which is returned."""
    await store.save_thread(thread(), context)
    model: dict[str, Any] = {}
    for number, (kind, item_id) in enumerate(writes):
        if kind == "remove":
            await store.delete_thread_item(THREAD_ID, item_id, context)
            model.pop(item_id, None)
        elif kind == "back" and item_id in model:
            await store.chatkit_delete_items_after(THREAD_ID, item_id, context)
            kept = list(model)[: list(model).index(item_id) + 1]
            model = {each: model[each] for each in kept}
        elif kind != "back":
            item = hidden(item_id) if kind == "hide" else answer(item_id, str(number))
            write = store.save_item if kind == "save" else store.add_thread_item
            await write(THREAD_ID, item, context)
            model[item_id] = item
    return model


async def walk(
    load: Callable[[str | None], Awaitable[tuple[list[str], bool, str | None]]], limit: int
) -> list[str]:
    """Read page after page to the end, and return all ids."""
    found: list[str] = []
    after: str | None = None
    while True:
        ids, has_more, cursor = await load(after)
        assert len(ids) == limit or not has_more
        found += ids
        if not has_more:
            return found
        assert cursor == ids[-1]
        after = cursor


async def check_pages(
    store: AnyStore, context: Context, writes: list[tuple[str, str]], limit: int, order: str
) -> None:
    model = await play(store, context, writes)
    expected = list(model)[:: -1 if order == "desc" else 1]

    async def load_items(after: str | None) -> tuple[list[str], bool, str | None]:
        page = await store.load_thread_items(THREAD_ID, after, limit, order, context)
        assert all(each == model[each.id] for each in page.data)
        return [each.id for each in page.data], page.has_more, page.after

    async def load_visible(after: str | None) -> tuple[list[str], bool, str | None]:
        page = await load_json(store, context, after=after, limit=limit, order=order)
        assert page["data"] == [json.loads(dump_wire(model[each["id"]])) for each in page["data"]]
        return [each["id"] for each in page["data"]], page["has_more"], page.get("after")

    assert await walk(load_items, limit) == expected
    visible = [each for each in expected if not is_hidden(model[each])]
    assert await walk(load_visible, limit) == visible


pages_are_those_of_a_list = given(
    writes=st.lists(WRITES, max_size=14),
    limit=st.integers(1, 5),
    order=st.sampled_from(["asc", "desc"]),
)


@settings(deadline=None, max_examples=150)
@pages_are_those_of_a_list
async def test_pages_are_those_of_a_list_when_the_store_is_in_memory(
    writes: list[tuple[str, str]], limit: int, order: str
) -> None:
    await check_pages(MemoryStore(), RequestContext(user_id="ada"), writes, limit, order)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pages_are_those_of_a_list
async def test_pages_are_those_of_a_list_when_the_store_is_postgres(
    pool: ConnectionPool, writes: list[tuple[str, str]], limit: int, order: str
) -> None:
    context = RequestContext(user_id=uuid.uuid4().hex)
    await check_pages(PostgresStore(Database(pool)), context, writes, limit, order)


@pytest.mark.empty_store
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 9])
async def test_pages_of_threads_are_those_of_a_list_when_threads_come_and_go(
    store: AnyStore, context: Context, limit: int, order: str
) -> None:
    for name in "cadbe":
        await store.save_thread(thread(name), context)
    await store.save_thread(thread("a", title="again"), context)
    await store.delete_thread("d", context)

    async def load(after: str | None) -> tuple[list[str], bool, str | None]:
        page = await store.load_threads(limit, after, order, context)
        return [each.id for each in page.data], page.has_more, page.after

    expected = list("cabe") if order == "asc" else list("ebac")
    assert await walk(load, limit) == expected


@pytest.mark.empty_store
async def test_page_of_threads_is_empty_when_there_are_none(
    store: AnyStore, context: Context
) -> None:
    page = await store.load_threads(5, None, "desc", context)
    assert (page.data, page.has_more, page.after) == ([], False, None)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    writes=st.lists(WRITES, max_size=10),
    pending=st.lists(IDS, unique=True, max_size=3),
    limit=st.integers(1, 4),
    order=st.sampled_from(["asc", "desc"]),
)
@example([("add", "a"), ("add", "b"), ("add", "c")], ["a"], 1, "desc")
async def test_unfinished_answers_are_the_newest_items_when_one_is_being_written(
    pool: ConnectionPool,
    writes: list[tuple[str, str]],
    pending: list[str],
    limit: int,
    order: str,
) -> None:
    context = RequestContext(user_id=uuid.uuid4().hex)
    store = PostgresStore(Database(pool))
    model = await play(store, context, writes)
    await store.chatkit_begin_turn(THREAD_ID, run_of(context))
    snapshot = [json.loads(dump_wire(answer(each, "so far"))) for each in pending]
    set_snapshot = "UPDATE runs SET snapshot = $2::jsonb WHERE user_id = $1"
    await query(store, set_snapshot, context, json.dumps(snapshot))
    seen = [each for each in model if not is_hidden(model[each])]
    seen += [each for each in pending if each not in model]

    async def load(after: str | None) -> tuple[list[str], bool, str | None]:
        page = await load_json(store, context, after=after, limit=limit, order=order)
        for each in page["data"]:
            if each["id"] not in model:
                assert each == json.loads(dump_wire(answer(each["id"], "so far")))
        return [each["id"] for each in page["data"]], page["has_more"], page.get("after")

    assert await walk(load, limit) == (seen if order == "asc" else seen[::-1])
    await query(store, END_RUN, context, "run_1")
    page = await load_json(store, context)
    assert [each["id"] for each in page["data"]] == [each for each in seen if each in model]


# --- what is not there, or somebody else's -------------------------------------------------------


def looks(store: AnyStore, context: Context) -> Calls:
    """Return every call that names something by id, for the ids that ``fill`` uses."""
    changed = frozenset({"title"})
    return {
        "load_thread": lambda: store.load_thread(THREAD_ID, context),
        "chatkit_begin_turn": lambda: store.chatkit_begin_turn(THREAD_ID, context),
        "chatkit_save_thread_changes": lambda: store.chatkit_save_thread_changes(
            thread(title="x"), changed, context
        ),
        "delete_thread": lambda: store.delete_thread(THREAD_ID, context),
        "load_threads": lambda: store.load_threads(1, THREAD_ID, "asc", context),
        "load_thread_items": lambda: store.load_thread_items(THREAD_ID, None, 1, "asc", context),
        "chatkit_load_items_json": lambda: store.chatkit_load_items_json(
            THREAD_ID, None, 1, "asc", context
        ),
        "load_item": lambda: store.load_item(THREAD_ID, "a", context),
        "add_thread_item": lambda: store.add_thread_item(THREAD_ID, answer("a", "x"), context),
        "save_item": lambda: store.save_item(THREAD_ID, answer("a", "x"), context),
        "chatkit_delete_items_after": lambda: store.chatkit_delete_items_after(
            THREAD_ID, "a", context
        ),
        "chatkit_add_user_message": lambda: store.chatkit_add_user_message(
            thread(), question("q"), [], context, new_thread=False
        ),
        "load_attachment": lambda: store.load_attachment("atc_1", context),
        "chatkit_load_attachments": lambda: store.chatkit_load_attachments(["atc_1"], context),
        "delete_attachment": lambda: store.delete_attachment("atc_1", context),
        "chatkit_save_feedback": lambda: store.chatkit_save_feedback(
            THREAD_ID, ["a"], "positive", context
        ),
    }


async def test_nothing_is_found_when_it_is_somebody_elses(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, answer("a", "mine"))
    await store.save_attachment(file(), context)
    stranger = RequestContext(user_id=f"{context.user_id}_2")
    for name, look in looks(store, stranger).items():
        with pytest.raises(NotFoundError):
            await look()
            pytest.fail(name)
    assert (await store.load_threads(9, None, "asc", stranger)).data == []
    assert await store.load_item(THREAD_ID, "a", context) == answer("a", "mine")
    assert await store.load_attachment("atc_1", context) == file()
    assert await store.load_thread(THREAD_ID, context) == thread()


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_cursor_is_not_found_when_it_is_unknown(
    store: AnyStore, context: Context, order: str
) -> None:
    await fill(store, context, answer("a", "x"))
    for look in (
        store.load_thread_items(THREAD_ID, "x", 1, order, context),
        store.chatkit_load_items_json(THREAD_ID, "x", 1, order, context),
        store.load_threads(1, "x", order, context),
    ):
        with pytest.raises(NotFoundError):
            await look


async def test_nothing_collides_when_two_users_have_the_same_ids(
    store: AnyStore, context: Context
) -> None:
    other = RequestContext(user_id=f"{context.user_id}_2")
    for each, text in ((context, "one"), (other, "two")):
        await store.save_attachment(file().model_copy(update={"name": text}), each)
        await store.chatkit_add_user_message(
            thread(title=text), question("q", text, file()), [file()], each, new_thread=True
        )
        await store.add_thread_item(THREAD_ID, answer("a", text), each)
    for each, text in ((context, "one"), (other, "two")):
        assert (await store.load_thread(THREAD_ID, each)).title == text
        assert await store.load_item(THREAD_ID, "a", each) == answer("a", text)
    await store.delete_thread(THREAD_ID, context)
    assert await load_ids(store, other) == ["q", "a"]


# --- attachments and feedback --------------------------------------------------------------------


async def test_attachment_comes_back_with_its_metadata_when_saved(
    store: AnyStore, context: Context
) -> None:
    await store.save_attachment(file(), context)
    assert await store.load_attachment("atc_1", context) == file()
    changed = file(thread_id="thr_1").model_copy(update={"metadata": None, "name": "b"})
    await store.save_attachment(changed, context)
    assert await store.chatkit_load_attachments(["atc_1"], context) == [changed]
    await store.delete_attachment("atc_1", context)
    with pytest.raises(NotFoundError):
        await store.load_attachment("atc_1", context)


async def test_attachments_come_in_the_order_asked_for_when_there_are_several(
    store: AnyStore, context: Context
) -> None:
    for each in "abc":
        await store.save_attachment(file(each), context)
    loaded = await store.chatkit_load_attachments(["c", "a", "b"], context)
    assert [each.id for each in loaded] == ["c", "a", "b"]
    assert await store.chatkit_load_attachments([], context) == []
    with pytest.raises(NotFoundError):
        await store.chatkit_load_attachments(["a", "x"], context)


async def test_attachment_metadata_stays_on_the_server_when_a_page_is_read(
    store: AnyStore, context: Context
) -> None:
    await store.save_attachment(file(), context)
    item = question("q", "Look", file(thread_id=THREAD_ID))
    await store.chatkit_add_user_message(thread(), item, item.attachments, context, new_thread=True)
    page = await store.chatkit_load_items_json(THREAD_ID, None, 9, "asc", context)
    assert b"secret" not in page
    assert b"metadata" not in page
    loaded = await store.load_item(THREAD_ID, "q", context)
    assert loaded == item
    bound = await store.load_attachment("atc_1", context)
    assert (bound.thread_id, bound.metadata) == (THREAD_ID, file().metadata)


async def test_thread_message_and_binding_are_there_when_a_thread_begins(
    store: AnyStore, context: Context
) -> None:
    files = [file("a"), file("b")]
    for each in files:
        await store.save_attachment(each, context)
    bound = [each.model_copy(update={"thread_id": THREAD_ID}) for each in files]
    new = thread(title="t", metadata={"a": 1})
    await store.chatkit_add_user_message(
        new, question("q", "x", *bound), bound, context, new_thread=True
    )
    assert await store.load_thread(THREAD_ID, context) == new
    assert await load_ids(store, context) == ["q"]
    assert await store.chatkit_load_attachments(["a", "b"], context) == bound


async def test_mark_is_the_next_calls_when_the_one_that_claimed_it_never_went_on(
    postgres: PostgresStore, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(postgres, context, answer("a", "x"))
    cut = run_of(context, "run_cut")
    await postgres.chatkit_begin_turn(THREAD_ID, cut)
    write = postgres._write

    async def lose_the_second_step(statement: Fenced[Written], *args: Any, **kwargs: Any) -> bool:
        if statement.sql == item_sql._SAVE:
            raise StoreUnavailableError("cut")
        return await write(statement, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(postgres, "_write", lose_the_second_step)
        with pytest.raises(StoreUnavailableError):
            await postgres.chatkit_mark_once(THREAD_ID, "key", cut)
    # While that run goes on, the mark is its own; once it has ended, it is free, and only once.
    assert not await postgres.chatkit_mark_once(THREAD_ID, "key", context)
    await query(postgres, END_RUN, context, "run_cut")
    assert await postgres.chatkit_mark_once(THREAD_ID, "key", context)
    assert not await postgres.chatkit_mark_once(THREAD_ID, "key", context)


async def test_mark_is_ones_own_when_the_reply_to_its_first_step_was_lost(
    postgres: PostgresStore, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(postgres, context, answer("a", "x"))
    fetch = postgres._database._pool.fetch
    lost: list[str] = []

    async def lose_replies(statement: str, args: Any) -> Any:
        rows = await fetch(statement, args)
        if statement not in lost:
            lost.append(statement)
            raise ConnectionLostError("cut behind the write")
        return rows

    monkeypatch.setattr(postgres._database._pool, "fetch", lose_replies)
    assert await postgres.chatkit_mark_once(THREAD_ID, "key", context)
    assert len(lost) == 2


async def test_mark_is_left_once_and_stays_when_items_are_deleted(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, answer("a", "x"))
    assert await store.chatkit_mark_once(THREAD_ID, "key", context)
    assert not await store.chatkit_mark_once(THREAD_ID, "key", context)
    await store.add_thread_item(THREAD_ID, answer("b", "y"), context)
    await store.chatkit_delete_items_after(THREAD_ID, "a", context)
    assert not await store.chatkit_mark_once(THREAD_ID, "key", context)
    page = await load_json(store, context)
    assert [each["id"] for each in page["data"]] == ["a"]
    await store.chatkit_remove_mark(THREAD_ID, "key", context)
    assert await load_ids(store, context) == ["a"]
    assert await store.chatkit_mark_once(THREAD_ID, "key", context)
    with pytest.raises(NotFoundError):
        await store.chatkit_mark_once("thr_unknown", "key", context)


@pytest.mark.parametrize("kind", ["positive", "negative"])
async def test_feedback_is_kept_when_items_are_the_callers(
    store: AnyStore, context: Context, kind: Any
) -> None:
    await fill(store, context, answer("a", "x"), answer("b", "y"))
    await store.chatkit_save_feedback(THREAD_ID, ["a", "b", "a"], "positive", context)
    await store.chatkit_save_feedback(THREAD_ID, ["a"], kind, context)
    assert await load_feedback(store, context) == {"a": kind, "b": "positive"}


async def test_no_feedback_is_kept_when_one_item_is_unknown(
    store: AnyStore, context: Context
) -> None:
    await fill(store, context, answer("a", "x"))
    with pytest.raises(NotFoundError):
        await store.chatkit_save_feedback(THREAD_ID, ["a", "x"], "positive", context)
    with pytest.raises(NotFoundError):
        await store.chatkit_save_feedback("thr_unknown", [], "positive", context)
    await store.chatkit_save_feedback(THREAD_ID, [], "positive", context)
    assert await load_feedback(store, context) == {}


async def load_feedback(store: AnyStore, context: Context) -> dict[str, str]:
    if isinstance(store, MemoryStore):
        feedback = store.rooms[context.user_id].feedback
        return {item_id: kind for (_, item_id), kind in feedback.items()}
    assert isinstance(store, PostgresStore)
    rows = await query(
        store,
        "SELECT item_id, kind FROM feedback WHERE user_id = $1 AND thread_id NOT LIKE 'wld%'",
        context,
    )
    return {row.item_id: row.kind for row in rows}


# --- only Postgres -------------------------------------------------------------------------------


async def query(store: PostgresStore, sql: str, context: Context, *values: Any) -> Sequence[Any]:
    return await store._database._pool.fetch(sql, [context.user_id, *values])


def run_of(context: Context, run_id: str = "run_1") -> Context:
    """Return the context of a run of the same user."""
    identity = RunIdentity(id=run_id, kind="threads.add_user_message", replica="replica_1")
    return RequestContext(user_id=context.user_id, run=identity)


AS_OWNER = "WITH owner AS (SELECT $1::chatkit_user)"
END_RUN = f"{AS_OWNER} UPDATE runs SET state = 'interrupted' WHERE user_id = $1 AND id = $2"


async def run_states(store: PostgresStore, context: Context) -> dict[str, str]:
    rows = await query(
        store, "SELECT id, state FROM runs WHERE user_id = $1 AND id NOT LIKE 'wld%'", context
    )
    return {row.id: row.state for row in rows}


async def test_attachment_is_refused_when_it_is_of_another_thread(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context)
    await postgres.save_attachment(file("free"), context)
    await postgres.save_attachment(file("taken", "thr_2"), context)
    files: list[Attachment] = [file("free"), file("taken")]
    for new_thread, name in ((False, THREAD_ID), (True, "thr_3")):
        with pytest.raises(UnprocessableError):
            await postgres.chatkit_add_user_message(
                thread(name), question("q"), files, context, new_thread=new_thread
            )
    with pytest.raises(UnprocessableError):
        await postgres.chatkit_add_user_message(
            thread(), question("q"), [file("unknown")], context, new_thread=False
        )
    assert await load_ids(postgres, context) == []
    assert (await postgres.load_attachment("free", context)).thread_id is None
    assert (await postgres.load_attachment("taken", context)).thread_id == "thr_2"
    with pytest.raises(NotFoundError):
        await postgres.load_thread("thr_3", context)


async def test_attachment_goes_to_one_thread_when_two_send_it_at_once(
    postgres: PostgresStore, context: Context
) -> None:
    names = ["thr_1", "thr_2", "thr_3", "thr_4"]
    for name in names:
        await postgres.save_thread(thread(name), context)
    for each in "ab":
        await postgres.save_attachment(file(each), context)
    files = [[file("a"), file("b")], [file("b"), file("a")]]
    results = await asyncio.gather(
        *(
            postgres.chatkit_add_user_message(
                thread(name), question("q"), files[number % 2], context, new_thread=False
            )
            for number, name in enumerate(names)
        ),
        return_exceptions=True,
    )
    won = [name for name, result in zip(names, results, strict=True) if result is None]
    assert len(won) == 1
    assert sum(isinstance(each, UnprocessableError) for each in results) == 3
    bound = await postgres.chatkit_load_attachments(["a", "b"], context)
    assert {each.thread_id for each in bound} == {won[0]}


async def test_attachments_of_a_thread_go_when_it_is_deleted(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context)
    await postgres.save_attachment(file("mine", THREAD_ID), context)
    await postgres.save_attachment(file("other"), context)
    await postgres.delete_thread(THREAD_ID, context)
    with pytest.raises(NotFoundError):
        await postgres.load_attachment("mine", context)
    assert (await postgres.load_attachment("other", context)).id == "other"


async def test_turn_is_claimed_once_when_two_runs_want_the_thread(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context)
    first, second = run_of(context), run_of(context, "run_2")
    assert await postgres.chatkit_begin_turn(THREAD_ID, first) == thread()
    with pytest.raises(ThreadBusyError):
        await postgres.chatkit_begin_turn(THREAD_ID, second)
    assert await postgres.chatkit_begin_turn(THREAD_ID, first) == thread()
    assert await run_states(postgres, context) == {"run_1": "running"}
    await query(postgres, END_RUN, context, "run_1")
    assert await postgres.chatkit_begin_turn(THREAD_ID, second) == thread()
    with pytest.raises(ThreadBusyError):
        await postgres.chatkit_begin_turn(THREAD_ID, first)


async def test_one_run_claims_the_turn_when_many_try_at_once(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context)
    results = await asyncio.gather(
        *(
            postgres.chatkit_begin_turn(THREAD_ID, run_of(context, f"run_{each}"))
            for each in range(5)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, ThreadMetadata) for each in results) == 1
    assert sum(isinstance(each, ThreadBusyError) for each in results) == 4


async def test_nothing_is_claimed_when_the_thread_is_unknown(
    postgres: PostgresStore, context: Context
) -> None:
    with pytest.raises(NotFoundError):
        await postgres.chatkit_begin_turn(THREAD_ID, run_of(context))
    assert await run_states(postgres, context) == {}


async def test_run_begins_with_its_thread_when_the_thread_is_new(
    postgres: PostgresStore, context: Context
) -> None:
    run = run_of(context)
    for _ in range(2):  # a statement may be sent twice, where a connection broke
        await postgres.chatkit_add_user_message(thread(), question("q"), [], run, new_thread=True)
    assert await run_states(postgres, context) == {"run_1": "running"}
    assert await load_ids(postgres, context) == ["q"]
    with pytest.raises(ThreadBusyError):
        await postgres.chatkit_begin_turn(THREAD_ID, run_of(context, "run_2"))


async def test_pages_and_a_deleted_thread_are_as_ever_when_a_run_reads(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context, answer("a", "x"))
    run = run_of(context)
    await postgres.chatkit_begin_turn(THREAD_ID, run)
    await query(postgres, END_RUN, context, "run_1")
    assert await load_ids(postgres, run) == ["a"]


def writes(store: AnyStore, context: Context) -> Calls:
    """Return every call that writes, for what ``fill`` stores."""
    return {
        "save_thread": lambda: store.save_thread(thread(title="x"), context),
        "chatkit_save_thread_changes": lambda: store.chatkit_save_thread_changes(
            thread(title="x"), frozenset({"title"}), context
        ),
        "add_thread_item": lambda: store.add_thread_item(THREAD_ID, answer("b", "new"), context),
        "save_item": lambda: store.save_item(THREAD_ID, answer("a", "new"), context),
        "delete_thread_item": lambda: store.delete_thread_item(THREAD_ID, "a", context),
        "chatkit_delete_items_after": lambda: store.chatkit_delete_items_after(
            THREAD_ID, "first", context
        ),
        "chatkit_add_user_message": lambda: store.chatkit_add_user_message(
            thread(), question("q"), [file()], context, new_thread=False
        ),
        "add_user_message_to_a_new_thread": lambda: store.chatkit_add_user_message(
            thread("thr_2"), question("q"), [file()], context, new_thread=True
        ),
        "save_attachment": lambda: store.save_attachment(file("atc_2"), context),
        "chatkit_save_feedback": lambda: store.chatkit_save_feedback(
            THREAD_ID, ["a"], "positive", context
        ),
        "chatkit_mark_once": lambda: store.chatkit_mark_once(THREAD_ID, "key", context),
        "chatkit_remove_mark": lambda: store.chatkit_remove_mark(THREAD_ID, "key", context),
        "delete_attachment": lambda: store.delete_attachment("atc_1", context),
        "delete_thread": lambda: store.delete_thread(THREAD_ID, context),
    }


async def look_at_everything(store: PostgresStore, context: Context) -> list[Any]:
    tables = ("threads", "thread_items", "attachments", "feedback", "runs")
    found: list[Any] = []
    for table in tables:
        own = "row_to_json(t)::text NOT LIKE '%wld#_%' ESCAPE '#'"
        sql = f"SELECT row_to_json(t)::text FROM {table} t WHERE user_id = $1 AND {own} ORDER BY 1"
        found.append([row[0] for row in await query(store, sql, context)])
    return found


async def test_nothing_is_written_when_the_run_is_lost(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context, question("first"), answer("a", "old"))
    await postgres.save_attachment(file(), context)
    run = run_of(context)
    await postgres.chatkit_begin_turn(THREAD_ID, run)
    await query(postgres, END_RUN, context, "run_1")
    before = await look_at_everything(postgres, context)
    for name, write in writes(postgres, run).items():
        with pytest.raises(RunLostError):
            await write()
            pytest.fail(name)
    assert await look_at_everything(postgres, context) == before


async def test_nothing_is_written_when_the_run_was_never_claimed(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context, question("first"), answer("a", "old"))
    await postgres.save_attachment(file(), context)
    before = await look_at_everything(postgres, context)
    for name, write in writes(postgres, run_of(context)).items():
        if name == "add_user_message_to_a_new_thread":
            continue  # this one claims its thread
        with pytest.raises(RunLostError):
            await write()
            pytest.fail(name)
    assert await look_at_everything(postgres, context) == before


async def test_everything_is_written_when_the_run_holds_its_thread(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context, question("first"), answer("a", "old"))
    await postgres.save_attachment(file(), context)
    run = run_of(context)
    await postgres.chatkit_begin_turn(THREAD_ID, run)
    calls = writes(postgres, run)
    del calls["add_user_message_to_a_new_thread"]  # the run has another thread
    before = await look_at_everything(postgres, context)
    for name in sorted(calls, key=lambda each: each != "chatkit_save_feedback"):
        await calls[name]()
        after = await look_at_everything(postgres, context)
        assert after != before or name == "chatkit_delete_items_after", name
        before = after
    found = await look_at_everything(postgres, context)
    assert [len(rows) for rows in found] == [0, 0, 1, 0, 0]


async def race(
    engine: AsyncEngine, context: Context, first: str, value: str, second: Awaitable[Any]
) -> Any:
    """Run ``first`` in a transaction that ends when ``second`` waits for it."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1"
    database = engine.url.database
    async with transaction(engine) as connection:
        await connection.exec_driver_sql(f"{AS_OWNER} {first}", (context.user_id, value))
        task = asyncio.ensure_future(second)
        while not (await connection.exec_driver_sql(waiting, (database,))).all():
            assert not task.done()
            await connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
    return await task


async def test_nothing_is_written_when_a_takeover_is_under_way(
    postgres: PostgresStore, context: Context, engine: AsyncEngine
) -> None:
    await fill(postgres, context)
    run = run_of(context)
    await postgres.chatkit_begin_turn(THREAD_ID, run)
    take_over = "UPDATE runs SET state = 'interrupted' WHERE user_id = $1 AND id = $2"
    write = postgres.add_thread_item(THREAD_ID, answer("a", "late"), run)
    with pytest.raises(RunLostError):
        await race(engine, context, take_over, "run_1", write)
    assert await load_ids(postgres, context) == []


async def test_attachment_is_refused_when_another_message_is_taking_it(
    postgres: PostgresStore, context: Context, engine: AsyncEngine
) -> None:
    await fill(postgres, context)
    await postgres.save_attachment(file("a"), context)
    bind = "UPDATE attachments SET thread_id = 'thr_2' WHERE user_id = $1 AND id = $2"
    write = postgres.chatkit_add_user_message(
        thread(), question("q"), [file("a")], context, new_thread=False
    )
    with pytest.raises(UnprocessableError):
        await race(engine, context, bind, "a", write)
    assert await load_ids(postgres, context) == []


async def test_thread_is_not_found_when_it_is_being_deleted(
    postgres: PostgresStore, context: Context, engine: AsyncEngine
) -> None:
    delete = "DELETE FROM threads WHERE user_id = $1 AND id = $2"
    for use in (
        lambda: postgres.chatkit_begin_turn(THREAD_ID, run_of(context)),
        lambda: postgres.add_thread_item(THREAD_ID, answer("a", "x"), context),
        lambda: postgres.chatkit_add_user_message(
            thread(), question("q"), [], context, new_thread=False
        ),
    ):
        await fill(postgres, context)
        with pytest.raises(NotFoundError):
            await race(engine, context, delete, THREAD_ID, use())


async def test_feedback_is_refused_when_the_item_is_hidden(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context, hidden("h"))
    with pytest.raises(NotFoundError):
        await postgres.chatkit_save_feedback(THREAD_ID, ["h"], "positive", context)


@pytest.fixture
def statements(pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are sent from here on."""
    sent: list[str] = []
    fetch = pool.fetch

    async def note(statement: str, args: Any) -> Any:
        sent.append(statement)
        return await fetch(statement, args)

    monkeypatch.setattr(pool, "fetch", note)
    return sent


async def test_store_makes_one_round_trip_when_it_is_called(
    postgres: PostgresStore, context: Context, statements: list[str]
) -> None:
    await fill(postgres, context, question("first"), answer("a", "x"))
    await postgres.save_attachment(file(), context)
    run = run_of(context)
    calls: Calls = {
        "chatkit_begin_turn of a run": lambda: postgres.chatkit_begin_turn(THREAD_ID, run),
        "write of a run": lambda: postgres.add_thread_item(THREAD_ID, answer("r", "x"), run),
    }
    for name, call in looks(postgres, context).items():
        if not name.startswith("delete"):
            calls[name] = call
    for name, call in writes(postgres, context).items():
        calls[f"write: {name}"] = call
    for name, call in calls.items():
        statements.clear()
        with suppress(NotFoundError, UnprocessableError):  # another call took it away
            await call()
        # A mark is claimed, and then begun: a lost reply must not leave it to nobody.
        expected = 2 if name.endswith("chatkit_mark_once") else 1
        assert len(statements) == expected, name


# --- text that neither Postgres nor JSON can hold ------------------------------------------------


async def test_text_is_cleaned_when_it_holds_nul_and_lone_surrogates(
    postgres: PostgresStore, context: Context
) -> None:
    await postgres.save_thread(thread(title=DIRTY, metadata={DIRTY: [DIRTY]}), context)
    loaded = await postgres.load_thread(THREAD_ID, context)
    assert loaded == thread(title=CLEAN, metadata={CLEAN: [CLEAN]})
    await postgres.chatkit_save_thread_changes(
        thread(status=LockedStatus(reason=DIRTY), allowed_image_domains=[DIRTY]),
        frozenset({"status", "allowed_image_domains"}),
        context,
    )
    loaded = await postgres.load_thread(THREAD_ID, context)
    assert loaded.status == LockedStatus(reason=CLEAN)
    assert loaded.allowed_image_domains == [CLEAN]


async def test_items_are_cleaned_when_they_hold_nul_and_lone_surrogates(
    postgres: PostgresStore, context: Context
) -> None:
    dirty_file = FileAttachment(
        id=f"{DIRTY}1", name=DIRTY, mime_type=DIRTY, metadata={DIRTY: DIRTY}
    )
    await postgres.save_attachment(dirty_file, context)
    message = question(f"{DIRTY}2", DIRTY, dirty_file)
    await postgres.chatkit_add_user_message(
        thread(), message, [dirty_file], context, new_thread=True
    )
    call = ITEMS[2].model_copy(
        update={"id": f"{DIRTY}3", "output": {DIRTY: [DIRTY]}, "arguments": {DIRTY: DIRTY}}
    )
    await postgres.add_thread_item(THREAD_ID, call, context)
    await postgres.add_thread_item(THREAD_ID, hidden(f"{DIRTY}4", {DIRTY: (DIRTY,)}), context)

    clean_file = FileAttachment(
        id=f"{CLEAN}1",
        name=CLEAN,
        mime_type=CLEAN,
        metadata={CLEAN: CLEAN},
        thread_id=THREAD_ID,
    )
    assert await postgres.chatkit_load_attachments([f"{DIRTY}1"], context) == [clean_file]
    loaded = await postgres.load_item(THREAD_ID, f"{DIRTY}2", context)
    unbound = clean_file.model_copy(update={"thread_id": None})
    assert loaded.model_dump() == question(f"{CLEAN}2", CLEAN, unbound).model_dump() | {
        "created_at": message.created_at
    }
    loaded = await postgres.load_item(THREAD_ID, f"{CLEAN}3", context)
    assert (loaded.output, loaded.arguments) == ({CLEAN: [CLEAN]}, {CLEAN: CLEAN})  # type: ignore[union-attr]
    loaded = await postgres.load_item(THREAD_ID, f"{CLEAN}4", context)
    assert loaded.content == {CLEAN: [CLEAN]}  # type: ignore[union-attr]
    page = await load_json(postgres, context)
    assert [each["id"] for each in page["data"]] == [f"{CLEAN}2", f"{CLEAN}3"]


async def test_nothing_is_found_when_ids_hold_nul_and_lone_surrogates(
    postgres: PostgresStore, context: Context
) -> None:
    await fill(postgres, context)
    for look in (
        postgres.load_thread(DIRTY, context),
        postgres.chatkit_begin_turn(DIRTY, run_of(context)),
        postgres.load_item(THREAD_ID, DIRTY, context),
        postgres.chatkit_load_items_json(THREAD_ID, DIRTY, 1, "asc", context),
        postgres.chatkit_load_attachments([DIRTY], context),
        postgres.chatkit_save_feedback(THREAD_ID, [DIRTY], "positive", context),
        postgres.delete_thread(DIRTY, context),
    ):
        with pytest.raises(NotFoundError):
            await look


async def test_numbers_are_kept_or_null_when_json_has_no_such_numbers(
    postgres: PostgresStore, context: Context
) -> None:
    odd = {"nan": float("nan"), "inf": float("inf"), "big": 10**40, "small": 1e-7}
    kept = {"nan": None, "inf": None, "big": 10**40, "small": 1e-7}
    await postgres.save_thread(thread(metadata=odd), context)
    assert (await postgres.load_thread(THREAD_ID, context)).metadata == kept
    await postgres.add_thread_item(THREAD_ID, hidden("h", odd), context)
    assert await postgres.load_item(THREAD_ID, "h", context) == hidden("h", kept)


async def test_megabytes_are_kept_when_a_text_is_that_long(
    postgres: PostgresStore, context: Context
) -> None:
    long = "ä" * 1_000_000
    await postgres.save_thread(thread(title=long), context)
    await postgres.add_thread_item(THREAD_ID, answer("a", long), context)
    assert (await postgres.load_thread(THREAD_ID, context)).title == long
    assert texts([await postgres.load_item(THREAD_ID, "a", context)]) == [long]
    with pytest.raises(NotFoundError):
        await postgres.load_item(THREAD_ID, long, context)
