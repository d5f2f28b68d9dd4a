"""One measurement: a load on a peer, and what the peer's process used meanwhile."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.answer import DELTA_COUNT
from benchmarks.peers import LOOPS, PeerName
from benchmarks.plan import Plan, Samples, Scenario
from benchmarks.processes import ProcessError, Server, Worker, cpu_seconds
from benchmarks.scripted import PACE_VARIABLE, Pace


@dataclass(frozen=True, slots=True)
class Cell:
    """One situation that every peer is measured in."""

    pace: Pace
    scenario: Scenario
    clients: int

    @property
    def title(self) -> str:
        """The situation in words."""
        kind = "new threads" if self.scenario == "create" else "follow-up turns"
        return f"{self.pace}, {kind}, {self.clients} client{'s' if self.clients > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of one peer; times in seconds, CPU per turn."""

    turns: int
    turns_per_second: float
    cpu: float
    database_cpu: float
    first_event: float
    first_event_p95: float
    first_delta: float
    duration_p99: float
    gap: float
    gap_max: float
    frames: float

    @property
    def cpu_per_thousand_deltas(self) -> float:
        """CPU seconds of the peer's process for a thousand deltas."""
        return self.cpu * 1000 / DELTA_COUNT


def measure_server(
    server: Server,
    name: PeerName,
    cell: Cell,
    seconds: float,
    database_cpu: Callable[[], float],
) -> Measurement:
    """Put a load on a server for some seconds."""
    plan = Plan(
        clients=cell.clients,
        seconds=seconds,
        scenario=cell.scenario,
        port=server.port,
        authenticates=name == "ours",
    )
    worker = Worker("benchmarks.load", plan.to_json(), {})
    try:
        worker.wait_until_ready()
        before, database_before = cpu_seconds(server.process), database_cpu()
        samples = Samples.from_json(worker.run())
        used = cpu_seconds(server.process) - before
        return _summarise(samples, used, database_cpu() - database_before)
    except ProcessError as error:
        raise ProcessError(f"{error}\nThe log of {name} ends in:\n{server.log_end()}") from None
    finally:
        worker.close()


def measure_loop(name: PeerName, cell: Cell, seconds: float) -> Measurement:
    """Run the Agents SDK alone for some seconds."""
    plan = Plan(
        clients=cell.clients,
        seconds=seconds,
        scenario=cell.scenario,
        prints=name == LOOPS[0],
    )
    worker = Worker("benchmarks.bare_peer", plan.to_json(), {PACE_VARIABLE: cell.pace})
    try:
        worker.wait_until_ready()
        before = cpu_seconds(worker.process)
        samples = Samples.from_json(worker.run())
        return _summarise(samples, cpu_seconds(worker.process) - before, 0.0)
    finally:
        worker.close()


def _summarise(samples: Samples, cpu: float, database_cpu: float) -> Measurement:
    turns = max(samples.turns, 1)
    return Measurement(
        turns=samples.turns,
        turns_per_second=samples.turns / samples.seconds,
        cpu=cpu / turns,
        database_cpu=database_cpu / turns,
        first_event=percentile(samples.first_event, 50),
        first_event_p95=percentile(samples.first_event, 95),
        first_delta=percentile(samples.first_delta, 50),
        duration_p99=percentile(samples.durations, 99),
        gap=percentile(samples.gaps, 50),
        gap_max=max(samples.gaps, default=0.0),
        frames=samples.frames / turns,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile; 0 where there are no values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
