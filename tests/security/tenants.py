"""Two users: one with something of everything, and one who must not see any of it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chatkit.context import RequestContext, RunIdentity
from app.chatkit.protocol.items import StructuredInputFreeform, StructuredInputItem, ThreadMetadata
from app.db.database import Database
from app.db.models import Base
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from tests.support.samples import MOMENT, answer, file

TABLES = [table.name for table in Base.metadata.sorted_tables if "user_id" in table.columns]
OWNED = [name for name in TABLES if name not in ("chat_sessions", "rate_counters")]


@dataclass(frozen=True)
class Ids:
    """What a request can name."""

    thread: str
    message: str
    question: str
    attachment: str
    run: str

    @classmethod
    def of(cls, user_id: str) -> "Ids":
        """Return ids that belong to a user, or to nobody."""
        return cls(*(f"{kind}_{user_id}" for kind in ("thr", "msg", "sti", "atc", "run")))


async def furnish(pool: ConnectionPool, user_id: str) -> Ids:
    """Store one of everything for a user: rows in every table."""
    database = Database(pool)
    store = PostgresStore(database)
    ids = Ids.of(user_id)
    context = RequestContext(user_id=user_id)
    thread = ThreadMetadata(id=ids.thread, created_at=MOMENT, title=f"secret of {user_id}")
    await store.save_thread(thread, context)
    spoken = answer(ids.message, f"secret of {user_id}").model_copy(
        update={"thread_id": ids.thread}
    )
    await store.add_thread_item(ids.thread, spoken, context)
    question = StructuredInputItem(
        id=ids.question,
        thread_id=ids.thread,
        created_at=MOMENT,
        inputs=[StructuredInputFreeform(id="q", question="Well?")],
    )
    await store.add_thread_item(ids.thread, question, context)
    await store.save_attachment(file(ids.attachment), context)
    await store.chatkit_save_feedback(ids.thread, [ids.message], "positive", context)
    # As if another replica were writing; it says so from the future, so nobody ends it.
    context.run = RunIdentity(ids.run, "threads.add_user_message", "rep_elsewhere")
    await store.chatkit_begin_turn(ids.thread, context)
    await database.execute_across_owners(
        "janitor",
        "INSERT INTO replicas (id, heartbeat_at) VALUES ($1, now() + interval '1 day')"
        " ON CONFLICT (id) DO NOTHING",
        "rep_elsewhere",
    )
    return ids


async def dump(engine: AsyncEngine, *user_ids: str, tables: list[str] = OWNED) -> Any:
    """Return every row of these users. ``engine`` must not be a guarded one."""
    found: dict[str, list[str]] = {}
    async with engine.connect() as connection:
        for table in tables:
            rows = await connection.execute(
                text(f"SELECT t::text FROM {table} t WHERE user_id = ANY(:users) ORDER BY 1"),
                {"users": list(user_ids)},
            )
            found[table] = list(rows.scalars())
    return found
