"""A real server as a process, and a client that speaks to it as a page does."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 120.0
"""For how long a process may take to start or to end, in seconds: a machine may be busy."""


# The kernel takes none of these for outgoing connections, which would be in the way at times.
_PORTS = random.sample(range(20_000, 32_000), 12_000)


def free_port() -> int:
    """Return a port that nobody uses, and that was not returned before."""
    while True:
        port = _PORTS.pop()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Return whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Replica:
    """One server process on a free port."""

    def __init__(self, database_url: str | None, directory: Path, **settings: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "PORT": str(self.port),
            "DATA_DIR": str(directory / "data"),
            "LOG_FORMAT": "json",
            **({"DATABASE_URL": database_url} if database_url else {}),
            **{name.upper(): str(value) for name, value in settings.items()},
        }

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return self._log_path.read_text()

    @property
    def _log_path(self) -> Path:
        return self._directory / f"server-{self.port}.log"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    async def start(self) -> "Replica":
        """Start the process and wait until it is ready."""
        path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=self._directory,
                env=path | self._settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        async with httpx.AsyncClient() as client:
            while True:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the server ended:\n{self.log}")
                try:
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return self
                except httpx.TransportError:
                    pass
                if asyncio.get_running_loop().time() > deadline:
                    raise RuntimeError(f"the server did not get ready:\n{self.log}")
                await asyncio.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    async def wait(self, seconds: float = START_TIMEOUT) -> int:
        """Wait for the process to end; return its exit code."""
        return await asyncio.to_thread(self.process.wait, seconds)

    async def kill(self) -> None:
        """End the process as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            await self.wait()

    async def stop(self) -> int:
        """End the process as Ctrl-C would; return its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
        return await self.wait()


class Page:
    """A page with an identity of its own: mints a secret, sends requests, reads streams."""

    def __init__(self, url: str) -> None:
        self.client = httpx.AsyncClient(base_url=url, timeout=120)
        self.secret = ""

    async def __aenter__(self) -> "Page":
        await self.mint()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def mint(self) -> None:
        """Get a client secret."""
        response = await self.client.post("/api/chatkit/session", json={})
        response.raise_for_status()
        self.secret = response.json()["client_secret"]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an authenticated request."""
        return {"Authorization": f"Bearer {self.secret}"}

    async def ask(self, kind: str, **params: Any) -> Any:
        """Send a request that is answered with JSON; return the answer."""
        response = await self.client.post(
            "/chatkit", json={"type": kind, "params": params}, headers=self.headers
        )
        response.raise_for_status()
        return response.json()

    @asynccontextmanager
    async def open(
        self, kind: str, headers: dict[str, str] | None = None, **params: Any
    ) -> AsyncIterator["EventStream"]:
        """Send a streaming request; gives its events as they come."""
        async with self.client.stream(
            "POST",
            "/chatkit",
            json={"type": kind, "params": params},
            headers=self.headers | (headers or {}),
        ) as response:
            if response.status_code != 200:
                await response.aread()
            response.raise_for_status()
            yield EventStream(response)

    async def stream(self, kind: str, **params: Any) -> list[dict[str, Any]]:
        """Send a streaming request; return all of its events."""
        async with self.open(kind, **params) as events:
            return [event async for event in events]

    async def create(self, text: str) -> list[dict[str, Any]]:
        """Start a thread with a message; return all events."""
        return await self.stream("threads.create", input=message(text))


class EventStream:
    """The events of a stream; ``ids`` are the frame ids seen so far."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.ids: list[str] = []
        self._lines = response.aiter_lines()

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self._events()

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        async for line in self._lines:
            if line.startswith("id: "):
                self.ids.append(line.removeprefix("id: "))
            elif line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def message(text: str) -> dict[str, Any]:
    """Return a user message as the page sends it."""
    return {
        "content": [{"type": "input_text", "text": text}],
        "attachments": [],
        "inference_options": {},
    }


def answer_text(events: list[dict[str, Any]]) -> str:
    """Return the text of the last assistant message in a list of events or items."""
    items = [event.get("item", event) for event in events]
    texts = [
        "".join(part["text"] for part in item["content"])
        for item in items
        if item.get("type") == "assistant_message"
    ]
    return texts[-1] if texts else ""
