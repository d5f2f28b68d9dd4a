"""Where the CPU of this backend goes, turn by turn: ``python -m benchmarks.profile``.

Samples a real server under load. *Functions* shows where the time is spent, *with what they call*
where it is caused, and *by our code* charges each library to the function of ours that called it.
"""

import argparse
import json
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.database import BenchmarkDatabase
from benchmarks.measure import Cell, Measurement, measure_server
from benchmarks.peers import Start, start_ours
from benchmarks.processes import ROOT
from benchmarks.profiled_server import OUTPUT_VARIABLE

WARM_UP_SECONDS = 1.0
NOBODY = "(no code of the application: tasks of libraries)"


@dataclass(slots=True)
class Tables:
    """Samples, counted in four ways."""

    packages: Counter[str] = field(default_factory=Counter[str])
    functions: Counter[str] = field(default_factory=Counter[str])
    cumulative: Counter[str] = field(default_factory=Counter[str])
    application: Counter[str] = field(default_factory=Counter[str])

    def add(self, stack: Sequence[str], count: int) -> None:
        """Count a stack, innermost function first."""
        self.packages[stack[0].split("/", 1)[0]] += count
        self.functions[stack[0]] += count
        for name in set(stack):
            self.cumulative[name] += count
        # What starts the server is on every stack and says nothing.
        ours = (name for name in stack if name.startswith("app/") and not _is_start(name))
        self.application[next(ours, NOBODY)] += count


def _is_start(name: str) -> bool:
    return name.startswith(("app/__main__.py:", "app/serve.py:"))


def main() -> None:
    """Profile one situation and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--pace", choices=["step", "burst", "paced"], default="step")
    parser.add_argument("--scenario", choices=["create", "follow_up"], default="create")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--top", type=int, default=30, help="how many lines of each table")
    parser.add_argument("--folded", metavar="FILE", help="write stacks for a flame graph")
    options = parser.parse_args()
    cell = Cell(options.pace, options.scenario, options.clients)
    profile, measured = profile_ours(cell, options.seconds)
    print_profile(profile, measured, top=options.top)
    if options.folded:
        lines = [f"{';'.join(reversed(stack))} {count}\n" for stack, count in profile["stacks"]]
        Path(options.folded).write_text("".join(lines))


def profile_ours(
    cell: Cell, seconds: float, root: Path = ROOT
) -> tuple[dict[str, Any], Measurement]:
    """Return what the sampler saw, and what was measured meanwhile."""
    with tempfile.TemporaryDirectory(prefix="ckb-") as scratch:
        output = Path(scratch) / "profile.json"
        with BenchmarkDatabase(Path(scratch), durable=True) as database:
            start = Start(Path(scratch) / "ours", database.create("ours"), cell.pace)
            more = {OUTPUT_VARIABLE: str(output)}
            server = start_ours(start, module="benchmarks.profiled_server", root=root, more=more)
            try:
                server.wait_until_ready()
                measure_server(server, "ours", cell, WARM_UP_SECONDS, database.cpu_seconds)
                server.process.send_signal(signal.SIGUSR1)
                measured = measure_server(server, "ours", cell, seconds, database.cpu_seconds)
            finally:
                server.stop()
        return json.loads(output.read_text()), measured


def print_profile(profile: dict[str, Any], measured: Measurement, *, top: int) -> None:
    """Print the tables: shares of the samples, and what that makes in microseconds a turn."""
    tables = Tables()
    for stack, count in profile["stacks"]:
        tables.add(stack, count)
    samples = max(tables.functions.total(), 1)
    print(f"{measured.turns} turns at {measured.cpu * 1000:.2f} ms of CPU, {samples} samples")
    collecting = profile["gc_seconds"] / max(measured.turns, 1) * 1e6
    print(
        f"garbage collection: {profile['gc_count']} times, {collecting:.0f} us a turn "
        "(part of what is below)"
    )
    for title, counted in {
        "Packages": tables.packages,
        "Functions": tables.functions,
        "Functions, with what they call": tables.cumulative,
        "By our code, with the libraries that it calls": tables.application,
    }.items():
        print(f"\n{title}\n{'share':>7}{'us/turn':>9}")
        for name, count in counted.most_common(top):
            share = count / samples
            print(f"{share:7.1%}{share * measured.cpu * 1e6:9.0f}  {name}")


if __name__ == "__main__":
    main()
