"""Client secrets: what opens, what no longer does, and what the table holds of them."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.sessions import ChatSessions
from app.db.database import Database


@pytest.fixture
def sessions(engine: AsyncEngine) -> ChatSessions:
    return ChatSessions(Database(engine))


async def test_secret_opens_its_users_session(sessions: ChatSessions, user_id: str) -> None:
    minted = await sessions.mint(user_id, ttl=60)
    session = await sessions.verify(minted.client_secret)
    assert session is not None
    assert (session.id, session.user_id) == (minted.id, user_id)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + "x", lambda s: s[3:], str.upper]
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
    await sessions.cancel(minted.client_secret)
    await sessions.cancel("ck_unknown")
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
