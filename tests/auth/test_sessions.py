"""Client secrets: what opens, what no longer does, and what the table holds of them."""

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.configuration import SessionConfiguration
from app.auth.sessions import ChatSessions
from app.chatkit.context import SessionFeatures
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.errors import RateLimitedError

QUIET = SessionConfiguration(
    chatkit={
        "automatic_thread_titling": {"enabled": False},
        "file_upload": {"enabled": True, "max_file_size": 2, "max_files": 3},
        "history": {"enabled": True, "recent_threads": 4},
    },
    workflow={"id": "default", "state_variables": {"plan": "pro", "seats": 5, "trial": False}},
)


@pytest.fixture
def sessions(pool: ConnectionPool) -> ChatSessions:
    return ChatSessions(Database(pool))


async def run(engine: AsyncEngine, statement: str, **values: Any) -> None:
    """Change the database behind the sessions' back: let time pass, for example."""
    async with engine.connect() as connection:
        await connection.execute(text(statement), values)


async def test_secret_opens_its_users_session(sessions: ChatSessions, user_id: str) -> None:
    minted = await sessions.mint(user_id, ttl=60)
    session = await sessions.verify(minted.client_secret)
    assert session is not None
    assert (session.id, session.user_id) == (minted.id, user_id)
    assert session.features == SessionFeatures()
    assert session.state_variables == {}


@pytest.mark.parametrize(
    "change",
    [lambda s: s[:-1], lambda s: s + "x", lambda s: s[3:], str.upper, lambda s: "ck_\udcff"],
)
async def test_secret_opens_nothing_when_it_was_changed(
    sessions: ChatSessions, user_id: str, change
) -> None:
    minted = await sessions.mint(user_id, ttl=60)
    assert await sessions.verify(change(minted.client_secret)) is None


async def test_secret_opens_nothing_when_it_has_expired(
    sessions: ChatSessions, user_id: str
) -> None:
    minted = await sessions.mint(user_id, ttl=0)
    assert await sessions.verify(minted.client_secret) is None


async def test_secret_opens_nothing_when_it_was_cancelled(
    sessions: ChatSessions, user_id: str
) -> None:
    minted = await sessions.mint(user_id, ttl=60)
    assert await sessions.cancel(minted.client_secret)
    assert not await sessions.cancel(minted.client_secret)
    assert not await sessions.cancel("ck_unknown")
    assert await sessions.verify(minted.client_secret) is None


async def test_secrets_are_not_stored(
    sessions: ChatSessions, engine: AsyncEngine, user_id: str
) -> None:
    minted = await sessions.mint(user_id, ttl=60)
    async with engine.connect() as connection:
        row = await connection.execute(
            text("SELECT chat_sessions::text FROM chat_sessions WHERE user_id = :user"),
            {"user": user_id},
        )
        stored = row.scalar_one()
    assert minted.id in stored
    assert minted.client_secret.removeprefix("ck_") not in stored


# --- exchange ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [60, 0])
async def test_exchange_hands_on_the_configuration_and_retires_the_old_secret(
    sessions: ChatSessions, user_id: str, ttl: int
) -> None:
    old = await sessions.mint(user_id, ttl=ttl, requests=7, configuration=QUIET)
    new = await sessions.mint(user_id, ttl=60, replaces=old.client_secret)
    assert await sessions.verify(old.client_secret) is None
    session = await sessions.verify(new.client_secret)
    assert session is not None
    assert session.state_variables == {"plan": "pro", "seats": 5, "trial": False}
    assert session.features == SessionFeatures(
        automatic_titles=False,
        uploads=True,
        max_uploads=3,
        max_upload_bytes=2 * 1024 * 1024,
        history=True,
        recent_threads=4,
    )
    for _ in range(6):
        await sessions.verify(new.client_secret)
    with pytest.raises(RateLimitedError):
        await sessions.verify(new.client_secret)


async def test_both_new_secrets_keep_the_configuration_when_two_tabs_exchange_the_same_one(
    sessions: ChatSessions, user_id: str
) -> None:
    old = await sessions.mint(user_id, ttl=60, configuration=QUIET)
    minted = await asyncio.gather(
        *(sessions.mint(user_id, ttl=60, replaces=old.client_secret) for _ in range(4))
    )
    for each in minted:
        session = await sessions.verify(each.client_secret)
        assert session is not None
        assert session.features.recent_threads == 4


async def test_exchange_starts_afresh_when_the_old_secret_ended_long_ago(
    pool: ConnectionPool, user_id: str
) -> None:
    sessions = ChatSessions(Database(pool), refresh_grace=0)
    old = await sessions.mint(user_id, ttl=0, configuration=QUIET)
    new = await sessions.mint(user_id, ttl=60, replaces=old.client_secret)
    session = await sessions.verify(new.client_secret)
    assert session is not None
    assert session.features == SessionFeatures()


async def test_exchange_leaves_the_secret_alone_when_it_is_somebody_elses(
    sessions: ChatSessions, user_id: str
) -> None:
    theirs = await sessions.mint(f"other_{user_id}", ttl=60, configuration=QUIET)
    mine = await sessions.mint(user_id, ttl=60, replaces=theirs.client_secret)
    session = await sessions.verify(mine.client_secret)
    assert session is not None
    assert (session.user_id, session.features) == (user_id, SessionFeatures())
    assert await sessions.verify(theirs.client_secret) is not None


