"""The processes of a benchmark: started, spoken to, measured and always ended."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0


class ProcessError(Exception):
    """A process of the benchmark failed; the message holds the end of its log."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time that a process has used, in user and kernel mode."""
    times = process.cpu_times()
    return times.user + times.system


class Server:
    """A server process on a port of its own, in a directory of its own."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        port: int,
        settings: Mapping[str, str],
        root: Path = ROOT,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._log = directory / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=directory,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root), **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.process = psutil.Process(self._process.pid)

    def wait_until_ready(self) -> None:
        """Return as soon as ``/readyz`` says so; raises ``ProcessError``."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ProcessError(f"the server did not start:\n{self.log_end()}")
            with (
                contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5),
            ):
                return
            time.sleep(0.05)

    def log_end(self) -> str:
        """Return the last lines of what the server has logged."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """End the process, by force if it does not end otherwise."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Worker:
    """A process that says ``ready``, starts on demand and prints one line of results."""

    def __init__(self, module: str, argument: str, settings: Mapping[str, str]) -> None:
        self._module = module
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, argument],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.process = psutil.Process(self._process.pid)

    def wait_until_ready(self) -> None:
        """Return as soon as the worker has prepared itself."""
        self._read_line("ready")

    def run(self) -> str:
        """Let the worker run; return its result."""
        if self._process.stdin is None:
            raise ProcessError(f"{self._module} has no input")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read_line()

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read_line(self, expected: str | None = None) -> str:
        # The worker limits its own time: every request of it has a timeout.
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line or (expected is not None and line != expected):
            self._errors.seek(0)
            raise ProcessError(f"{self._module} failed: {line}\n{self._errors.read()[-3000:]}")
        return line
