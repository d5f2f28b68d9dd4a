"""Polite answers of the fake provider, and the real formats in which both APIs send them."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MODEL = "fake-model"

_numbers = itertools.count(1)


def create_id(prefix: str) -> str:
    return f"{prefix}_{next(_numbers):024x}"


@dataclass(frozen=True)
class ToolCall:
    """A function call; ``arguments`` is the JSON text that the model wrote."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True)
class Reply:
    """One streamed answer, made of whichever parts are set, in this order."""

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    incomplete: str | None = None
    """Responses: the reason of ``incomplete_details``. Chat: the finish reason it maps to."""
    failed: str | None = None
    """The error code with which the provider gives up after the parts above."""
    broken: bool = False
    """Whether the connection is cut after the parts above."""
    silent: bool = False
    """Whether nothing at all is answered, until the client gives up."""
    pause: float = 0.0
    """Seconds between two frames."""
    status: int = 200
    """Any other status is answered with an error body and ``headers``, and nothing is streamed."""
    headers: dict[str, str] = field(default_factory=dict)
    page: tuple[str, str] | None = None
    """Content type and body of what comes, with status 200, instead of a stream of events."""


def _pieces(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


# --- the Responses API ---------------------------------------------------------------------------


def response_frames(reply: Reply) -> Iterator[str]:
    writer = _ResponseFrames()
    yield from writer.begin()
    if reply.reasoning:
        yield from writer.reasoning(reply.reasoning)
    if reply.text:
        cut = reply.broken or reply.failed is not None
        status = "incomplete" if reply.incomplete else "completed"
        yield from writer.text(reply.text, cut=cut, status=status)
    if reply.refusal:
        yield from writer.refusal(reply.refusal)
    for call in reply.tool_calls:
        yield from writer.function_call(call)
    if not reply.broken:
        yield writer.end(reply)


class _ResponseFrames:
    """Writes the frames of one response; the field names are those of the live API."""

    def __init__(self) -> None:
        self._id = create_id("resp")
        self._sequence = itertools.count()
        self._output: list[dict[str, Any]] = []

    def begin(self) -> Iterator[str]:
        for kind in ("response.created", "response.in_progress"):
            yield self._frame(kind, response=self._body("in_progress"))

    def end(self, reply: Reply) -> str:
        if reply.failed is not None:
            error = {"code": reply.failed, "message": "The model failed to answer."}
            return self._frame("response.failed", response=self._body("failed", error=error))
        if reply.incomplete is not None:
            details = {"reason": reply.incomplete}
            body = self._body("incomplete", incomplete_details=details)
            return self._frame("response.incomplete", response=body)
        return self._frame("response.completed", response=self._body("completed"))

    def text(self, text: str, *, cut: bool, status: str) -> Iterator[str]:
        item = message_item(create_id("msg"), text, status)
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        place = self._place(item) | {"content_index": 0}
        yield self._added(item | {"content": [], "status": "in_progress"})
        yield self._frame("response.content_part.added", part=part, **place)
        for piece in _pieces(text):
            yield self._frame(
                "response.output_text.delta", delta=piece, logprobs=[], obfuscation="x", **place
            )
        if cut:
            return
        yield self._frame("response.output_text.done", text=text, logprobs=[], **place)
        yield self._frame("response.content_part.done", part=item["content"][0], **place)
        yield self._done(item)

    def refusal(self, text: str) -> Iterator[str]:
        item = message_item(create_id("msg"), "") | {
            "content": [{"type": "refusal", "refusal": text}]
        }
        place = self._place(item) | {"content_index": 0}
        empty = {"type": "refusal", "refusal": ""}
        yield self._added(item | {"content": [], "status": "in_progress"})
        yield self._frame("response.content_part.added", part=empty, **place)
        for piece in _pieces(text):
            yield self._frame("response.refusal.delta", delta=piece, **place)
        yield self._frame("response.refusal.done", refusal=text, **place)
        yield self._frame("response.content_part.done", part=item["content"][0], **place)
        yield self._done(item)

    def reasoning(self, text: str) -> Iterator[str]:
        item = {"id": create_id("rs"), "type": "reasoning", "summary": []}
        part = {"type": "summary_text", "text": text}
        place = self._place(item) | {"summary_index": 0}
        kind = "response.reasoning_summary"
        yield self._added(item)
        yield self._frame(f"{kind}_part.added", part=part | {"text": ""}, **place)
        for piece in _pieces(text):
            yield self._frame(f"{kind}_text.delta", delta=piece, obfuscation="x", **place)
        yield self._frame(f"{kind}_text.done", text=text, **place)
        yield self._frame(f"{kind}_part.done", part=part, **place)
        yield self._done(item | {"summary": [part]})

    def function_call(self, call: ToolCall) -> Iterator[str]:
        item = {
            "id": create_id("fc"),
            "type": "function_call",
            "status": "completed",
            "arguments": call.arguments,
            "call_id": create_id("call"),
            "name": call.name,
        }
        place = self._place(item)
        kind = "response.function_call_arguments"
        yield self._added(item | {"arguments": "", "status": "in_progress"})
        for piece in _pieces(call.arguments):
            yield self._frame(f"{kind}.delta", delta=piece, obfuscation="x", **place)
        yield self._frame(f"{kind}.done", arguments=call.arguments, **place)
        yield self._done(item)

    def _added(self, item: dict[str, Any]) -> str:
        index = len(self._output)
        return self._frame("response.output_item.added", output_index=index, item=item)

    def _done(self, item: dict[str, Any]) -> str:
        index = len(self._output)
        self._output.append(item)
        return self._frame("response.output_item.done", output_index=index, item=item)

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": len(self._output)}

    def _body(self, status: str, **fields: Any) -> dict[str, Any]:
        return response_body(list(self._output), status=status, id=self._id, **fields)

    def _frame(self, kind: str, **fields: Any) -> str:
        event = {"type": kind, "sequence_number": next(self._sequence), **fields}
        return f"event: {kind}\ndata: {json.dumps(event)}\n\n"


def message_item(item_id: str, text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "content": [part],
        "role": "assistant",
    }


def response_body(
    output: list[dict[str, Any]], *, status: str = "completed", **fields: Any
) -> dict[str, Any]:
    usage = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 18,
    }
    return {
        "id": create_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if status == "completed" else None,
        "user": None,
        "metadata": {},
        **fields,
    }


