"""The embedded server: shared, killed, interrupted, and in directories that do not want it."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from sqlalchemy.engine import make_url

from app.db import embedded
from app.db.embedded import EmbeddedPostgres, EmbeddedPostgresError, provide_database
from tests.support.databases import settings_for

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534
HOLD = """
import os, sys
from pathlib import Path
from app.db.embedded import EmbeddedPostgres
for user in map(int, sys.argv[2:]):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.url, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def data_dir(short_tmp_dir: Path) -> Path:
    """A data directory whose cluster all tests that leave it as they found it may use."""
    return short_tmp_dir / "shared"


@pytest.fixture
def empty_dir(short_tmp_dir: Path) -> Path:
    path = short_tmp_dir / uuid.uuid4().hex[:8]
    path.mkdir()
    return path


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A handle on the shared cluster, stopped at the end whatever the test did."""
    server = EmbeddedPostgres(data_dir, durable=False)
    yield server
    server.stop()
    assert postmaster(data_dir) is None


def hold(data_dir: Path, *user: int, **options: Any) -> subprocess.Popen[str]:
    """Start a process (as another user) that uses the cluster until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir), *map(str, user)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def postmaster(data_dir: Path) -> psutil.Process | None:
    """Return the running server, seen from outside."""
    path = data_dir / "postgres" / "postmaster.pid"
    try:
        process = psutil.Process(int(path.read_text().splitlines()[0]))
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None


async def query(url: str, statement: str) -> object:
    where = make_url(url)
    connection = await asyncpg.connect(
        host=where.host or where.query["host"], user=where.username, database=where.database
    )
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def ask(url: str, statement: str = "SELECT 1") -> object:
    return asyncio.run(query(url, statement))


def assert_one_line(error: BaseException) -> None:
    assert str(error)
    assert "\n" not in str(error)


def test_server_answers_with_development_values_when_started(server):
    server.start()
    server.start()
    assert server.url.startswith("postgresql+asyncpg://")
    assert ask(server.url, "SHOW max_connections") == "200"
    assert ask(server.url, "SHOW fsync") == "off"
    assert ask(server.url, "SHOW listen_addresses") == ""
    assert ask(server.url, "SELECT lower('ÄÖ') || (to_char(now(), 'TZ'))") == "äöUTC"


def test_url_and_stop_are_well_defined_when_the_server_was_not_started(data_dir):
    server = EmbeddedPostgres(data_dir)
    server.stop()
    with pytest.raises(EmbeddedPostgresError):
        _ = server.url


def test_data_is_still_there_when_the_server_was_stopped_and_restarted(server):
    server.start()
    ask(server.url, "CREATE TABLE kept AS SELECT 42 AS n")
    server.stop()
    server.start()
    server.restart()
    server.restart("immediate")
    assert ask(server.url, "SELECT n FROM kept") == 42
    ask(server.url, "DROP TABLE kept")


def test_a_stop_leaves_the_server_running_when_another_handle_uses_it(server, data_dir):
    server.start()
    other = EmbeddedPostgres(data_dir)
    other.start()
    assert other.url == server.url
    server.stop()
    assert ask(other.url) == 1
    other.stop()
    assert postmaster(data_dir) is None


def test_a_stop_leaves_the_server_running_when_another_process_uses_it(server, data_dir):
    with hold(data_dir) as holder:
        assert holder.stdout.readline().strip().startswith("postgresql")
        server.start()
        server.stop()
        assert postmaster(data_dir) is not None
        holder.communicate()
    assert holder.returncode == 0
    assert postmaster(data_dir) is None


def test_one_server_runs_when_two_processes_start_it_at_once_on_nothing(empty_dir):
    with hold(empty_dir) as first, hold(empty_dir) as second:
        assert first.stdout.readline() == second.stdout.readline() != ""
        first.communicate()
        assert postmaster(empty_dir) is not None
        second.communicate()
    assert first.returncode == second.returncode == 0
    assert postmaster(empty_dir) is None


def test_the_running_server_is_used_and_later_stopped_when_our_process_was_killed(server, data_dir):
    with hold(data_dir) as holder:
        url = holder.stdout.readline().strip()
        holder.kill()
    orphan = postmaster(data_dir)
    assert orphan is not None
    server.start()
    assert postmaster(data_dir) == orphan
    assert server.url == url
    server.stop()
    assert postmaster(data_dir) is None


def test_a_crash_is_recovered_from_when_the_server_was_killed_too(server, data_dir):
    with hold(data_dir) as holder:
        url = holder.stdout.readline().strip()
        ask(url, "CREATE TABLE survivor AS SELECT 1 AS n")
        holder.kill()
    orphan = postmaster(data_dir)
    orphan.kill()
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    server.start()
    assert ask(server.url, "SELECT n FROM survivor") == 1


@pytest.mark.parametrize(
    "content", ["", "12\n", "{pid}\n{dir}/postgres\n0\n5432\n{dir}\n\n1 2\nready\n"]
)
def test_the_pid_file_is_seen_as_stale_when_it_is_broken_or_its_number_is_another_process(
    server, data_dir, content
):
    server.start()
    server.stop()
    path = data_dir / "postgres" / "postmaster.pid"
    path.write_text(content.format(pid=os.getpid(), dir=data_dir))
    (path.parent / ".s.PGSQL.5432.lock").write_text(path.read_text())
    server.start()
    assert ask(server.url) == 1


