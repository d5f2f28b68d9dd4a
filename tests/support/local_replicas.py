"""Replicas inside the test's own loop, on real sockets: the test sees both sides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.main import create_app
from app.runs.registry import Runs
from tests.support import assistants
from tests.support.assistants import CountingServer
from tests.support.databases import settings_for
from tests.support.replica import free_port


@dataclass
class LocalReplica:
    """A server in this process."""

    url: str
    app: FastAPI
    uvicorn: uvicorn.Server
    made: list[CountingServer]

    @property
    def assistant(self) -> CountingServer:
        """The replica's assistant, where that is the counting one."""
        return self.made[0]

    @property
    def runs(self) -> Runs:
        return self.app.state.runs

    async def idle(self) -> None:
        """Wait until nothing runs."""
        while self.runs.running:
            await asyncio.sleep(0.01)


StartLocal = Callable[..., Awaitable[LocalReplica]]


@pytest.fixture
async def start_local(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartLocal]:
    """A factory of replicas on the session's database."""
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
    created: list[CountingServer] = []

    def create_assistant(store: Any, *, settings: Any) -> CountingServer:
        created.append(CountingServer(store, settings=settings))
        return created[-1]

    monkeypatch.setattr(assistants, "create_assistant", create_assistant, raising=False)

    async def start(**values: Any) -> LocalReplica:
        port = free_port()
        settings = settings_for(
            database_url,
            data_dir=tmp_path,
            log_level="ERROR",
            database_pool_size=5,
            **(
                {
                    "shutdown_drain": 0,
                    "assistant_server": "tests.support.assistants:create_assistant",
                }
                | values
            ),
        )
        app = create_app(settings)
        server = uvicorn.Server(
            uvicorn.Config(
                app, port=port, lifespan="on", log_config=None, timeout_graceful_shutdown=2
            )
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve())
        servers.append((server, task))
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        return LocalReplica(f"http://127.0.0.1:{port}", app, server, created[-1:])

    yield start
    for server, _ in servers:
        server.should_exit = True
    await asyncio.gather(*(task for _, task in servers))


@dataclass
class ThreadLook:
    """What the database holds of a thread."""

    types: list[str]
    texts: list[str]
    run_states: list[str]


@pytest.fixture
def look(engine: AsyncEngine) -> Callable[[str], Awaitable[ThreadLook]]:
    """Look into the database, past the server."""

    async def look(thread_id: str) -> ThreadLook:
        async with engine.connect() as connection:
            items = await connection.execute(
                text(
                    "SELECT type, data #>> '{content,0,text}' AS text FROM thread_items"
                    " WHERE thread_id = :id ORDER BY seq"
                ),
                {"id": thread_id},
            )
            rows = items.all()
            runs = await connection.execute(
                text("SELECT state FROM runs WHERE thread_id = :id ORDER BY created_at"),
                {"id": thread_id},
            )
            return ThreadLook(
                [row.type for row in rows],
                [row.text for row in rows if row.type == "assistant_message"],
                [row.state for row in runs.all()],
            )

    return look
