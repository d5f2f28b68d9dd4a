"""Which rights the application has, by whose it could have: with ordinary and with mighty users."""

import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy.engine import make_url

from app.db import migrate
from app.db.database import Database
from app.db.embedded import EmbeddedPostgres
from app.db.pool import UnguardedUserError, create_pool
from app.db.readiness import check_database
from app.serve import StartError, _prepare_database
from app.settings import Settings
from tests.support.databases import database_named, execute, settings_for

SEEN = "SELECT $1::text AS me, id FROM threads"
WHO = """
SELECT current_user AS name, rolsuper OR rolbypassrls AS above,
  (SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'threads') AS owns
FROM pg_roles WHERE rolname = current_user"""


class SeenRow(NamedTuple):
    me: str
    id: str


MakeUser = Callable[[str], Awaitable[Settings]]


@pytest.fixture
def admin_url(short_tmp_dir: Path) -> Iterator[str]:
    """A server that has no roles of the application, as its superuser."""
    with tempfile.TemporaryDirectory(dir=short_tmp_dir) as directory:
        Path(directory).chmod(0o755)  # Postgres may be another user, who must get into it
        server = EmbeddedPostgres(Path(directory) / "data", durable=False)
        server.start()
        yield server.url
        server.stop()


@pytest.fixture
def make_user(admin_url: str) -> MakeUser:
    """Makes users with such rights, each with a database."""

    async def make(rights: str) -> Settings:
        name = f"user_{uuid.uuid4().hex[:12]}"
        await execute(admin_url, f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {rights}")
        await execute(admin_url, f"CREATE DATABASE {name} OWNER {name}")
        return settings_for(_as_user(database_named(admin_url, name), name))

    return make


def _as_user(url: str, name: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{name}:secret@{rest.rpartition('@')[2]}"


@pytest.mark.parametrize("rights", ["CREATEROLE", "CREATEROLE BYPASSRLS"])
async def test_application_has_a_role_of_its_own_when_its_user_may_make_roles(
    make_user: MakeUser, rights: str
) -> None:
    settings = await make_user(rights)
    await _prepare_database(settings, embedded=True)
    pool = create_pool(settings)
    try:
        (who,) = await pool.fetch(WHO, [])
        assert (who.name, who.above, who.owns) == ("chatkit_app", False, False)
        await _furnish(Database(pool), "ada")
        assert len(await Database(pool).fetch(SeenRow, SEEN, "ada")) == 1
        assert await Database(pool).fetch(SeenRow, SEEN, "eve") == []
    finally:
        await pool.close()


async def test_role_that_somebody_else_made_is_used_by_its_members_alone(
    make_user: MakeUser,
) -> None:
    first = await make_user("CREATEROLE")
    await _prepare_database(first, embedded=True)
    mighty = await make_user("CREATEROLE BYPASSRLS")
    with pytest.raises(StartError, match="member of chatkit_app"):
        await _prepare_database(mighty, embedded=True)
    assert mighty.database_url is not None
    name = make_url(mighty.database_url.get_secret_value()).username
    assert first.database_url is not None
    await execute(first.database_url.get_secret_value(), f"GRANT chatkit_app TO {name}")
    await _prepare_database(mighty, embedded=True)


async def test_ordinary_user_is_held_by_the_policies_on_its_own_tables(
    make_user: MakeUser,
) -> None:
    settings = await make_user("")
    await _prepare_database(settings, embedded=True)
    pool = create_pool(settings)
    try:
        (who,) = await pool.fetch(WHO, [])
        assert (who.above, who.owns) == (False, True)
        await _furnish(Database(pool), "ada")
        assert len(await Database(pool).fetch(SeenRow, SEEN, "ada")) == 1
        assert await Database(pool).fetch(SeenRow, SEEN, "eve") == []
    finally:
        await pool.close()


async def test_nothing_starts_when_the_policies_do_not_hold_for_the_user(
    make_user: MakeUser,
) -> None:
    settings = await make_user("BYPASSRLS")
    await migrate.upgrade(settings)
    with pytest.raises(StartError, match="row-level security"):
        await _prepare_database(settings, embedded=False)
    pool = create_pool(settings)
    try:
        with pytest.raises(UnguardedUserError, match="BYPASSRLS"):
            await pool.fetch("SELECT 1", [])
        assert pool.open_connections == 0
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ("ALTER ROLE {user} BYPASSRLS", "unguarded", "row-level security"),
        ("ALTER ROLE {user} NOLOGIN", "unreachable", "not permitted to log in"),
        ("ALTER TABLE alembic_version OWNER TO CURRENT_USER", "unreachable", "permission denied"),
    ],
)
async def test_replica_is_not_ready_when_its_user_cannot_work_any_more(
    make_user: MakeUser, admin_url: str, change: str, state: str, reason: str
) -> None:
    """Only what serves notices: another user, or another pool, would still be well."""
    settings = await make_user("")
    await _prepare_database(settings, embedded=True)
    pool = create_pool(settings)
    try:
        assert (await check_database(pool)).state == "ok"
        user = (await pool.fetch("SELECT current_user AS name", []))[0].name
        url = database_named(admin_url, user)
        await execute(url, change.format(user=user))
        await execute(
            url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"
        )
        check = await check_database(pool)
        assert check.state == state
        assert reason in check.message
    finally:
        await pool.close()


async def _furnish(database: Database, user_id: str) -> None:
    await database.execute(
        """
INSERT INTO threads (user_id, id, status, metadata, created_at)
VALUES ($1, $2, '{"type": "active"}', '{}', now())""",
        user_id,
        f"thr_{uuid.uuid4().hex}",
    )
