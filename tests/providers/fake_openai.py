"""A provider on loopback that speaks the real formats of both OpenAI APIs.

Tests put ``Reply`` or ``Raw`` objects into ``replies`` (or ``play`` a script); each request for a
stream takes the next one: a ``Reply`` in the format of the API that it called, a ``Raw`` as it is.
Requests that do not stream are the ones for titles: they get ``title``. Everything that came in is
in ``requests``.
"""

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.providers.replies import (
    Reply,
    ToolCall,
    chunk_frames,
    completion_body,
    create_id,
    message_item,
    response_body,
    response_frames,
)
from tests.providers.scripts import Raw, Rule, Script

__all__ = ["FakeOpenAI", "Raw", "ReceivedRequest", "Reply", "Script", "ToolCall", "run_fake_openai"]


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
        self.hung_up = threading.Event()
        """Whether a client has closed its connection in the middle of a stream."""
        self.reset()

    @property
    def streamed(self) -> list[ReceivedRequest]:
        """The requests that asked for a stream: those of answers, not of titles."""
        return [each for each in self.requests if each.is_stream]

    def reset(self) -> None:
        """Forget what was scripted and what came in."""
        self.replies: deque[Reply | Raw] = deque()
        self.rules: list[Rule] = []
        """What it refuses, of requests for streams and titles alike."""
        self.requests: list[ReceivedRequest] = []
        self.title: str | int = "A fake title"
        """What a request for a title gets; a number is an error status."""
        self.title_delay = 0.0
        """Seconds that a title takes."""
        self.has_one_slot = False
        """Whether it answers one request at a time, as a local server does."""
        self._slot = asyncio.Lock()
        self.hung_up.clear()

    def play(self, script: Script) -> None:
        """Do from now on what ``script`` says."""
        self.replies.extend(script.replies)
        self.rules.extend(script.rules)

    def create_app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/chat/completions", self._chat_completions, methods=["POST"]),
            ]
        )

    async def _responses(self, request: Request) -> Response:
        return await self._answer(
            request,
            lambda: response_body([message_item(create_id("msg"), str(self.title))]),
            lambda reply, _: response_frames(reply),
        )

    async def _chat_completions(self, request: Request) -> Response:
        return await self._answer(
            request,
            lambda: completion_body(str(self.title)),
            lambda reply, body: chunk_frames(
                reply, wants_usage=(body.get("stream_options") or {}).get("include_usage", False)
            ),
        )

    async def _answer(
        self,
        request: Request,
        write_title: Callable[[], dict[str, Any]],
        write_frames: Callable[[Reply, dict[str, Any]], Iterator[str]],
    ) -> Response:
        body = await request.json()
        received = ReceivedRequest(request.url.path, dict(request.headers), body)
        self.requests.append(received)
        for refuse in self.rules:
            refusal = refuse(body)
            if refusal is not None:
                return self._play(refusal)
        if not received.is_stream:
            return await self._answer_title(write_title())
        reply = self.replies.popleft()
        if isinstance(reply, Raw):
            return self._play(reply)
        while reply.silent and (await request.receive())["type"] != "http.disconnect":
            pass
        if reply.status != 200:
            return _error(reply.status, reply.headers)
        if reply.page:
            return _page(*reply.page)
        return self._stream(write_frames(reply, body), pause=reply.pause, broken=reply.broken)

    def _play(self, raw: Raw) -> Response:
        if raw.content_type != "text/event-stream":
            return Response(
                "".join(raw.frames), raw.status, {"content-type": raw.content_type, **raw.headers}
            )
        return self._stream(raw.frames, pause=raw.pause, broken=raw.broken, raw=raw)

    async def _answer_title(self, body: dict[str, Any]) -> Response:
        async with self._turn():
            await asyncio.sleep(self.title_delay)
        return _error(self.title, {}) if isinstance(self.title, int) else JSONResponse(body)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """Wait for the one slot, if there is only one."""
        if not self.has_one_slot:
            yield
            return
        async with self._slot:
            yield

    def _stream(
        self, frames: Iterable[str], *, pause: float, broken: bool, raw: Raw | None = None
    ) -> Response:
        async def body() -> AsyncIterator[str]:
            is_sent = False
            try:
                async with self._turn():
                    for frame in frames:
                        yield frame
                        await asyncio.sleep(pause)
                is_sent = True
            finally:
                if not is_sent:
                    self.hung_up.set()
            if broken:
                raise BrokenConnectionError

        headers = {"x-request-id": create_id("req"), **(raw.headers if raw else {})}
        status = raw.status if raw else 200
        return StreamingResponse(body(), status, headers, media_type="text/event-stream")


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
    headers = {"x-should-retry": "false", "x-request-id": create_id("req"), **headers}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _page(content_type: str, body: str) -> Response:
    return Response(body, headers={"content-type": content_type})
