"""A page's tabs: streams that are read in the background, and answers that stand still."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.support.assistants import WORDS
from tests.support.local_replicas import LocalReplica, ThreadLook
from tests.support.replica import EventStream, Page, message
from tests.support.waiting import PATIENCE, until

ANSWER = "".join(WORDS)
Look = Callable[[str], Awaitable[ThreadLook]]


class Tab:
    """A stream that is being read in the background."""

    def __init__(self, page: Page, kind: str, **params: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.first = asyncio.Event()
        self.status: int | None = None
        self.task = asyncio.create_task(self._read(page, kind, params))

    async def _read(self, page: Page, kind: str, params: dict[str, Any]) -> None:
        try:
            async with page.open(kind, headers={"X-ChatKit-Stop": "explicit"}, **params) as stream:
                async for event in stream:
                    self.events.append(event)
                    self.first.set()
        except httpx.HTTPStatusError as error:
            self.status = error.response.status_code
        self.first.set()

    async def begun(self) -> "Tab":
        await asyncio.wait_for(self.first.wait(), PATIENCE)
        return self

    async def ended(self) -> "Tab":
        await asyncio.wait_for(self.task, PATIENCE)
        return self

    @property
    def thread_id(self) -> str:
        return self.events[0]["thread"]["id"]


async def hold_answer(replica: LocalReplica, page: Page, at: int = 4) -> Tab:
    """Start a thread whose answer stands still before the given word."""
    replica.assistant.hold_at = at
    tab = await Tab(page, "threads.create", input=message("Count")).begun()
    await asyncio.wait_for(replica.assistant.held.wait(), PATIENCE)
    return tab


def release(replica: LocalReplica) -> None:
    replica.assistant.hold_at = None
    replica.assistant.released.set()


async def stand_still(replica: LocalReplica) -> None:
    """Let a replica do nothing from here on, as far as others can see."""
    for task in replica.runs._tasks:
        task.cancel()
    await asyncio.wait(replica.runs._tasks)


async def say_again(page: Page, thread_id: str) -> Tab:
    return Tab(page, "threads.add_user_message", thread_id=thread_id, input=message("Again"))


class Reader:
    """Somebody who has come back to an answer, and reads on in the background."""

    def __init__(self, page: Page, thread_id: str, last: str | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._is_attached = False
        self._task = asyncio.create_task(self._read(page, thread_id, last))

    async def _read(self, page: Page, thread_id: str, last: str | None) -> None:
        headers = page.headers | ({"Last-Event-ID": last} if last else {})
        async with page.client.stream(
            "GET", f"/api/threads/{thread_id}/stream", headers=headers
        ) as response:
            assert response.status_code == 200
            assert response.headers["x-chatkit-run"].startswith("run_")
            self._is_attached = True
            async for event in EventStream(response):
                self.events.append(event)

    async def attached(self) -> "Reader":
        """Wait until the server has taken the reader in."""
        await until(lambda: self._is_attached or self._task.done())
        return self

    async def ended(self) -> list[dict[str, Any]]:
        """Wait for the end of the stream, and return its events."""
        await asyncio.wait_for(self._task, PATIENCE)
        return self.events


async def attach(page: Page, thread_id: str, last: str | None = None) -> list[dict[str, Any]]:
    """Come back to an answer, and return its further events."""
    return await Reader(page, thread_id, last).ended()


async def nothing_to_attach(page: Page, thread_id: str, last: str = "") -> bool:
    headers = page.headers | {"Last-Event-ID": last}
    answer = await page.client.get(f"/api/threads/{thread_id}/stream", headers=headers)
    return answer.status_code == 204


def text_of(events: list[dict[str, Any]]) -> str:
    """Return what a client shows that applies the events of one message."""
    text = ""
    for event in events:
        item = event.get("item", {})
        if item.get("type") == "assistant_message":
            text = "".join(part["text"] for part in item["content"])
        text += event.get("update", {}).get("delta", "")
    return text
