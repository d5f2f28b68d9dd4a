"""Server processes that start fast and die at once.

They are forked from a process that has imported everything already, so that killing one of them
costs a fraction of a second instead of several.
"""

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.chatkit.agents.warm_up import warm_up
from app.main import create_app
from app.settings import Settings
from tests.support.replica import free_port

warm_up()

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload([__name__])


def _serve(values: dict[str, Any], port: int, log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    app = create_app(Settings(_env_file=None, **values))  # type: ignore[call-arg]
    uvicorn.run(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=5)


class FaultyReplica:
    """One replica that faults are injected into."""

    def __init__(self, name: str, directory: Path, values: dict[str, Any]) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"{name}.log"
        self.free = asyncio.Lock()
        self._values = values
        self._process: BaseProcess | None = None

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        process = _FORK.Process(
            target=_serve, args=(self._values, self.port, str(self.log)), daemon=True
        )
        await asyncio.to_thread(process.start)
        self._process = process
        async with httpx.AsyncClient() as client:
            for _ in range(600):
                if not process.is_alive():
                    raise RuntimeError(f"{self.name} ended: {self.log.read_text()[-2000:]}")
                try:
                    await client.get(f"{self.url}/healthz", timeout=1)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    return
        raise RuntimeError(f"{self.name} does not answer")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """End the process as a power cut would."""
        if self._process is not None and self._process.is_alive():
            self.send(signal.SIGKILL)
            await asyncio.to_thread(self._process.join)

    async def stop(self) -> None:
        """End the process in good order."""
        if self._process is not None and self._process.is_alive():
            self.send(signal.SIGTERM)
            await asyncio.to_thread(self._process.join, 15)
            await self.kill()
