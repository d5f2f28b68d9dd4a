"""The second wall: Postgres itself shows nobody what is not theirs.

Every owner filter of every statement is taken out once, and a stranger then tries everything. With
row-level security nothing is seen or changed; without it the filters alone must hold, and a filter
that is missing must show, or this test would prove nothing.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.sessions import ChatSessions
from app.chatkit.context import RequestContext, RunIdentity, TokenUsage
from app.chatkit.errors import NotFoundError, ThreadBusyError, UnprocessableError
from app.chatkit.protocol.items import ThreadMetadata, UserMessageItem
from app.db.database import Database, Found
from app.db.pool import ConnectionPool, create_pool
from app.db.statements import attachments, items, threads
from app.db.store import PostgresStore, RunLostError
from app.runs import repository
from app.runs.repository import RunRepository
from tests.security.tenants import TABLES, Ids, dump, furnish
from tests.support.databases import settings_for
from tests.support.samples import MOMENT, answer, file

FILTER = re.compile(r"(?:\w+\.)?user_id = \$1")
REFUSALS = (NotFoundError, RunLostError, ThreadBusyError, UnprocessableError, PostgresError)

Attempt = Callable[[], Awaitable[Any]]


@pytest.fixture(scope="module")
async def guarded_pool(database_url: str) -> AsyncIterator[ConnectionPool]:
    """The connections that the application has."""
    pool = create_pool(settings_for(database_url))
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def owner(pool: ConnectionPool) -> str:
    await furnish(pool, "wall_owner")
    return "wall_owner"


def attempts(pool: ConnectionPool, user_id: str, ids: Ids) -> dict[str, Attempt]:
    """Return everything that a user can do to what ``ids`` name."""
    database = Database(pool)
    mine = PostgresStore(database)
    runs = RunRepository(database)
    me = RequestContext(user_id=user_id)
    running = RequestContext(
        user_id=user_id, run=RunIdentity(ids.run, "threads.add_user_message", "rep_stranger")
    )
    thread = ThreadMetadata(id=ids.thread, created_at=MOMENT, title="mine now")
    item = answer(ids.message, "mine now").model_copy(update={"thread_id": ids.thread})
    spoken = UserMessageItem(
        id="msg_mine",
        thread_id=ids.thread,
        created_at=MOMENT,
        content=[],
        inference_options={},  # type: ignore[arg-type]
    )
    attachment = file(ids.attachment)

    def page(visible: bool, order: str) -> Attempt:
        load = mine.chatkit_load_items_json if visible else mine.load_thread_items
        return lambda: load(ids.thread, None, 10, order, me)

    return {
        "load_thread": lambda: mine.load_thread(ids.thread, me),
        "chatkit_begin_turn": lambda: mine.chatkit_begin_turn(ids.thread, running),
        "chatkit_save_thread_changes": lambda: mine.chatkit_save_thread_changes(
            thread, frozenset({"title"}), me
        ),
        "load_threads desc": lambda: mine.load_threads(10, None, "desc", me),
        "load_threads asc": lambda: mine.load_threads(10, None, "asc", me),
        "items asc": page(False, "asc"),
        "items desc": page(False, "desc"),
        "visible items asc": page(True, "asc"),
        "visible items desc": page(True, "desc"),
        "load_item": lambda: mine.load_item(ids.thread, ids.message, me),
        "save_item": lambda: mine.save_item(ids.thread, item, me),
        "save_item of a run": lambda: mine.save_item(ids.thread, item, running),
        "delete_thread_item": lambda: mine.delete_thread_item(ids.thread, ids.message, me),
        "chatkit_delete_items_after": lambda: mine.chatkit_delete_items_after(
            ids.thread, ids.message, me
        ),
        "chatkit_add_user_message": lambda: mine.chatkit_add_user_message(
            thread, spoken, [attachment], me, new_thread=False
        ),
        "chatkit_load_attachments": lambda: mine.chatkit_load_attachments([ids.attachment], me),
        "delete_attachment": lambda: mine.delete_attachment(ids.attachment, me),
        "chatkit_save_feedback": lambda: mine.chatkit_save_feedback(
            ids.thread, [ids.message], "negative", me
        ),
        "find": lambda: runs.find(user_id, ids.run),
        "find_latest": lambda: runs.find_latest(user_id, ids.thread),
        "request_cancel": lambda: runs.request_cancel(user_id, ids.run),
        "request_cancel_of_thread": lambda: runs.request_cancel_of_thread(
            user_id, ids.thread, before="run_z"
        ),
        "finish": lambda: runs.finish(user_id, ids.run, "failed", usage=TokenUsage()),
        "delete_thread": lambda: mine.delete_thread(ids.thread, me),
    }


@pytest.fixture(scope="module")
async def nothing(pool: ConnectionPool) -> dict[str, str]:
    """What everything answers that is tried with ids of nobody."""
    ids = Ids.of("nobody")
    tried = attempts(pool, "wall_nobody", ids)
    return {name: await try_out(attempt, ids) for name, attempt in tried.items()}


async def find_leaks(
    pool: ConnectionPool, plain: AsyncEngine, stranger: str, owner: str, nothing: dict[str, str]
) -> list[str]:
    """Let a stranger try everything; return what showed or changed something of the owner's.

    It shows already if the answer differs from the one for ids that do not exist.
    """
    leaks: list[str] = []
    before = await dump(plain, owner)
    ids = Ids.of(owner)
    for name, attempt in attempts(pool, stranger, ids).items():
        if await try_out(attempt, ids) != nothing[name]:
            leaks.append(f"{name} shows")
    if await dump(plain, owner) != before:
        leaks.append("something changes")
    return leaks


async def try_out(attempt: Attempt, ids: Ids) -> str:
    """Return what came of it, but for the ids in it."""
    try:
        outcome = str(await attempt())
    except REFUSALS as error:
        outcome = type(error).__name__
    for name, value in vars(ids).items():
        outcome = outcome.replace(value, name)
    return outcome


def mutants() -> Iterator[tuple[str, Any, Any, str]]:
    """Yield every statement with one owner filter less: where it is kept, and the new text."""
    places: list[tuple[str, Any, Any, str]] = []
    for module in (threads, items, attachments, repository):
        place = module.__name__.rpartition(".")[2]
        for name, value in vars(module).items():
            if not (name.startswith("_") and name.isupper()):
                continue
            if isinstance(value, str):
                places.append((f"{place}.{name}", module, name, value))
            elif isinstance(value, dict):
                places += [(f"{place}.{name} {key}", value, key, value[key]) for key in value]
    for title, holder, key, sql in places:
        for number, found in enumerate(FILTER.finditer(sql), start=1):
            mutant = f"{sql[: found.start()]}true{sql[found.end() :]}"
            yield f"{title} #{number}", holder, key, mutant


MUTANTS = list(mutants())
TELLING = {
    "threads._LOAD #1",
    "items._LOAD #1",
    "attachments._LOAD #1",
    "threads._SAVE_CHANGES #2",
    "items._DELETE #2",
    "threads._DELETE #3",
    "attachments._DELETE #2",
    "repository._FIND #1",
    "repository._FINISH #1",
}
"""Those that let something out by themselves, without row-level security."""


@contextmanager
def mutated(holder: Any, key: Any, sql: str) -> Iterator[None]:
    """Put the mutant in the statement's place."""
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(holder, dict):
            patch.setitem(holder, key, sql)
        else:
            patch.setattr(holder, key, sql)
        yield


