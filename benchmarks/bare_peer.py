"""The Agents SDK alone: ``Runner.run_streamed`` in a loop, at a given concurrency.

    python -m benchmarks.bare_peer '<plan as JSON>'

Says ``ready``, waits for a line, then runs and prints its measures as JSON.
"""

import asyncio
import os
import sys
import time
from typing import Any, TextIO

import uvloop
from agents import RunConfig, Runner

from benchmarks.answer import ANSWER, HISTORY_ITEMS, QUESTION
from benchmarks.plan import Plan, Samples, wait_for_start
from benchmarks.scripted import create_agent, read_pace

WARM_UP_TURNS = 30


class BareLoop:
    """Runs the agent again and again; ``sink`` gets its events printed, if there is one."""

    def __init__(self, plan: Plan, sink: TextIO | None) -> None:
        self._plan = plan
        self._sink = sink
        self._agent = create_agent(read_pace())
        self._samples = Samples()

    async def warm_up(self) -> None:
        """Run a few turns that nobody measures."""
        for _ in range(WARM_UP_TURNS):
            await self._run_turn()

    async def run(self) -> Samples:
        """Run all clients to the end of the measured time."""
        started = time.perf_counter()
        deadline = started + self._plan.seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._plan.clients):
                group.create_task(self._repeat(deadline))
        self._samples.seconds = time.perf_counter() - started
        return self._samples

    async def _repeat(self, deadline: float) -> None:
        while time.perf_counter() < deadline and self._samples.turns < self._plan.max_turns:
            started = time.perf_counter()
            await self._run_turn()
            self._samples.turns += 1
            self._samples.durations.append(time.perf_counter() - started)

    async def _run_turn(self) -> None:
        result = Runner.run_streamed(
            self._agent, self._input(), run_config=RunConfig(tracing_disabled=True)
        )
        sink = self._sink
        async for event in result.stream_events():
            if sink is not None:
                print(event, file=sink)

    def _input(self) -> Any:
        if self._plan.scenario == "create":
            return QUESTION
        roles = [("user", QUESTION), ("assistant", ANSWER)]
        turns = [{"role": role, "content": text} for role, text in roles]
        return (turns * HISTORY_ITEMS)[-HISTORY_ITEMS + 1 :] + turns[:1]


async def _main(plan: Plan, sink: TextIO | None) -> Samples:
    loop = BareLoop(plan, sink)
    await loop.warm_up()
    await wait_for_start()
    return await loop.run()


def main() -> None:
    """Run one measurement."""
    plan = Plan.from_json(sys.argv[1])
    with open(os.devnull, "w") as sink:  # noqa: PTH123
        samples = uvloop.run(_main(plan, sink if plan.prints else None))
    print(samples.to_json(), flush=True)


if __name__ == "__main__":
    main()
