"""Looks whether everything is there that ``serve`` needs, and says what to do where it is not."""

import asyncio
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass

from pydantic import SecretStr

from app.assistant_loading import describe_server, load_assistant
from app.auth.identity import create_identity
from app.db.database import Database
from app.db.database_url import DatabaseUrlError
from app.db.embedded import EmbeddedPostgresError, provide_database
from app.db.pool import create_pool
from app.db.readiness import DatabaseCheck, check_database
from app.db.store import PostgresStore
from app.main import close_server, create_storage, create_uploads
from app.serve import StartError, bind
from app.settings import Settings, SettingsError

NOWHERE = {
    "database_url": SecretStr("postgresql://127.0.0.1:1/none"),
    "storage_url": "memory:///",
    "signing_secret": SecretStr("nothing is signed"),
}
"""Settings for making an assistant that will not serve."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check, in one line."""

    name: str
    ok: bool
    message: str


def examine(settings: Settings) -> Generator[CheckResult]:
    """Yield the findings one by one; no check calls a model, or makes what ``serve`` would not."""
    yield CheckResult("settings", True, f"APP_ENV={settings.app_env}")
    yield _examine_data_dir(settings)
    place = settings.storage.partition("?")[0]  # behind it, credentials may stand
    yield _examine_part("storage", lambda: create_storage(settings), place)
    yield from _examine_database(settings)
    yield _examine_part("identity", lambda: create_identity(settings), settings.identity)
    yield _examine_assistant(settings)
    yield _examine_model(settings)
    yield _examine_port(settings)


def _examine_assistant(settings: Settings) -> CheckResult:
    """Make the assistant as ``serve`` would, on a database that nobody connects to."""
    try:
        name = asyncio.run(_make_assistant(settings))
    except SettingsError as error:
        return CheckResult("assistant", False, str(error))
    return CheckResult("assistant", True, f"{name} answers")


async def _make_assistant(settings: Settings) -> str:
    factory = load_assistant(settings)
    # What is wrong with the places for data is told by other checks.
    nowhere = settings.model_copy(update=NOWHERE)
    pool = create_pool(nowhere)
    try:
        database = Database(pool)
        uploads = create_uploads(nowhere, database)
        server = factory.make(PostgresStore(database, uploads.urls), uploads, settings)
        await close_server(server)
        return describe_server(server)
    finally:
        await pool.close()


def _examine_data_dir(settings: Settings) -> CheckResult:
    directory = settings.data_dir
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return CheckResult("data directory", True, f"{directory} can be written")
    except OSError as error:
        message = f"{directory} cannot be written: {error.strerror} (set DATA_DIR to one that can)"
        return CheckResult("data directory", False, message)


def _examine_part(name: str, make: Callable[[], object], given: str) -> CheckResult:
    """Make a part of the application as ``serve`` would; ``given`` is the setting's value."""
    try:
        make()
    except (SettingsError, OSError) as error:
        return CheckResult(name, False, str(error))
    return CheckResult(name, True, given)


def _examine_database(settings: Settings) -> Generator[CheckResult]:
    try:
        with provide_database(settings) as complete:
            check = asyncio.run(_check(complete))
    except EmbeddedPostgresError as error:
        yield CheckResult("database", False, str(error))
    except DatabaseUrlError as error:
        yield CheckResult("database", False, f"DATABASE_URL: {error}")
    else:
        usable = check.state in ("ok", "not_migrated")
        yield CheckResult("database", usable, "reachable" if usable else check.message)
        if usable:
            yield _examine_migrations(check, settings)


def _examine_migrations(check: DatabaseCheck, settings: Settings) -> CheckResult:
    if check.state != "ok" and settings.uses_embedded_database:
        return CheckResult("migrations", True, "the next start applies them")
    return CheckResult("migrations", check.state == "ok", check.message)


async def _check(settings: Settings) -> DatabaseCheck:
    pool = create_pool(settings)
    try:
        return await check_database(pool)
    finally:
        await pool.close()


def _examine_model(settings: Settings) -> CheckResult:
    if settings.uses_offline_model and not settings.uses_builtin_assistant:
        return CheckResult("model", True, "whatever the assistant brings (OPENAI_API_KEY not set)")
    if settings.uses_offline_model:
        message = "no key, the offline model answers (set OPENAI_API_KEY for a real one)"
        return CheckResult("model", not settings.is_production, message)
    return CheckResult("model", True, settings.openai_base_url or "OPENAI_API_KEY is set")


def _examine_port(settings: Settings) -> CheckResult:
    try:
        with bind(settings.host, settings.port):
            return CheckResult("port", True, f"{settings.host}:{settings.port} is free")
    except StartError as error:
        return CheckResult("port", False, str(error))
