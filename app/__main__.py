"""The command line: ``python -m app serve | migrate | doctor | try-model | users delete``.

What can go wrong in daily life is one line on stderr: exit code 2 for a bad setting, 1 otherwise.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.db.database_url import DatabaseUrlError
from app.db.embedded import EmbeddedPostgresError, provide_database
from app.db.migrate import MigrationError, check_drift, upgrade
from app.delete_user import delete_user
from app.doctor import examine
from app.serve import StartError, serve
from app.settings import Settings, SettingsError, load_settings
from app.try_model import COST, try_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = _create_parser().parse_args(arguments)
    # SIGTERM ends us the way Ctrl-C does, so that an embedded Postgres is stopped by both.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return given.command(given)
    except (SettingsError, DatabaseUrlError) as error:
        prefix = "DATABASE_URL: " if isinstance(error, DatabaseUrlError) else ""
        return _fail(f"{prefix}{error}", 2)
    except (StartError, EmbeddedPostgresError, MigrationError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return 0  # it was asked to stop, and has stopped


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> Any:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    add("serve", _serve, "start the server (and the embedded Postgres without DATABASE_URL)")
    add("migrate", _migrate, "bring the database to the tables of this version")
    add(
        "check-migrations",
        _check_migrations,
        "compare migrations and models, in a scratch database",
    )
    add("doctor", _doctor, "look whether everything is there that serve needs")
    add("try-model", _try_model, "have a dozen short exchanges with the configured model")
    users = commands.add_parser("users", help="what belongs to a user")
    deleting = users.add_subparsers(required=True, metavar="command").add_parser(
        "delete", help="delete all threads and files of a user, for good"
    )
    deleting.add_argument("user_id", help="as your identity provider names them")
    deleting.set_defaults(command=_delete_user)
    return parser


def _serve(_: argparse.Namespace) -> int:
    serve(load_settings())
    return 0


def _migrate(_: argparse.Namespace) -> int:
    with provide_database(load_settings()) as settings:
        asyncio.run(upgrade(settings))
    _say("the database is migrated")
    return 0


def _check_migrations(_: argparse.Namespace) -> int:
    async def check(settings: Settings) -> None:
        await upgrade(settings)
        await check_drift(settings)

    with tempfile.TemporaryDirectory(prefix="ck-") as scratch:
        given = Settings(data_dir=Path(scratch), database_url=None)
        with provide_database(given) as settings:
            asyncio.run(check(settings))
    _say("migrations and models agree")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    try:
        settings = load_settings()
    except SettingsError as error:
        _say(f"fail  settings: {error}")
        return 1
    healthy = True
    for finding in examine(settings):
        healthy &= finding.ok
        _say(f"{'ok  ' if finding.ok else 'fail'}  {finding.name}: {finding.message}")
    return 0 if healthy else 1


def _try_model(_: argparse.Namespace) -> int:
    settings = load_settings()
    _say(COST)

    async def run() -> bool:
        passed = True
        async for trial, fault in try_model(settings):
            passed &= not fault
            what = f": {fault} (set: {trial.advice})" if fault else ""
            _say(f"{'fail' if fault else 'pass'}  {trial.name}{what}")
        return passed

    return 0 if asyncio.run(run()) else 1


def _delete_user(given: argparse.Namespace) -> int:
    with provide_database(load_settings()) as settings:
        _say(delete_user(settings, given.user_id))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _fail(line: str, code: int) -> int:
    sys.stderr.write(f"error: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
