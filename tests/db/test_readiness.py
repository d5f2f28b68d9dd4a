"""Whether the database can be worked with, as ``/readyz``, ``doctor`` and the start see it."""

import pytest

from app.db.pool import create_pool
from app.db.readiness import DatabaseCheck, check_database
from tests.support.databases import database_named, execute, settings_for


async def look(database_url: str) -> DatabaseCheck:
    """Return what is found through a pool of its own."""
    pool = create_pool(settings_for(database_url))
    try:
        return await check_database(pool)
    finally:
        await pool.close()


async def test_check_is_ok_when_the_database_is_migrated(database_url):
    check = await look(database_url)
    assert check.state == "ok", check


async def test_check_says_not_migrated_when_the_database_is_empty(fresh_database_url):
    check = await look(await fresh_database_url(migrated=False))
    assert check.state == "not_migrated"
    assert "python -m app migrate" in check.message


@pytest.mark.parametrize(("revision", "state"), [("from_the_future", "ok"), (None, "not_migrated")])
async def test_check_tells_newer_from_older_when_the_revision_is_not_the_head(
    fresh_database_url, revision, state
):
    url = await fresh_database_url()
    await execute(url, "DELETE FROM alembic_version")
    if revision:
        await execute(url, f"INSERT INTO alembic_version VALUES ('{revision}')")
    check = await look(url)
    assert check.state == state


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:secret@127.0.0.1:1/db", "127.0.0.1"),
        ("postgresql://me:secret@/db?host=/does/not/exist", "No such file"),
    ],
)
async def test_check_says_unreachable_in_one_line_when_nobody_answers(url, reason):
    check = await look(url)
    assert check.state == "unreachable"
    assert reason in check.message
    assert "secret" not in check.message
    assert "\n" not in check.message


async def test_check_says_unreachable_when_the_database_does_not_exist(server_url):
    check = await look(database_named(server_url, "nowhere"))
    assert check.state == "unreachable"
    assert 'database "nowhere" does not exist' in check.message