async def test_sessions_go_when_they_ended_long_ago(
    sessions: ChatSessions, engine: AsyncEngine, user_id: str
) -> None:
    gone = await sessions.mint(user_id, ttl=60, requests=5)
    await sessions.verify(gone.client_secret)
    await run(
        engine,
        "UPDATE chat_sessions SET expires_at = now() - interval '1 year' WHERE id = :id",
        id=gone.id,
    )
    await sessions.mint(user_id, ttl=60)
    async with engine.connect() as connection:
        for table, column in (("chat_sessions", "id"), ("rate_counters", "scope")):
            found = await connection.execute(
                text(f"SELECT 1 FROM {table} WHERE {column} = :id"), {"id": gone.id}
            )
            assert found.all() == []


# --- limits --------------------------------------------------------------------------------------


async def test_session_is_refused_when_it_asks_too_often_and_heard_again_in_the_next_minute(
    engine: AsyncEngine, pool: ConnectionPool, user_id: str
) -> None:
    sessions = ChatSessions(Database(pool), session_requests=3)
    minted = await sessions.mint(user_id, ttl=60)
    for _ in range(3):
        assert await sessions.verify(minted.client_secret)
    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            await sessions.verify(minted.client_secret)
        assert caught.value.headers is not None
        assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    await run(
        engine, "UPDATE rate_counters SET ends_at = now() WHERE user_id = :user", user=user_id
    )
    assert await sessions.verify(minted.client_secret)


async def test_limit_is_not_renewed_when_the_secret_is_exchanged(
    pool: ConnectionPool, user_id: str
) -> None:
    sessions = ChatSessions(Database(pool))
    minted = await sessions.mint(user_id, ttl=60, requests=3)
    for _ in range(2):
        assert await sessions.verify(minted.client_secret)
    minted = await sessions.mint(user_id, ttl=60, replaces=minted.client_secret)
    assert await sessions.verify(minted.client_secret)
    minted = await sessions.mint(user_id, ttl=60, replaces=minted.client_secret)
    with pytest.raises(RateLimitedError):
        await sessions.verify(minted.client_secret)


async def test_minting_counts_as_a_request_of_the_user(pool: ConnectionPool, user_id: str) -> None:
    sessions = ChatSessions(Database(pool), user_requests=3)
    minted = await sessions.mint(user_id, ttl=60)
    await sessions.count(user_id)
    assert await sessions.verify(minted.client_secret)
    await sessions.count(user_id)
    with pytest.raises(RateLimitedError) as caught:
        await sessions.count(user_id)
    assert caught.value.headers is not None
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    with pytest.raises(RateLimitedError):
        await sessions.verify(minted.client_secret)


async def test_limit_holds_exactly_when_replicas_count_at_the_same_time(
    pool: ConnectionPool, user_id: str
) -> None:
    replicas = [ChatSessions(Database(pool), user_requests=12) for _ in range(3)]
    minted = [await replicas[0].mint(user_id, ttl=60, requests=9) for _ in range(2)]
    answers = await asyncio.gather(
        *(
            replica.verify(each.client_secret)
            for replica in replicas
            for each in minted
            for _ in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 12
    assert all(answer is not None for answer in answers)


async def test_refused_requests_of_a_session_leave_the_users_other_sessions_alone(
    pool: ConnectionPool, user_id: str
) -> None:
    sessions = ChatSessions(Database(pool), user_requests=5)
    noisy = await sessions.mint(user_id, ttl=60, requests=2)
    other = await sessions.mint(user_id, ttl=60)
    for _ in range(10):
        try:
            await sessions.verify(noisy.client_secret)
        except RateLimitedError:
            continue
    for _ in range(3):
        assert await sessions.verify(other.client_secret)
    with pytest.raises(RateLimitedError):
        await sessions.verify(other.client_secret)


async def test_nothing_is_counted_when_there_is_no_limit(
    sessions: ChatSessions, engine: AsyncEngine, user_id: str
) -> None:
    minted = await sessions.mint(user_id, ttl=60)
    await sessions.verify(minted.client_secret)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT 1 FROM rate_counters WHERE user_id = :user"), {"user": user_id}
        )
        assert found.all() == []


# --- the audit log -------------------------------------------------------------------------------


async def test_audit_log_tells_what_happened_without_any_secret(
    pool: ConnectionPool, user_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = ChatSessions(Database(pool), session_requests=1)
    with caplog.at_level(logging.INFO, "audit"):
        first = await sessions.mint(user_id, ttl=60)
        second = await sessions.mint(user_id, ttl=60, replaces=first.client_secret)
        await sessions.verify(second.client_secret)
        with pytest.raises(RateLimitedError):
            await sessions.verify(second.client_secret)
        await sessions.cancel(second.client_secret)
        third = await sessions.mint(user_id, ttl=60, server_key="billing")
        for _ in range(2):  # of which one ends something
            await sessions.cancel_by_id(third.id, server_key="billing")
    lines = [record for record in caplog.records if record.name == "audit"]
    assert [line.getMessage() for line in lines] == [
        "session.minted",
        "session.refreshed",
        "rate_limited",
        "session.cancelled",
        "session.minted",
        "session.cancelled",
    ]
    assert all(vars(line)["user_id"] == user_id for line in lines)
    assert vars(lines[1])["replaces"] == first.id
    assert vars(lines[-1])["server_key"] == "billing"
    told = " ".join(str(vars(line)) for line in lines)
    assert first.client_secret not in told
    assert second.client_secret not in told
