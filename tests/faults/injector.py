"""A bounded, repeatable storm: two replicas on one Postgres, clients, and faults from a seed."""

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncpg

from app.db import migrate
from app.db.embedded import EmbeddedPostgres
from tests.faults.checker import AUDIT, Verdict, check
from tests.faults.clients import Client
from tests.faults.links import DatabaseLink
from tests.faults.replicas import FaultyReplica
from tests.support.databases import settings_for

HEARTBEAT = 0.1
TAKEOVER = 0.7
CLIENTS = 8
PATIENCE = 20  # seconds without a single stream, after which the storm has failed

# How often each kind of fault is drawn. Dropped sockets are what happens most in life, too.
WEIGHTS = {"drop": 40, "pause": 6, "kill": 4, "postgres": 3, "cut": 3, "stall": 3, "alone": 3}
# cut and stall: the database is away for everybody; alone: for one replica.

SLACK = 0.5
"""Seconds between a frame's way out of a replica and the client's clock, on a busy machine."""


# From when to when the thread of each interrupted run was held by nobody.
TAKEOVERS = """
SELECT extract(epoch FROM heartbeat_at)::float8 AS since,
  extract(epoch FROM finished_at)::float8 AS until
FROM runs JOIN replicas ON replicas.id = runs.owner
WHERE state = 'interrupted' AND replicas.ended_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM thread_items WHERE thread_items.id = 'shcx_' || runs.id)"""

Target = TypeVar("Target")


