"""This backend beside the official SDK, on one machine, in one run: ``python -m benchmarks``.

Four peers give the same scripted answer of 100 deltas through the same Agents SDK: the official
SDK with a straightforward Postgres store, this backend with everything on, and the Agents SDK alone
in a loop, with (bare) and without (quiet) printing its events. Servers run one process each under
uvicorn with uvloop and httptools, on databases of one embedded Postgres. Rounds are interleaved;
what is meant to be compared between machines are the ratios.
"""

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.database import BenchmarkDatabase
from benchmarks.measure import Cell, measure_loop, measure_server
from benchmarks.peers import LOOPS, SERVERS, PeerName, Start, start_server
from benchmarks.processes import Server
from benchmarks.report import Rounds, print_results, to_json
from benchmarks.round_trips import RoundTripProxy
from benchmarks.scripted import Pace

ALL_CELLS = (
    Cell("step", "create", 1),
    Cell("step", "create", 16),
    Cell("step", "create", 64),
    Cell("step", "follow_up", 16),
    Cell("burst", "create", 16),
    Cell("paced", "create", 16),
    Cell("paced", "create", 64),
)
QUICK_CELLS = (Cell("step", "create", 16),)
WARM_UP_CLIENTS = 8
WARM_UP_SECONDS = 1.0
COUNTING_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = _create_parser().parse_args(arguments)
    cells = QUICK_CELLS if options.quick else ALL_CELLS
    if options.pace:
        cells = tuple(cell for cell in ALL_CELLS if cell.pace == options.pace)
    rounds, seconds = (1, 2.0) if options.quick else (options.rounds, options.seconds)
    # Short, because the path of a socket may not be long.
    with (
        tempfile.TemporaryDirectory(prefix="ckb-") as scratch,
        BenchmarkDatabase(Path(scratch), durable=not options.throw_away) as database,
    ):
        benchmark = Benchmark(Path(scratch), database, seconds)
        round_trips = benchmark.count_round_trips()
        print(_describe(options.throw_away))
        for name, counts in round_trips.items():
            print(f"{name:10}" + ", ".join(f"{kind} {each:.1f}" for kind, each in counts.items()))
        results = benchmark.run(cells, rounds)
    print_results(results)
    if options.json:
        report = to_json(results, round_trips=round_trips, durable=not options.throw_away)
        Path(options.json).write_text(json.dumps(report, indent=1))


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of about 20 seconds")
    parser.add_argument("--rounds", type=int, default=3, help="how often each peer is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each time")
    parser.add_argument("--pace", choices=["step", "burst", "paced"], help="only these cells")
    parser.add_argument("--json", metavar="FILE", help="write everything there too")
    parser.add_argument(
        "--throw-away", action="store_true", help="Postgres without fsync, for both alike"
    )
    return parser


def _describe(throw_away: bool) -> str:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    durable = "off" if throw_away else "on, as in production"
    return (
        f"{os.cpu_count()} CPUs, load {load}; fsync {durable}\n"
        "Round trips to Postgres for each turn, at one client:"
    )


class Benchmark:
    """Peers on one database server, measured by turns."""

    def __init__(self, scratch: Path, database: BenchmarkDatabase, seconds: float) -> None:
        self._scratch = scratch
        self._database = database
        self._seconds = seconds
        self._urls = {name: database.create(name) for name in SERVERS}

    def count_round_trips(self) -> dict[PeerName, dict[str, float]]:
        """Return how many round trips a turn takes, by peer and kind of turn."""
        return {name: self._count_round_trips(name) for name in SERVERS}

    def _count_round_trips(self, name: PeerName) -> dict[str, float]:
        counts: dict[str, float] = {}
        with RoundTripProxy(self._urls[name]) as proxy:
            directory = self._scratch / f"{name}-counted"
            server = start_server(name, Start(directory, proxy.url, "step"))
            try:
                for cell in (Cell("step", "create", 1), Cell("step", "follow_up", 1)):
                    self._measure(server, name, cell, COUNTING_SECONDS / 2)
                    counts[cell.scenario] = self._count(server, name, cell, proxy)
            finally:
                server.stop()
        return counts

    def _count(self, server: Server, name: PeerName, cell: Cell, proxy: RoundTripProxy) -> float:
        """Return the round trips for each turn; opening and signing in are turned out by a pair."""
        seen: list[tuple[int, int]] = []
        for seconds in (COUNTING_SECONDS / 4, COUNTING_SECONDS):
            before = proxy.count
            measured = self._measure(server, name, cell, seconds)
            seen.append((proxy.count - before, measured.turns))
        (few, few_turns), (many, many_turns) = seen
        return (many - few) / max(many_turns - few_turns, 1)

    def run(self, cells: Iterable[Cell], rounds: int) -> dict[Cell, Rounds]:
        """Measure all peers in all cells; the servers are started once for each pace."""
        results: dict[Cell, Rounds] = {cell: [] for cell in cells}
        for pace in dict.fromkeys(cell.pace for cell in results):
            with contextlib.ExitStack() as stack:
                servers = self._start_servers(pace, stack)
                for cell in (cell for cell in results if cell.pace == pace):
                    for number in range(rounds):
                        print(f"measuring: {cell.title}, round {number + 1}", flush=True)
                        results[cell].append(self._measure_round(servers, cell))
        return results

    def _start_servers(self, pace: Pace, stack: contextlib.ExitStack) -> dict[PeerName, Server]:
        servers: dict[PeerName, Server] = {}
        for name in SERVERS:
            start = Start(self._scratch / f"{name}-{pace}", self._urls[name], pace)
            servers[name] = server = start_server(name, start)
            stack.callback(server.stop)
            self._measure(server, name, Cell(pace, "create", WARM_UP_CLIENTS), WARM_UP_SECONDS)
        return servers

    def _measure_round(self, servers: dict[PeerName, Server], cell: Cell) -> dict:
        measured = {
            name: self._measure(server, name, cell, self._seconds)
            for name, server in servers.items()
        }
        for name in LOOPS:
            measured[name] = measure_loop(name, cell, self._seconds * 2 / 3)
        return measured

    def _measure(self, server: Server, name: PeerName, cell: Cell, seconds: float):
        return measure_server(server, name, cell, seconds, self._database.cpu_seconds)


if __name__ == "__main__":
    main()