# --- both walls, one at a time -------------------------------------------------------------------


async def test_filters_hold_when_row_level_security_is_off(
    pool: ConnectionPool, engine: AsyncEngine, owner: str, user_id: str, nothing: dict[str, str]
) -> None:
    assert await find_leaks(pool, engine, user_id, owner, nothing) == []


async def test_both_walls_hold_together(
    guarded_pool: ConnectionPool,
    engine: AsyncEngine,
    owner: str,
    user_id: str,
    nothing: dict[str, str],
) -> None:
    assert await find_leaks(guarded_pool, engine, user_id, owner, nothing) == []


@pytest.mark.parametrize(
    ("holder", "key", "sql"), [each[1:] for each in MUTANTS], ids=[each[0] for each in MUTANTS]
)
async def test_row_level_security_holds_when_a_filter_is_missing(
    guarded_pool: ConnectionPool,
    engine: AsyncEngine,
    owner: str,
    user_id: str,
    nothing: dict[str, str],
    holder: Any,
    key: Any,
    sql: str,
) -> None:
    with mutated(holder, key, sql):
        assert await find_leaks(guarded_pool, engine, user_id, owner, nothing) == []


@pytest.mark.parametrize(
    ("holder", "key", "sql"),
    [each[1:] for each in MUTANTS if each[0] in TELLING],
    ids=[each[0] for each in MUTANTS if each[0] in TELLING],
)
async def test_missing_filter_shows_when_row_level_security_is_off(
    pool: ConnectionPool,
    engine: AsyncEngine,
    user_id: str,
    nothing: dict[str, str],
    holder: Any,
    key: Any,
    sql: str,
) -> None:
    victim = f"victim_{user_id}"
    await furnish(pool, victim)
    with mutated(holder, key, sql):
        assert await find_leaks(pool, engine, user_id, victim, nothing)


