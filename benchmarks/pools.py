"""Our pool of connections beside asyncpg's own: ``python -m benchmarks.pools``.

CPU of the process for a statement, alone and with 16 at a time, and for a turn of a whole server
with 16 clients. Rounds are interleaved and the median counts; what is meant to be compared between
machines are the ratios.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from app.db.pool import create_pool
from app.settings import Settings
from benchmarks.asyncpg_pool import AsyncpgPool
from benchmarks.database import BenchmarkDatabase
from benchmarks.measure import Cell, measure_server
from benchmarks.peers import Start, start_ours

STATEMENT = "SELECT $1::text AS user_id, $2::text AS id"
STATEMENTS = 2000
"""Per round and case."""
CELL = Cell("step", "create", 16)
MODULES = {"ours": "app", "asyncpg": "benchmarks.asyncpg_pool"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pools", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round of turns")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ckb-") as scratch,
        BenchmarkDatabase(Path(scratch), durable=True) as database,
    ):
        turns = measure_turns(Path(scratch), database, options.rounds, options.seconds)
        url = database.create("statements").render_as_string(hide_password=False)
        statements = uvloop.run(measure_statements(url, options.rounds))
    print("CPU, median of interleaved rounds\n")
    for name, (ours, other) in {**statements, "turn, 16 clients": turns}.items():
        print(
            f"{name:24}ours {ours * 1e6:8.0f} us   asyncpg {other * 1e6:8.0f} us   "
            f"x{other / ours:.3f}"
        )


def measure_turns(
    scratch: Path, database: BenchmarkDatabase, rounds: int, seconds: float
) -> tuple[float, float]:
    """Return the CPU of a turn with our pool and with asyncpg's."""
    servers = {}
    found: dict[str, list[float]] = {name: [] for name in MODULES}
    try:
        for name, module in MODULES.items():
            start = Start(scratch / name, database.create(name), CELL.pace)
            servers[name] = start_ours(start, module=module)
            servers[name].wait_until_ready()
            measure_server(servers[name], "ours", CELL, 1.0, database.cpu_seconds)
        for _ in range(rounds):
            for name, server in servers.items():
                measured = measure_server(server, "ours", CELL, seconds, database.cpu_seconds)
                found[name].append(measured.cpu)
    finally:
        for server in servers.values():
            server.stop()
    return statistics.median(found["ours"]), statistics.median(found["asyncpg"])


async def measure_statements(url: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the CPU of a statement with our pool and with asyncpg's, by situation."""
    settings = Settings(_env_file=None, database_url=url)  # type: ignore[call-arg,arg-type]
    pools: dict[str, Any] = {"ours": create_pool(settings), "asyncpg": AsyncpgPool(settings)}
    results: dict[str, tuple[float, float]] = {}
    for clients in (1, 16):
        found: dict[str, list[float]] = {name: [] for name in pools}
        for _ in range(rounds):
            for name, pool in pools.items():
                found[name].append(await _measure(pool, clients))
        ours, other = (statistics.median(found[name]) for name in ("ours", "asyncpg"))
        results[f"statement, {clients} at a time"] = ours, other
    for pool in pools.values():
        await pool.close()
    return results


async def _measure(pool: Any, clients: int) -> float:
    async def ask() -> None:
        for _ in range(STATEMENTS // clients):
            await pool.fetch(STATEMENT, ["ada", "thr_1"])

    await ask()
    before = time.process_time()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return (time.process_time() - before) / (STATEMENTS // clients * clients)


if __name__ == "__main__":
    main()