# --- the chat completions API --------------------------------------------------------------------

FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def chunk_frames(reply: Reply, *, wants_usage: bool) -> Iterator[str]:
    head = {
        "id": create_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }

    def frame(delta: dict[str, Any], finish_reason: str | None = None) -> str:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        usage = {"usage": None} if wants_usage else {}
        return f"data: {json.dumps({**head, 'choices': [choice], **usage})}\n\n"

    for index, delta in enumerate(_chunk_deltas(reply)):
        yield frame({"role": "assistant", **delta} if index == 0 else delta)
    if reply.broken:
        return
    if reply.failed is not None:
        error = {"message": "The model failed to answer.", "type": reply.failed, "code": None}
        yield f"data: {json.dumps({'error': error})}\n\n"
        return
    finish_reason = "tool_calls" if reply.tool_calls else "stop"
    yield frame({}, FINISH_REASONS.get(reply.incomplete or "", finish_reason))
    if wants_usage:
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def _chunk_deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"content": None if reply.tool_calls else "", "refusal": None}
    # As vLLM, DeepSeek and others send it.
    for piece in _pieces(reply.reasoning):
        yield {"reasoning_content": piece}
    for piece in _pieces(reply.text):
        yield {"content": piece}
    for piece in _pieces(reply.refusal):
        yield {"refusal": piece}
    for index, call in enumerate(reply.tool_calls):
        function = {"name": call.name, "arguments": ""}
        opening = {
            "index": index,
            "id": create_id("call"),
            "type": "function",
            "function": function,
        }
        yield {"tool_calls": [opening]}
        for piece in _pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def completion_body(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": create_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
