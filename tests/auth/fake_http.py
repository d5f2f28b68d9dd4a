"""A small HTTP server on loopback that plays somebody else's: an identity provider, OpenAI."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeRequest:
    """What somebody asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeAnswer:
    """What they are told; ``body`` is sent as JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class FakeServer:
    """Answers each request with what ``answer`` returns, and remembers it."""

    def __init__(self, answer: Callable[[FakeRequest], FakeAnswer | None]) -> None:
        self.answer = answer
        self.requests: list[FakeRequest] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close; None as an answer hangs up without one."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = FakeRequest(method, path, headers, body)
        self.requests.append(request)
        answer = self.answer(request)
        if answer is not None:
            content = json.dumps(answer.body).encode()
            extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            writer.write(
                f"HTTP/1.1 {answer.status} X\r\nContent-Length: {len(content)}\r\n"
                f"Content-Type: application/json\r\nConnection: close\r\n{extra}\r\n".encode()
                + content
            )
            await writer.drain()
        writer.close()


@asynccontextmanager
async def fake_server(
    answer: Callable[[FakeRequest], FakeAnswer | None],
) -> AsyncIterator[FakeServer]:
    """Run a ``FakeServer`` on a free port."""
    fake = FakeServer(answer)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield fake