def test_telling_mutants_exist() -> None:
    assert {each[0] for each in MUTANTS} > TELLING


# --- a developer's own query ---------------------------------------------------------------------


class CountRow(NamedTuple):
    number: int


@pytest.mark.parametrize("table", TABLES)
async def test_own_query_finds_nothing_when_it_forgets_the_owner(
    guarded_pool: ConnectionPool, owner: str, table: str
) -> None:
    assert await guarded_pool.fetch(f"SELECT * FROM {table}", []) == []
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET user_id = 'thief'"):
        assert await guarded_pool.fetch(f"{statement} RETURNING 1", []) == []


async def test_own_query_finds_the_owners_rows_when_it_says_who_asks(
    guarded_pool: ConnectionPool, owner: str, user_id: str
) -> None:
    database = Database(guarded_pool)
    count = "SELECT count(*) AS number FROM threads WHERE $1 <> ''"
    row = await database.fetchrow(CountRow, count, owner)
    other = await database.fetchrow(CountRow, count, user_id)
    assert row is not None
    assert other is not None
    assert (row.number, other.number) == (1, 0)


async def test_owner_is_forgotten_when_the_statement_is_over(
    guarded_pool: ConnectionPool, owner: str
) -> None:
    count = "SELECT count(*) AS number, pg_backend_pid() AS pid FROM threads"
    (said,) = await guarded_pool.fetch(f"WITH me AS (SELECT $1::chatkit_user) {count}", [owner])
    (unsaid,) = await guarded_pool.fetch(count, [])
    assert said.pid == unsaid.pid
    assert (said.number, unsaid.number) == (1, 0)


async def test_rows_cannot_be_given_to_somebody_else(
    guarded_pool: ConnectionPool, owner: str
) -> None:
    with pytest.raises(PostgresError, match="row-level security"):
        await Database(guarded_pool).execute(
            "UPDATE threads SET user_id = 'thief', id = 'thr_x' WHERE user_id = $1", owner
        )


