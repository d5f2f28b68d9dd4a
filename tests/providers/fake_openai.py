"""A provider on loopback that speaks the real formats of both OpenAI APIs.

Tests put ``Reply`` objects into ``replies``; each streamed request takes the next one and gets it
in the format of the API that it called. Requests that do not stream are the ones for titles: they
get ``title``. Everything that came in is in ``requests``.
"""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "fake-model"

_numbers = itertools.count(1)


def _id(prefix: str) -> str:
    return f"{prefix}_{next(_numbers):024x}"


# --- what it can be told to answer ---------------------------------------------------------------


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


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream"))


class BrokenConnectionError(Exception):
    """Raised inside a response to make the server drop the connection."""


class FakeOpenAI:
    """The provider; ``base_url`` is what ``OPENAI_BASE_URL`` would be."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.replies: deque[Reply] = deque()
        self.requests: list[ReceivedRequest] = []
        self.title: str | int = "A fake title"
        """What a request for a title gets; a number is an error status."""
        self.hung_up = threading.Event()
        """Whether a client has closed its connection in the middle of a stream."""

    @property
    def streamed(self) -> list[ReceivedRequest]:
        """The requests that asked for a stream: those of answers, not of titles."""
        return [each for each in self.requests if each.is_stream]

    def reset(self) -> None:
        """Forget what was scripted and what came in."""
        self.replies.clear()
        self.requests.clear()
        self.title = "A fake title"
        self.hung_up.clear()

    def create_app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/chat/completions", self._chat_completions, methods=["POST"]),
            ]
        )

    async def _responses(self, request: Request) -> Response:
        received = await self._receive(request)
        if not received.is_stream:
            return self._answer_title(_response_body([_message_item(_id("msg"), str(self.title))]))
        reply = await self._take_reply(request)
        if reply.status != 200:
            return _error(reply.status, reply.headers)
        if reply.page:
            return _page(*reply.page)
        return _stream(_response_frames(reply), reply, self.hung_up)

    async def _chat_completions(self, request: Request) -> Response:
        received = await self._receive(request)
        if not received.is_stream:
            return self._answer_title(_completion_body(str(self.title)))
        reply = await self._take_reply(request)
        if reply.status != 200:
            return _error(reply.status, reply.headers)
        if reply.page:
            return _page(*reply.page)
        wants_usage = (received.body.get("stream_options") or {}).get("include_usage", False)
        return _stream(_chunk_frames(reply, wants_usage=wants_usage), reply, self.hung_up)

    async def _receive(self, request: Request) -> ReceivedRequest:
        body = await request.json()
        received = ReceivedRequest(request.url.path, dict(request.headers), body)
        self.requests.append(received)
        return received

    async def _take_reply(self, request: Request) -> Reply:
        reply = self.replies.popleft()
        while reply.silent and (await request.receive())["type"] != "http.disconnect":
            pass
        return reply

    def _answer_title(self, body: dict[str, Any]) -> Response:
        return _error(self.title, {}) if isinstance(self.title, int) else JSONResponse(body)


@contextmanager
def run_fake_openai() -> Iterator[FakeOpenAI]:
    """Run a fake provider in a thread of its own, on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    fake = FakeOpenAI(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    config = uvicorn.Config(fake.create_app(), log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


# --- both APIs -----------------------------------------------------------------------------------

ERRORS = {
    400: ("invalid_request_error", None, "The image data you provided is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
}


def _error(status: int, headers: dict[str, str]) -> Response:
    kind, code, message = ERRORS[status]
    error = {"message": message, "type": kind, "param": None, "code": code}
    # The client repeats 429 and 5xx unless it is told not to.
    headers = {"x-should-retry": "false", "x-request-id": _id("req"), **headers}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _page(content_type: str, body: str) -> Response:
    return Response(body, headers={"content-type": content_type})


def _stream(frames: Iterator[str], reply: Reply, hung_up: threading.Event) -> Response:
    async def body() -> AsyncIterator[str]:
        is_sent = False
        try:
            for frame in frames:
                yield frame
                await asyncio.sleep(reply.pause)
            is_sent = True
        finally:
            if not is_sent:
                hung_up.set()
        if reply.broken:
            raise BrokenConnectionError

    headers = {"x-request-id": _id("req")}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


def _pieces(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


# --- the Responses API ---------------------------------------------------------------------------


def _response_frames(reply: Reply) -> Iterator[str]:
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
        self._id = _id("resp")
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
        item = _message_item(_id("msg"), text, status)
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
        item = _message_item(_id("msg"), "") | {"content": [{"type": "refusal", "refusal": text}]}
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
        item = {"id": _id("rs"), "type": "reasoning", "summary": []}
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
            "id": _id("fc"),
            "type": "function_call",
            "status": "completed",
            "arguments": call.arguments,
            "call_id": _id("call"),
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
        return _response_body(list(self._output), status=status, id=self._id, **fields)

    def _frame(self, kind: str, **fields: Any) -> str:
        event = {"type": kind, "sequence_number": next(self._sequence), **fields}
        return f"event: {kind}\ndata: {json.dumps(event)}\n\n"


def _message_item(item_id: str, text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "content": [part],
        "role": "assistant",
    }


def _response_body(
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
        "id": _id("resp"),
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


def _chunk_frames(reply: Reply, *, wants_usage: bool) -> Iterator[str]:
    head = {
        "id": _id("chatcmpl"),
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
        opening = {"index": index, "id": _id("call"), "type": "function", "function": function}
        yield {"tool_calls": [opening]}
        for piece in _pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _completion_body(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": _id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
