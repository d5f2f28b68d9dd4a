"""Clients that talk on through every fault, and write down what they were told."""

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.replicas import FaultyReplica
from tests.support.replica import message

TALK_TIMEOUT = 8.0


@dataclass
class Transcript:
    """What one client was told: the ground truth that the database is held against."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # message id -> text
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)  # item id -> item
    threads: list[str] = field(default_factory=list)
    frames: int = 0
    cut: int = 0
    refused: int = 0


class Client:
    """One user with a few threads, who sends message after message to any replica."""

    def __init__(self, number: int, replicas: list[FaultyReplica], seed: int) -> None:
        self.number = number
        self.transcript = Transcript()
        self.drop = asyncio.Event()
        self.streaming = False
        self._replicas = replicas
        self._random = random.Random(f"{seed}:{number}")
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(TALK_TIMEOUT, connect=2))
        self._secret = ""
        self._sent = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Talk until told to stop."""
        while not stop.is_set():
            try:
                await self._talk(self._random.choice(self._replicas))
            except (httpx.HTTPError, TimeoutError):
                self.transcript.cut += 1
                await asyncio.sleep(0.05)
        await self._http.aclose()

    async def _talk(self, replica: FaultyReplica) -> None:
        if not self._secret:
            answer = await self._http.post(f"{replica.url}/api/chatkit/session", json={})
            answer.raise_for_status()
            self._secret = answer.json()["client_secret"]
        self._sent += 1
        text = f"client {self.number} message {self._sent}"
        threads = self.transcript.threads
        params: dict[str, Any] = {"input": message(text)}
        kind = "threads.create"
        if len(threads) >= 2 or (threads and self._random.random() < 0.5):
            kind = "threads.add_user_message"
            params["thread_id"] = self._random.choice(threads)
        explicit = self._random.random() < 0.5
        self.drop.clear()
        async with self._http.stream(
            "POST",
            f"{replica.url}/chatkit",
            json={"type": kind, "params": params},
            headers={"Authorization": f"Bearer {self._secret}"}
            | ({"X-ChatKit-Stop": "explicit"} if explicit else {}),
        ) as response:
            if response.status_code != 200:
                self.transcript.refused += 1
                await asyncio.sleep(0.02)
                return
            self.streaming = True
            try:
                async with asyncio.timeout(TALK_TIMEOUT):
                    await self._read(response)
            finally:
                self.streaming = False

    async def _read(self, response: httpx.Response) -> None:
        async with contextlib.aclosing(response.aiter_lines()) as lines:
            async for line in lines:
                if line.startswith("data: "):
                    self._note(json.loads(line.removeprefix("data: ")))
                if self.drop.is_set():
                    return  # the socket is closed in the middle

    def _note(self, event: dict[str, Any]) -> None:
        self.transcript.frames += 1
        if event["type"] == "thread.created":
            self.transcript.threads.append(event["thread"]["id"])
        if event["type"] == "thread.item.done":
            item = event["item"]
            self.transcript.finished[item["id"]] = item
            if item["type"] == "user_message":
                self.transcript.acknowledged[item["id"]] = item["content"][0]["text"]