@pytest.mark.parametrize(
    ("scope", "statement"),
    [
        ("janitor", "SELECT 1 FROM threads"),
        ("janitor", "SELECT 1 FROM chat_sessions"),
        ("janitor", "DELETE FROM runs RETURNING 1"),
        ("server_api", "SELECT 1 FROM attachments"),
        ("server_api", "DELETE FROM threads RETURNING 1"),
        ("server_api", "UPDATE thread_items SET hidden = true RETURNING 1"),
        ("sessions", "SELECT 1 FROM threads"),
        ("sessions", "DELETE FROM runs RETURNING 1"),
        ("sessions", "SELECT 1 FROM runs WHERE state <> 'running'"),
        ("sessions", "DELETE FROM chat_sessions WHERE expires_at > now() RETURNING 1"),
        ("janitor", "UPDATE runs SET owner = 'x' WHERE state <> 'running' RETURNING 1"),
        ("janitor", "SELECT 1 FROM thread_items"),
        ("janitor", "DELETE FROM thread_items RETURNING 1"),
        ("janitor", "UPDATE threads SET title = 'x' RETURNING 1"),
        ("server_api", "SELECT 1 FROM runs"),
        ("server_api", "SELECT 1 FROM chat_sessions"),
        ("server_api", "DELETE FROM thread_items RETURNING 1"),
        ("nobody", "SELECT 1 FROM threads"),
    ],
)
async def test_scope_reaches_no_further_than_its_work(
    guarded_pool: ConnectionPool, owner: str, scope: Any, statement: str
) -> None:
    assert await Database(guarded_pool).fetch_across_owners(scope, Found, statement) == []


@pytest.mark.parametrize(
    ("scope", "statement"),
    [
        # Into a thread that nothing ever ran in, another state, somebody else's table.
        (
            "janitor",
            "INSERT INTO thread_items (user_id, thread_id, id, type, hidden, data) "
            "VALUES ('wall_owner', 'thr_quiet', 'msg_x', 'task', false, '{}')",
        ),
        ("janitor", "UPDATE runs SET state = 'completed' WHERE user_id = 'wall_owner'"),
        (
            "server_api",
            "INSERT INTO threads (user_id, id, status) VALUES ('thief', 'thr_x', '{}')",
        ),
        ("sessions", "INSERT INTO runs (user_id, id) VALUES ('thief', 'run_x')"),
    ],
    ids=["cleanup's item", "cleanup's state", "server's thread", "session's run"],
)
async def test_scope_writes_no_more_than_its_work(
    guarded_pool: ConnectionPool, pool: ConnectionPool, owner: str, scope: Any, statement: str
) -> None:
    await Database(pool).execute(
        "INSERT INTO threads (user_id, id, status) VALUES ($1, 'thr_quiet', '{}') "
        "ON CONFLICT DO NOTHING",
        owner,
    )
    with pytest.raises(PostgresError, match="row-level security"):
        await Database(guarded_pool).execute_across_owners(scope, statement)


async def test_cancelled_session_cannot_be_brought_back(
    guarded_pool: ConnectionPool, user_id: str
) -> None:
    database = Database(guarded_pool)
    sessions = ChatSessions(database)
    minted = await sessions.mint(user_id, ttl=600)
    await sessions.cancel(minted.client_secret)
    revive = "UPDATE chat_sessions SET cancelled_at = NULL WHERE id = $1 RETURNING 1"
    assert await database.fetch_across_owners("sessions", Found, revive, minted.id) == []
    assert await sessions.verify(minted.client_secret) is None


async def test_application_is_no_superuser(guarded_pool: ConnectionPool) -> None:
    who = "SELECT rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = current_user"
    assert [row.above for row in await guarded_pool.fetch(who, [])] == [False]
    with pytest.raises(PostgresError, match="must be owner"):
        await guarded_pool.fetch("ALTER TABLE threads DISABLE ROW LEVEL SECURITY", [])


async def test_every_table_with_an_owner_is_behind_the_wall(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind = 'r' AND relrowsecurity AND relforcerowsecurity"
            )
        )
        # A replica has no owner; it is behind the wall all the same.
        assert set(rows.scalars()) == {*TABLES, "replicas"}
