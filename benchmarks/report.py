"""Tables and ratios. A ratio is taken within each round, and the median of the rounds is shown."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.measure import Cell, Measurement
from benchmarks.peers import PeerName

Rounds = list[dict[PeerName, Measurement]]
"""What was measured in one cell: for each round, each peer's measurement."""

Results = Mapping[Cell, Rounds]

Value = Callable[[Measurement], float]

COLUMNS: Sequence[tuple[str, Value, float, str]] = (
    ("turns/s", lambda each: each.turns_per_second, 1, ".1f"),
    ("CPU ms/turn", lambda each: each.cpu, 1000, ".2f"),
    ("CPU ms/1000 deltas", lambda each: each.cpu_per_thousand_deltas, 1000, ".1f"),
    ("db CPU ms/turn", lambda each: each.database_cpu, 1000, ".2f"),
    ("first event p50", lambda each: each.first_event, 1000, ".1f"),
    ("p95", lambda each: each.first_event_p95, 1000, ".1f"),
    ("first delta p50", lambda each: each.first_delta, 1000, ".1f"),
    ("turn p99", lambda each: each.duration_p99, 1000, ".0f"),
    ("gap p50", lambda each: each.gap, 1000, ".1f"),
    ("gap max", lambda each: each.gap_max, 1000, ".0f"),
    ("frames", lambda each: each.frames, 1, ".0f"),
)

RATIOS: Sequence[tuple[str, PeerName, PeerName, Value]] = (
    ("turns/s, ours / official", "ours", "official", lambda each: each.turns_per_second),
    ("CPU per turn, official / ours", "official", "ours", lambda each: each.cpu),
    ("CPU per turn, ours / bare", "ours", "bare", lambda each: each.cpu),
    ("CPU per turn, ours / quiet", "ours", "quiet", lambda each: each.cpu),
    ("first event p50, ours / official", "ours", "official", lambda each: each.first_event),
    ("turn p99, ours / official", "ours", "official", lambda each: each.duration_p99),
    ("longest gap, ours / official", "ours", "official", lambda each: each.gap_max),
)


def print_results(results: Results) -> None:
    """Print a table and the ratios for each cell."""
    for cell, rounds in results.items():
        print(f"\n== {cell.title} (median of {len(rounds)} rounds; times in ms)")
        print(f"{'':10}" + "".join(f"{title:>{_width(title)}}" for title, *_ in COLUMNS))
        for name in rounds[0]:
            print(f"{name:10}" + "".join(_cells(rounds, name)))
        for title, ratios in find_ratios(rounds).items():
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"  {title:36}{statistics.median(ratios):8.2f}   ({spread})")


def find_ratios(rounds: Rounds) -> dict[str, list[float]]:
    """Return each ratio, once for each round."""
    found: dict[str, list[float]] = {}
    for title, above, below, value in RATIOS:
        for peers in rounds:
            if above in peers and below in peers and value(peers[below]):
                ratio = value(peers[above]) / value(peers[below])
                found.setdefault(title, []).append(ratio)
    return found


def to_json(results: Results, **more: Any) -> dict[str, Any]:
    """Return everything that was measured."""
    cells = [
        {
            **asdict(cell),
            "ratios": {
                title: statistics.median(ratios) for title, ratios in find_ratios(rounds).items()
            },
            "rounds": [
                {name: asdict(measured) for name, measured in peers.items()} for peers in rounds
            ],
        }
        for cell, rounds in results.items()
    ]
    return {**more, "cells": cells}


def _cells(rounds: Rounds, name: PeerName) -> list[str]:
    texts: list[str] = []
    for title, value, factor, form in COLUMNS:
        middle = statistics.median(value(peers[name]) for peers in rounds) * factor
        texts.append(f"{middle if middle else '-':>{_width(title)}{form if middle else ''}}")
    return texts


def _width(title: str) -> int:
    return max(len(title) + 2, 9)
