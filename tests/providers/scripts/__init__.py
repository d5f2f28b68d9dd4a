"""What real servers send, told again: one module per family of servers.

Each constant is a ``Script``, named after what is odd about it, with the public report that it
comes from. Play it with ``fake.play(script)`` or the fixture ``play``.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

RECORDED = Path(__file__).parent / "recorded"
"""Answers of real servers, byte for byte behind their status lines and headers."""

Api = Literal["chat_completions", "responses"]
Event = dict[str, Any]


@dataclass(frozen=True)
class Raw:
    """One HTTP answer as it stands; ``frames`` are sent one by one."""

    frames: tuple[str, ...]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    pause: float = 0.0
    """Seconds between two frames."""
    broken: bool = False
    """Whether the connection is cut after the frames."""


Rule = Callable[[Event], "Raw | None"]
"""What a strict server refuses: its answer to a request body that breaks the rule."""


@dataclass(frozen=True)
class Script:
    """What a server does: its answers to the requests for streams, in order.

    ``report`` is where it was seen in public, as ``owner/repository#number`` or an address. A
    request that breaks one of ``rules`` is refused, and takes none of the ``replies``.
    """

    report: str
    replies: tuple[Any, ...]
    api: Api = "chat_completions"
    rules: tuple[Rule, ...] = ()


# --- Chat Completions ----------------------------------------------------------------------------


def sse(*events: Any, done: bool = True) -> Raw:
    """Return a stream of events, each of which may be a dict or its text."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in events]
    frames = [f"data: {each}\n\n" for each in texts]
    return Raw((*frames, "data: [DONE]\n\n") if done else tuple(frames))


def chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> Event:
    """Return one ``chat.completion.chunk``; ``fields`` replace those of the chunk."""
    choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return {**head, "choices": [choice], **fields}


def chat(*deltas: Any, finish: str | None = "stop", done: bool = True) -> Raw:
    """Return a stream of deltas (a text is one of content) with a finish reason at the end."""
    events = [chunk({"content": each} if isinstance(each, str) else each) for each in deltas]
    if finish is not None:
        events.append(chunk({}, finish))
    return sse(*events, done=done)


def call(
    name: str | None = None, arguments: Any = None, *, index: Any = 0, id: Any = None, **fields: Any
) -> Event:
    """Return a delta with a piece of one tool call; what is None is left out."""
    function = {"name": name, "arguments": arguments}
    entry = {"index": index, "id": id, "type": "function", **fields}
    entry["function"] = {key: value for key, value in function.items() if value is not None}
    return {"tool_calls": [{key: value for key, value in entry.items() if value is not None}]}


# --- Responses -----------------------------------------------------------------------------------


def responses(*events: Event, output: Any = None, status: str = "completed", **fields: Any) -> Raw:
    """Return a stream that begins with ``response.created`` and ends with the response.

    ``output`` None leaves the last event out. ``fields`` are those of the final response.
    """
    body: Event = {"id": "resp_1", "object": "response", "model": "fake", "created_at": 1}
    created = {"type": "response.created", "response": {**body, "status": "in_progress"}}
    all_events = [created, *events]
    if output is not None:
        final = {**body, "status": status, "output": output, **fields}
        all_events.append({"type": f"response.{status}", "response": final})
    frames = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in all_events)
    return Raw(tuple(frames))


def message(text: str, item_id: str = "msg_1", status: str = "completed") -> Event:
    """Return an output item that is a message of one text."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part] if text else [],
    }


def function_call(
    name: str, arguments: Any, call_id: Any = "call_1", item_id: Any = "fc_1"
) -> Event:
    """Return an output item that is a function call."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "name": name,
        "arguments": arguments,
        "call_id": call_id,
    }


def added(item: Event, index: int = 0) -> Event:
    """Return the announcement of an output item."""
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def finished(item: Event, index: int = 0) -> Event:
    """Return the end of an output item."""
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def text_delta(delta: Any, item_id: str = "msg_1", index: int = 0) -> Event:
    """Return a piece of text."""
    place = {"item_id": item_id, "output_index": index, "content_index": 0}
    return {"type": "response.output_text.delta", "delta": delta, "logprobs": [], **place}


# --- both ----------------------------------------------------------------------------------------


def refusal(status: int, body: Any, **headers: str) -> Raw:
    """Return an error as the server words it; the client is told not to repeat the request."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Raw((text,), status, "application/json", {"x-should-retry": "false", **headers})


def recorded(name: str) -> Raw:
    """Return what a real server sent, from the file of that name (without its ending)."""
    text = (RECORDED / f"{name}.txt").read_text()
    head, is_whole, body = text.partition("\n\n")
    if text.startswith("HTTP/1.1 "):
        status, headers = int(head.split()[1]), head.lower()
    else:  # only the body was kept
        status, headers, body = (200 if text.startswith("data:") else 400), "", text
    if body.lstrip().startswith("{") or (is_whole and "application/json" in headers):
        return refusal(status, body.strip())
    return Raw(tuple(_frames_of(body)), status)


def _frames_of(body: str) -> Iterator[str]:
    for frame in body.strip().split("\n\n"):
        yield f"{frame.strip()}\n\n"
