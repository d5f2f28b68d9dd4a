"""What knowing the caller costs: ``python -m benchmarks.authentication``.

A ``threads.list`` of 20 threads is asked of the application in this process, with its sessions and
limits and with a session that is simply there; and the statement behind it is run by the role that
row-level security holds for and by a superuser, for whom it does not. Rounds of all of them are
interleaved, and the best of each counts; what is meant to be compared between machines are the
ratios. CPU is that of this process, not of Postgres.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app.api.deps import Services
from app.auth.sessions import ChatSession
from app.chatkit.context import RequestContext, SessionFeatures
from app.chatkit.protocol.items import ThreadMetadata
from app.db import migrate
from app.db.database import Database
from app.db.pool import create_pool
from app.db.store import PostgresStore
from app.main import create_app
from app.settings import Settings
from benchmarks.database import BenchmarkDatabase

ROUNDS = 20
REQUESTS = 100
"""Per round and case."""
THREADS = 200
USER = "ada"
BODY = json.dumps({"type": "threads.list", "params": {"limit": 20}}).encode()

Case = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Cost:
    """Milliseconds for one call."""

    wall: float
    cpu: float


async def measure(case: Case) -> Cost:
    """Return what one call costs on average, one after the other."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(REQUESTS):
        await case()
    share = 1000 / REQUESTS
    return Cost((time.perf_counter() - wall) * share, (time.process_time() - cpu) * share)


async def compare(cases: dict[str, Case]) -> dict[str, Cost]:
    """Return the best round of each case."""
    rounds: dict[str, list[Cost]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            rounds[name].append(await measure(case))
    return {
        name: Cost(min(each.wall for each in costs), min(each.cpu for each in costs))
        for name, costs in rounds.items()
    }


def asking(app: FastAPI, state: Any, secret: str) -> Case:
    """Return a request to ``/chatkit``, straight into the application."""
    headers = [(b"authorization", f"Bearer {secret}".encode()), (b"host", b"localhost")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/chatkit",
        "raw_path": b"/chatkit",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 4711),
        "server": ("localhost", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"answered with {message['status']}")

    return lambda: app(scope | {"state": dict(state)}, receive, send)


async def run(settings: Settings) -> dict[str, Cost]:
    """Return what each case costs, on a new database."""
    await migrate.upgrade(settings)
    app = create_app(settings)
    unguarded = create_pool(settings, guarded=False)
    async with app.router.lifespan_context(app) as state:
        services: Services = state["services"]  # type: ignore[index]
        store, free = PostgresStore(services.database), PostgresStore(Database(unguarded))
        context = RequestContext(user_id=USER)
        for number in range(THREADS):
            thread = ThreadMetadata(id=f"thr_{number:05}", created_at=datetime.now(UTC))
            await store.save_thread(thread, context)
        minted = await services.sessions.mint(USER, ttl=600)
        request = asking(app, state, minted.client_secret)
        verify = services.sessions.verify
        known = ChatSession(
            minted.id, USER, datetime.now(UTC) + timedelta(hours=1), SessionFeatures(), {}, 0
        )

        async def believe(_: str) -> ChatSession:
            return known

        def with_sessions(of: Callable[[str], Awaitable[ChatSession | None]]) -> Case:
            async def ask() -> None:
                services.sessions.verify = of  # type: ignore[method-assign]
                await request()

            return ask

        try:
            return await compare(
                {
                    "request, sessions and limits": with_sessions(verify),
                    "request, caller taken as known": with_sessions(believe),
                    "sessions and limits alone": lambda: verify(minted.client_secret),
                    "statement, row-level security": lambda: store.load_threads(
                        20, None, "desc", context
                    ),
                    "statement, superuser": lambda: free.load_threads(20, None, "desc", context),
                }
            )
        finally:
            await unguarded.close()


def main() -> None:
    """Measure and print a table."""
    with (
        tempfile.TemporaryDirectory(prefix="ck-") as directory,
        BenchmarkDatabase(Path(directory), durable=True) as database,
    ):
        url = database.create("authentication").render_as_string(hide_password=False)
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            database_url=url,  # type: ignore[arg-type]
            signing_secret="s" * 32,  # type: ignore[arg-type]
            session_requests_per_minute=10_000_000,
            user_requests_per_minute=10_000_000,
            log_level="ERROR",
            run_heartbeat=3600,
        )
        costs = asyncio.run(run(settings))
    print(f"Milliseconds a call, best of {ROUNDS} rounds of {REQUESTS}\n")
    print(f"{'':32}{'latency':>9}{'CPU':>8}")
    for name, cost in costs.items():
        print(f"{name:32}{cost.wall:9.3f}{cost.cpu:8.3f}")
    names = list(costs)
    for what, one, other in (
        ("sessions and limits", *names[:2]),
        ("row-level security", *names[3:]),
    ):
        wall = costs[one].wall / costs[other].wall
        cpu = costs[one].cpu / costs[other].cpu
        print(f"\n{what}: latency x{wall:.2f}, CPU x{cpu:.2f}", end="")
    print()


if __name__ == "__main__":
    main()