def test_the_start_is_repeated_when_the_first_one_was_interrupted(empty_dir):
    draft = empty_dir / "postgres.new"
    draft.mkdir()
    (draft / "half-written").touch()
    (empty_dir / "postgres").mkdir()
    server = EmbeddedPostgres(empty_dir, durable=False)
    server.start()
    assert ask(server.url) == 1
    server.stop()


def test_a_directory_that_is_not_a_cluster_is_left_alone_when_it_has_files(empty_dir):
    (empty_dir / "postgres").mkdir()
    letter = empty_dir / "postgres" / "letter.txt"
    letter.touch()
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres(empty_dir, durable=False).start()
    assert_one_line(caught.value)
    assert letter.exists()


def test_the_error_names_both_versions_when_the_cluster_is_of_another_one(empty_dir):
    (empty_dir / "postgres").mkdir()
    (empty_dir / "postgres" / "PG_VERSION").write_text("13\n")
    with pytest.raises(EmbeddedPostgresError, match=r"Postgres 13.* 18") as caught:
        EmbeddedPostgres(empty_dir).start()
    assert_one_line(caught.value)


def test_the_error_has_the_end_of_the_log_when_the_server_does_not_start(server, data_dir):
    server.start()
    server.stop()
    config = data_dir / "postgres" / "postgresql.conf"
    good = config.read_text()
    config.write_text(f"{good}\nwork_mem = 'enormous'\n")
    with pytest.raises(EmbeddedPostgresError, match="work_mem") as caught:
        server.start()
    config.write_text(good)
    assert_one_line(caught.value)
    server.start()


def test_the_error_says_what_to_do_when_the_data_directory_cannot_be_made(empty_dir):
    (empty_dir / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match="DATA_DIR") as caught:
        EmbeddedPostgres(empty_dir / "file" / "data").start()
    assert_one_line(caught.value)


def test_the_error_says_set_database_url_when_the_wheel_is_not_installed(data_dir, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match="set DATABASE_URL") as caught:
        EmbeddedPostgres(data_dir)
    assert_one_line(caught.value)


def test_waiting_ends_with_an_error_when_another_process_never_finishes(data_dir, monkeypatch):
    monkeypatch.setattr(embedded, "LOCK_TIMEOUT", 0.2)
    data_dir.mkdir(exist_ok=True)
    with embedded.FileLock(data_dir / "postgres.lock") as lock:
        assert lock.acquire_exclusive()
        with pytest.raises(EmbeddedPostgresError, match="another process"):
            EmbeddedPostgres(data_dir).start()


def test_the_socket_is_elsewhere_when_the_path_is_too_long_or_odd(empty_dir):
    server = EmbeddedPostgres(empty_dir / "it's ours" / ("x" * 100), durable=False)
    server.start()
    socket_dir = Path(make_url(server.url).query["host"])
    assert "chatkit-postgres-" in socket_dir.name
    assert socket_dir.stat().st_mode & 0o077 == 0
    assert ask(server.url) == 1
    server.stop()
    socket_dir.rmdir()


def test_a_long_log_is_set_aside_when_the_server_starts(server, data_dir, monkeypatch):
    server.start()
    server.stop()
    monkeypatch.setattr(embedded, "LOG_LIMIT", 10)
    server.start()
    assert (data_dir / "postgres" / "server.log.1").exists()


def test_no_database_is_provided_when_the_settings_name_one(tmp_path):
    settings = settings_for("postgresql://h/db", data_dir=tmp_path)
    with provide_database(settings) as provided:
        assert provided is settings
    assert not list(tmp_path.iterdir())


def test_ctrl_c_does_not_reach_the_server_when_it_reaches_our_process_group(data_dir):
    with hold(data_dir, start_new_session=True) as holder:
        holder.stdout.readline()
        os.killpg(holder.pid, signal.SIGINT)
        holder.wait(timeout=10)
    process = postmaster(data_dir)
    assert process is not None
    server = EmbeddedPostgres(data_dir)
    server.start()
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
class TestAsRoot:
    """Postgres refuses to run as root: it runs as ``pgserver``, which must reach its files."""

    def test_parents_are_opened_for_passing_only_when_they_were_closed(self, empty_dir):
        empty_dir.chmod(0o700)
        server = EmbeddedPostgres(empty_dir / "data", durable=False)
        server.start()
        assert ask(server.url) == 1
        server.stop()
        assert empty_dir.stat().st_mode & 0o777 == 0o701

    def test_the_cluster_keeps_its_owner_when_root_starts_what_somebody_else_made(
        self, empty_dir, server
    ):
        server.start()  # opens the way to the programs
        os.chown(empty_dir, NOBODY, NOBODY)
        with hold(empty_dir, NOBODY) as holder:
            assert holder.stdout.readline()
            assert postmaster(empty_dir).uids().real == NOBODY
            holder.communicate()
        other = EmbeddedPostgres(empty_dir, durable=False)
        other.start()
        assert ask(other.url) == 1
        assert postmaster(empty_dir).uids().real == NOBODY
        other.stop()

    def test_the_error_names_the_owner_when_another_user_starts_roots_cluster(
        self, server, data_dir
    ):
        server.start()
        server.stop()
        data_dir.chmod(0o777)
        for each in data_dir.glob("postgres.*"):
            each.chmod(0o666)
        with hold(data_dir, NOBODY, stderr=subprocess.PIPE) as holder:
            _, errors = holder.communicate()
        assert "belongs to the system user pgserver" in errors
