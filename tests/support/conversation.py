"""A user who talks to a ChatKit server without HTTP: requests in, events out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from app.chatkit.context import RequestContext
from app.chatkit.server import ChatKitServer, StreamingResult

Event = dict[str, Any]


class Conversation:
    """One thread of one user. Each method returns the events of its stream, as a client sees them.

    The thread begins with the first ``say``.
    """

    def __init__(
        self, server: ChatKitServer[RequestContext], context: RequestContext | None = None
    ) -> None:
        self.server = server
        self.context = context or RequestContext(user_id="user_1")
        self.thread_id = ""

    async def say(
        self,
        text: str,
        *,
        inference_options: Event | None = None,
        attachments: list[str] | None = None,
    ) -> list[Event]:
        """Send a message."""
        stream = await self.start_saying(
            text, inference_options=inference_options, attachments=attachments
        )
        events = [event async for event in stream]
        if not self.thread_id:
            self.thread_id = events[0]["thread"]["id"]
        return events

    async def start_saying(
        self,
        text: str,
        *,
        inference_options: Event | None = None,
        attachments: list[str] | None = None,
    ) -> AsyncGenerator[Event]:
        """Send a message and return the stream unread."""
        message = {
            "content": [{"type": "input_text", "text": text}],
            "attachments": attachments or [],
            "inference_options": inference_options or {},
        }
        if self.thread_id:
            params = {"thread_id": self.thread_id, "input": message}
            return await self.open_stream("threads.add_user_message", **params)
        return await self.open_stream("threads.create", input=message)

    async def return_tool_output(self, result: Any) -> list[Event]:
        """Send what a client tool returned."""
        params = {"thread_id": self.thread_id, "result": result}
        return await self.stream("threads.add_client_tool_output", **params)

    async def answer_questions(self, item_id: str, answers: dict[str, list[str]]) -> list[Event]:
        """Send answers to a structured input item."""
        values = {name: {"values": each} for name, each in answers.items()}
        params = {"thread_id": self.thread_id, "item_id": item_id, "input": {"answers": values}}
        return await self.stream("threads.add_structured_input", **params)

    async def stream(self, request_type: str, **params: Any) -> list[Event]:
        """Send a streaming request and return its events."""
        return [event async for event in await self.open_stream(request_type, **params)]

    async def open_stream(self, request_type: str, **params: Any) -> AsyncGenerator[Event]:
        """Send a streaming request and return its stream unread."""
        body = json.dumps({"type": request_type, "params": params})
        result = await self.server.process(body, self.context)
        assert isinstance(result, StreamingResult)
        return _read(result)

    async def ask(self, request_type: str, **params: Any) -> Event:
        """Send a request that is answered with JSON."""
        body = json.dumps({"type": request_type, "params": params})
        return json.loads((await self.server.process(body, self.context)).json)

    async def load_items(self) -> list[Event]:
        """Return the thread's items as a client gets them, oldest first."""
        params = {"thread_id": self.thread_id, "order": "asc"}
        return (await self.ask("items.list", **params))["data"]


async def _read(result: StreamingResult) -> AsyncGenerator[Event]:
    async with aclosing(result.json_events) as frames:
        async for frame in frames:
            yield json.loads(frame.removeprefix(b"data: "))


def types(events: list[Event]) -> list[str]:
    """Return the types of the events (of updates: theirs), each run of the same type as one."""
    names: list[str] = []
    for event in events:
        name = event["update"]["type"] if event["type"] == "thread.item.updated" else event["type"]
        if event["type"] in ("thread.item.added", "thread.item.done", "thread.item.replaced"):
            name = f"{event['type']}({event['item']['type']})"
        if not names or names[-1] != name:
            names.append(name)
    return names


def done_items(events: list[Event], item_type: str) -> list[Event]:
    """Return the items of that type that were done in these events."""
    return [
        event["item"]
        for event in events
        if event["type"] == "thread.item.done" and event["item"]["type"] == item_type
    ]


def answer_text(events: list[Event]) -> str:
    """Return the text of the last assistant message that was done in these events."""
    return done_items(events, "assistant_message")[-1]["content"][0]["text"]
