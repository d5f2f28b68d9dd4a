"""Migrations: from nothing to the head, by several at once, and in step with the models."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from app.db import migrate
from app.db.migrate import MigrationError
from app.db.pool import create_pool
from app.db.readiness import check_database
from app.db.revisions import load_revisions
from app.settings import Settings
from tests.support.databases import open_engine, settings_for, transaction

REPOSITORY = Path(__file__).resolve().parents[2]


async def state(settings: Settings) -> str:
    pool = create_pool(settings)
    check = await check_database(pool)
    await pool.close()
    return check.state


async def alembic(url: str, *arguments: str) -> None:
    """Run Alembic's own command line in a process."""
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "alembic", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
    )


async def test_tables_are_there_when_an_empty_database_was_migrated_from_anywhere(
    fresh_database_url, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = settings_for(await fresh_database_url(migrated=False))
    assert await state(settings) == "not_migrated"
    await migrate.upgrade(settings)
    assert await state(settings) == "ok"
    await migrate.upgrade(settings)


async def test_all_succeed_when_several_replicas_migrate_at_once(fresh_database_url):
    url = await fresh_database_url(migrated=False)
    await asyncio.gather(*(alembic(url, "upgrade", "head") for _ in range(3)))
    assert await state(settings_for(url)) == "ok"


async def test_models_and_migrations_agree(database_url):
    await migrate.check_drift(settings_for(database_url))


async def test_drift_is_reported_in_one_line_when_a_table_differs_from_its_model(
    fresh_database_url,
):
    url = await fresh_database_url()
    settings, engine = settings_for(url), open_engine(url)
    async with engine.connect() as connection:
        await connection.execute(text("ALTER TABLE threads DROP COLUMN title"))
    await engine.dispose()
    with pytest.raises(MigrationError, match="title") as caught:
        await migrate.check_drift(settings)
    assert "\n" not in str(caught.value)


async def test_a_migration_gives_up_soon_when_a_table_is_locked(fresh_database_url, monkeypatch):
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "100ms")
    url = await fresh_database_url()
    settings, engine = settings_for(url), open_engine(url)
    async with transaction(engine) as connection:
        await connection.execute(text("LOCK TABLE alembic_version"))
        with pytest.raises(MigrationError, match="lock timeout"):
            await migrate.upgrade(settings)
    await engine.dispose()
    await migrate.upgrade(settings)


async def test_the_error_says_where_in_one_line_when_nobody_answers():
    with pytest.raises(MigrationError, match=r"chat on 127\.0\.0\.1:1") as caught:
        await migrate.upgrade(settings_for("postgresql://me:secret@127.0.0.1:1/chat"))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_nothing_is_left_when_alembic_takes_everything_back(fresh_database_url):
    url = await fresh_database_url()
    await alembic(url, "downgrade", "base")
    engine = open_engine(url)
    async with engine.connect() as connection:
        tables = await connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        )
        assert tables.all() == ["alembic_version"]
    await engine.dispose()


def test_migrations_are_one_dated_line_of_revisions():
    files = sorted((REPOSITORY / "migrations" / "versions").glob("*.py"))
    assert len(files) == len(load_revisions().known)
    for file in files:
        year, month, day, revision, *_ = file.name.split("_")
        assert (len(year), len(month), len(day)) == (4, 2, 2), file.name
        assert revision in load_revisions().known
