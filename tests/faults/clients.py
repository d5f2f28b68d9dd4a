"""Clients that talk on through every fault, and write down what they were told and showed."""

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.pages import ShownText, ShownThread
from tests.faults.replicas import FaultyReplica
from tests.support.replica import message

TALK_TIMEOUT = 12.0
LOOKS = 60
"""How often a page asks for its thread before it gives up; some of its replicas may be away."""


@dataclass
class Transcript:
    """What one client was told: the ground truth that the database is held against."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # message id -> text
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)  # item id -> item
    threads: list[str] = field(default_factory=list)
    texts: dict[str, ShownText] = field(default_factory=dict)  # item id -> as it was shown
    differences: list[str] = field(default_factory=list)
    pages: int = 0  # compared with the store at the end of an answer
    frames: int = 0
    cut: int = 0
    followed: int = 0
    refused: int = 0


class Client:
    """One user with a few threads, who sends message after message to any replica.

    Where the connection breaks, its page comes back to the answer on any replica, if the request
    promised to send Stop explicitly; at the end of the answer it must show what is stored.
    """

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

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._secret}"}

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
        page = ShownThread()
        self.drop.clear()
        try:
            async with self._http.stream(
                "POST",
                f"{replica.url}/chatkit",
                json={"type": kind, "params": params},
                headers=self._headers | ({"X-ChatKit-Stop": "explicit"} if explicit else {}),
            ) as response:
                if response.status_code != 200:
                    self.transcript.refused += 1
                    await asyncio.sleep(0.02)
                    return
                is_whole = await self._read(response, page)
        except (httpx.HTTPError, TimeoutError):
            is_whole = False
        thread_id = params.get("thread_id") or (threads[-1] if threads else "")
        if explicit and page.last_id and thread_id:
            if not is_whole:
                await self._come_back(thread_id, page)
                page.drop_pending()
            await self._compare(thread_id, page)

    async def _read(self, response: httpx.Response, page: ShownThread) -> bool:
        """Show a stream; return whether it ended as streams end, and not with an error."""
        self.streaming = True
        event: dict[str, Any] = {}
        try:
            async with (
                asyncio.timeout(TALK_TIMEOUT),
                contextlib.aclosing(response.aiter_lines()) as lines,
            ):
                async for line in lines:
                    if line.startswith("id: "):
                        page.last_id = line.removeprefix("id: ")
                    if line.startswith("data: "):
                        event = json.loads(line.removeprefix("data: "))
                        self._note(event, page)
                    if self.drop.is_set():
                        self.drop.clear()
                        return False  # the socket is closed in the middle
        finally:
            self.streaming = False
            self.transcript.texts |= page.texts
        return event.get("type") != "error"

    async def _come_back(self, thread_id: str, page: ShownThread) -> None:
        """Read on at any replica until nobody writes the answer any more."""
        for _ in range(LOOKS):
            replica = self._random.choice(self._replicas)
            try:
                async with self._http.stream(
                    "GET",
                    f"{replica.url}/api/threads/{thread_id}/stream",
                    headers=self._headers | {"Last-Event-ID": page.last_id},
                ) as response:
                    if response.status_code == 204:
                        return
                    if response.status_code == 200:
                        self.transcript.followed += 1
                        if await self._read(response, page):
                            return
            except (httpx.HTTPError, TimeoutError):
                self.transcript.cut += 1
            await asyncio.sleep(0.05)

    async def _compare(self, thread_id: str, page: ShownThread) -> None:
        """Hold what the page shows of the answer against what is stored, once it has ended."""
        stored = await self._load(thread_id)
        if stored is None:
            return
        self.transcript.pages += 1
        for item_id, item in page.items.items():
            if item_id not in stored:
                what = f"{item['type']} {item_id}"
                self.transcript.differences.append(f"ghost: {what} is shown and not stored")
            elif _text(item) != _text(stored[item_id]):
                self.transcript.differences.append(
                    f"text: {item_id} shows {_text(item)!r}, stored is {_text(stored[item_id])!r}"
                )

    async def _load(self, thread_id: str) -> dict[str, dict[str, Any]] | None:
        request = {"type": "items.list", "params": {"thread_id": thread_id, "limit": 100}}
        for _ in range(LOOKS):
            replica = self._random.choice(self._replicas)
            try:
                url = f"{replica.url}/api/threads/{thread_id}/stream"
                async with self._http.stream("GET", url, headers=self._headers) as running:
                    if running.status_code == 204:
                        answer = await self._http.post(
                            f"{replica.url}/chatkit", json=request, headers=self._headers
                        )
                        if answer.status_code == 200:
                            return {item["id"]: item for item in answer.json()["data"]}
            except (httpx.HTTPError, TimeoutError):
                self.transcript.cut += 1
            await asyncio.sleep(0.1)
        return None

    def _note(self, event: dict[str, Any], page: ShownThread) -> None:
        self.transcript.frames += 1
        page.apply(event)
        if event["type"] == "thread.created":
            self.transcript.threads.append(event["thread"]["id"])
        if event["type"] == "thread.item.done":
            item = event["item"]
            self.transcript.finished[item["id"]] = json.loads(json.dumps(item))
            if item["type"] == "user_message":
                self.transcript.acknowledged[item["id"]] = item["content"][0]["text"]


def _text(item: dict[str, Any]) -> str:
    parts = item.get("content") or [] if item["type"] == "assistant_message" else []
    return "".join(part["text"] for part in parts)