@dataclass
class Report:
    """What was injected and what came of it.

    Takeover times are in seconds, but for those in which the database was disturbed.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    def percentile(self, share: float) -> float:
        """Return the takeover time that this share of takeovers did not exceed."""
        ordered = sorted(self.takeovers)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}: {self.faults.total()} faults ({kinds}); "
            f"{len(self.takeovers)} takeovers, p50 {self.percentile(0.5):.2f} s, "
            f"p99 {self.percentile(0.99):.2f} s; {self.verdict.frames} frames, "
            f"{self.verdict.messages} messages, {self.verdict.items} items and "
            f"{self.verdict.pages} pages compared, {self.verdict.followed} times followed, "
            f"shown ahead of stored {self.verdict.ahead:.2f} s at most; "
            f"{len(self.verdict.violations)} violations"
        )


@dataclass(frozen=True)
class Fault:
    """One planned fault; ``target`` from 0 to 1 picks among those that can be hit by then."""

    kind: str
    target: float
    seconds: float
    wait: float

    def pick(self, candidates: list[Target]) -> Target:
        """Return the candidate that is hit."""
        return candidates[int(self.target * len(candidates))]


def plan_faults(seed: int, count: int) -> list[Fault]:
    """Return the same faults, in the same order, for the same seed."""
    dice = random.Random(seed)
    return [
        Fault(
            kind=dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0],
            target=dice.random(),
            # Half of the pauses are long enough that the other replica takes over.
            seconds=dice.choice([0.2, TAKEOVER + 0.5]),
            wait=dice.uniform(0.02, 0.1),
        )
        for _ in range(count)
    ]


class Storm:
    """Injects ``count`` faults while clients talk, then lets everything settle and checks."""

    def __init__(self, directory: Path, *, seed: int, count: int) -> None:
        self.report = Report(seed)
        self._plan = plan_faults(seed, count)
        self._postgres = EmbeddedPostgres(directory / "pg", durable=True)
        self._directory = directory
        self._postgres_free = asyncio.Lock()
        self._links: list[DatabaseLink] = []
        self._disturbed: list[tuple[float, float]] = []
        self._replicas: list[FaultyReplica] = []
        self._clients: list[Client] = []

    async def run(self) -> Report:
        """Run the storm; everything that it started has ended when it returns."""
        await asyncio.to_thread(self._postgres.start)
        try:
            settings = settings_for(self._postgres.url)
            await migrate.upgrade(settings)
            await self._execute(AUDIT)
            await self._start_replicas()
            await self._blow()
            await self._settle()
            connection = await self._connect()
            self.report.takeovers = [
                self._seconds_with_database(row["since"], row["until"])
                for row in await connection.fetch(TAKEOVERS)
            ]
            transcripts = [client.transcript for client in self._clients]
            self.report.verdict = await check(connection, transcripts, 2 * HEARTBEAT + SLACK)
            await connection.close()
        finally:
            for replica in self._replicas:
                await replica.kill()
            for link in self._links:
                await link.close()
            await asyncio.to_thread(self._postgres.stop)
        return self.report

    async def _start_replicas(self) -> None:
        values = {
            "data_dir": self._directory,
            "assistant_server": "tests.faults.assistant:create_assistant",
            "run_heartbeat": HEARTBEAT,
            "run_takeover": TAKEOVER,
            "thread_busy_wait": 5,
            "database_timeout": 3,
            "shutdown_drain": 1,
            "session_ttl": 86_400,
            "log_level": "WARNING",
            "log_format": "json",
        }
        for name in ("one", "two"):
            link = DatabaseLink(self._postgres.url)
            await link.open()
            self._links.append(link)
            own = values | {"database_url": link.url}
            self._replicas.append(FaultyReplica(name, self._directory, own))
        await asyncio.gather(*(replica.start() for replica in self._replicas))

    async def _blow(self) -> None:
        stop = asyncio.Event()
        self._clients = [
            Client(number, self._replicas, self.report.seed) for number in range(CLIENTS)
        ]
        talking = [asyncio.create_task(client.run(stop)) for client in self._clients]
        async with asyncio.TaskGroup() as faults:
            for fault in self._plan:
                await self._inject(fault, faults)
                self.report.faults[fault.kind] += 1
                await asyncio.sleep(fault.wait)
        stop.set()
        await asyncio.gather(*talking)
        await asyncio.sleep(TAKEOVER * 2)

    async def _inject(self, fault: Fault, faults: asyncio.TaskGroup) -> None:
        """Begin a fault; those of different targets go on side by side."""
        if fault.kind == "drop":
            async with asyncio.timeout(PATIENCE):
                while not (streaming := [each for each in self._clients if each.streaming]):
                    await asyncio.sleep(0.01)
            fault.pick(streaming).drop.set()
            return
        if fault.kind in ("postgres", "cut", "stall", "alone"):
            await self._postgres_free.acquire()
            faults.create_task(self._disturb_database(fault))
            return
        replica = fault.pick(self._replicas)
        await replica.free.acquire()
        begun = self._kill(replica) if fault.kind == "kill" else self._pause(replica, fault.seconds)
        faults.create_task(begun)

    async def _pause(self, replica: FaultyReplica, seconds: float) -> None:
        replica.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        replica.send(signal.SIGCONT)
        replica.free.release()

    async def _kill(self, replica: FaultyReplica) -> None:
        await replica.kill()
        await replica.start()
        replica.free.release()

    def _seconds_with_database(self, since: float, until: float) -> float:
        """Return how long that was, but for the time in which the database was disturbed."""
        away = (max(0.0, min(until, end) - max(since, begin)) for begin, end in self._disturbed)
        return until - since - sum(away)

    async def _disturb_database(self, fault: Fault) -> None:
        begin = time.time()
        if fault.kind == "postgres":
            await asyncio.to_thread(self._postgres.restart)
        else:
            hit = [fault.pick(self._links)] if fault.kind == "alone" else self._links
            for link in hit:
                link.stall() if fault.kind == "stall" else link.cut()
            await asyncio.sleep(fault.seconds)
            for link in hit:
                link.restore()
        self._disturbed.append((begin, time.time()))
        self._postgres_free.release()

    async def _settle(self) -> None:
        """Wait until no thread is busy, as long as a takeover may take at the most."""
        deadline = time.monotonic() + TAKEOVER * 2 + 8
        connection = await self._connect()
        while time.monotonic() < deadline:
            if not await connection.fetchval("SELECT count(*) FROM runs WHERE state = 'running'"):
                break
            await asyncio.sleep(0.1)
        await connection.close()

    async def _execute(self, statements: str) -> None:
        connection = await self._connect()
        await connection.execute(statements)
        await connection.close()

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._postgres.url.replace("+asyncpg", ""))
