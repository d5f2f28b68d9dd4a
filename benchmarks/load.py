"""The load: clients on keep-alive connections, each one turn after the other.

    python -m benchmarks.load '<plan as JSON>'

Says ``ready``, waits for a line, then runs and prints its samples as JSON. Every answer is checked.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from benchmarks.answer import ANSWER, HISTORY_ITEMS, QUESTION
from benchmarks.connection import Connection, Exchange
from benchmarks.plan import Plan, Samples, wait_for_start

HISTORY_TURNS = HISTORY_ITEMS // 2
_ANSWER = ANSWER.encode()


class LoadError(Exception):
    """A server did not answer as it must."""


class Client:
    """One page: a connection, an identity, and the thread that it is in."""

    def __init__(self, number: int, plan: Plan, samples: Samples) -> None:
        self._number = number
        self._plan = plan
        self._samples = samples
        self._headers = {"X-User": f"user_{number}"}
        self._connection: Connection | None = None
        self._request = b""

    async def prepare(self) -> None:
        """Connect, sign in, and for follow-up turns write a few of them."""
        self._connection = await Connection.open("127.0.0.1", self._plan.port)
        if self._plan.authenticates:
            minted = await self._connection.send(self._encode("/api/chatkit/session", {}))
            self._headers["Authorization"] = f"Bearer {json.loads(minted.body)['client_secret']}"
        self._request = self._encode_message("threads.create")
        first = await self._take_turn()
        if self._plan.scenario == "follow_up":
            thread_id = read_thread_id(first.body)
            self._request = self._encode_message("threads.add_user_message", thread_id=thread_id)
            for _ in range(HISTORY_TURNS):
                await self._take_turn()

    async def run(self, deadline: float) -> None:
        """Take turns until the time is over."""
        samples = self._samples
        while time.perf_counter() < deadline and samples.turns < self._plan.max_turns:
            exchange = await self._take_turn()
            samples.turns += 1
            samples.frames += exchange.body.count(b"\n\n")
            samples.first_event.append(exchange.first_event - exchange.started)
            samples.first_delta.append(exchange.first_delta - exchange.started)
            samples.durations.append(exchange.ended - exchange.started)
            samples.gaps.append(exchange.longest_gap)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def _take_turn(self) -> Exchange:
        if self._connection is None:
            raise LoadError("not connected")
        exchange = await self._connection.send(self._request)
        body = exchange.body
        if exchange.status != 200 or _ANSWER not in body or b'"type":"error"' in body:
            raise LoadError(f"status {exchange.status}, the answer ends in {bytes(body[-500:])!r}")
        return exchange

    def _encode_message(self, kind: str, **params: Any) -> bytes:
        message = {
            "content": [{"type": "input_text", "text": QUESTION}],
            "attachments": [],
            "inference_options": {},
        }
        return self._encode("/chatkit", {"type": kind, "params": {**params, "input": message}})

    def _encode(self, path: str, content: dict[str, Any]) -> bytes:
        body = json.dumps(content).encode()
        headers = {
            "Host": f"127.0.0.1:{self._plan.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Accept": "text/event-stream",
            "Accept-Language": "en-GB",
            **self._headers,
        }
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


def read_thread_id(body: bytearray) -> str:
    """Return the id of the thread that a stream created."""
    for line in bytes(body).splitlines():
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            if event["type"] == "thread.created":
                return event["thread"]["id"]
    raise LoadError("the stream created no thread")


async def run_plan(plan: Plan) -> Samples:
    """Prepare all clients, wait for the go, and let them run side by side."""
    samples = Samples()
    clients = [Client(number, plan, samples) for number in range(plan.clients)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.prepare())
    await wait_for_start()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(started + plan.seconds))
    samples.seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return samples


def main() -> None:
    """Run one measurement."""
    print(uvloop.run(run_plan(Plan.from_json(sys.argv[1]))).to_json(), flush=True)


if __name__ == "__main__":
    main()
