"""Chat sessions: client secrets that are minted, verified and end.

A secret is ``ck_`` and 256 random bits. Only its SHA-256 is stored: a leaked table opens nothing,
and a hash of something this random needs no salt. The lookup is by that hash, so nothing about a
secret can be learned from how long a comparison takes.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.chatkit.ids import create_id
from app.db.database import Database

SECRET_PREFIX = "ck_"  # noqa: S105 - a prefix, no secret

_MINT = """
INSERT INTO chat_sessions (id, user_id, secret_hash, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT (id) DO NOTHING
RETURNING expires_at"""

_VERIFY = """
SELECT id, user_id, expires_at, configuration FROM chat_sessions
WHERE secret_hash = $1 AND cancelled_at IS NULL AND expires_at > now()"""

_CANCEL = """
UPDATE chat_sessions SET cancelled_at = now() WHERE secret_hash = $1 AND cancelled_at IS NULL"""


@dataclass(frozen=True, slots=True)
class MintedSession:
    """A new session: the only time that its secret is known."""

    id: str
    client_secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ChatSession:
    """A session that a request proved to hold the secret of."""

    id: str
    user_id: str
    expires_at: datetime
    configuration: dict[str, Any]


class ChatSessions:
    """The ``chat_sessions`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mint(self, user_id: str, *, ttl: int) -> MintedSession:
        """Return a new session of ``user_id`` that lives ``ttl`` seconds."""
        session_id = create_id("cks")
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        row = await self._database.row(_MINT, session_id, user_id, hash_secret(secret), float(ttl))
        if row is None:
            raise RuntimeError(f"Session {session_id} could not be stored")
        return MintedSession(session_id, secret, row.expires_at)

    async def verify(self, secret: str) -> ChatSession | None:
        """Return the session of a secret, or None if it is unknown, expired or cancelled."""
        if not secret.startswith(SECRET_PREFIX):
            return None
        row = await self._database.row(_VERIFY, hash_secret(secret))
        if row is None:
            return None
        return ChatSession(row.id, row.user_id, row.expires_at, json.loads(row.configuration))

    async def cancel(self, secret: str) -> None:
        """End the session of a secret; an unknown one is harmless."""
        await self._database.rows(_CANCEL, hash_secret(secret))


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a client secret."""
    return hashlib.sha256(secret.encode()).digest()
