"""What one measurement is to do and what it saw: what the processes of a benchmark exchange."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Literal

Scenario = Literal["create", "follow_up"]
"""A new thread for every turn, or one more message in a thread with some history."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One measurement. ``authenticates``: a client secret is minted for each client first."""

    clients: int
    seconds: float
    scenario: Scenario = "create"
    port: int = 0
    authenticates: bool = False
    prints: bool = False
    max_turns: int = 20_000

    def to_json(self) -> str:
        """Return the plan as a command line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Return the plan of a command line argument."""
        return cls(**json.loads(text))


@dataclass(slots=True)
class Samples:
    """What was measured, in seconds: one number a turn in each list."""

    turns: int = 0
    seconds: float = 0.0
    first_event: list[float] = field(default_factory=list[float])
    first_delta: list[float] = field(default_factory=list[float])
    durations: list[float] = field(default_factory=list[float])
    gaps: list[float] = field(default_factory=list[float])
    """The longest silence within each stream, behind its first event."""
    frames: int = 0

    def to_json(self) -> str:
        """Return the samples as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Samples":
        """Return the samples in a line."""
        return cls(**json.loads(text))


async def wait_for_start() -> None:
    """Tell the parent process that this one is ready, and wait for its go."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
