"""The response that carries a run's frames: pings, readers that hang, readers that go."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from app.api.streams import PING, RunResponse
from app.settings import Settings
from tests.support.waiting import PATIENCE

FOREVER = 3600.0


class Reader:
    """The other end of an ASGI connection."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.messages: list[Any] = []
        self.hangs = hangs
        self.gone = asyncio.Event()
        self.pinged = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.hangs and message["type"] == "http.response.body":
            await asyncio.sleep(FOREVER)
        self.messages.append(message)
        if message.get("body") == PING:
            self.pinged.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


class Frames:
    """Frames, then silence or an end; knows how it was ended."""

    def __init__(self, *frames: bytes, silent: bool = False) -> None:
        self.frames = frames
        self.silent = silent
        self.started = asyncio.Event()
        self.ending: type[BaseException] | None = None

    async def stream(self) -> AsyncGenerator[bytes, None]:
        try:
            for frame in self.frames:
                yield frame
            self.started.set()
            if self.silent:
                await asyncio.sleep(FOREVER)
        except BaseException as error:
            self.ending = type(error)
            raise


def respond(frames: Frames, reader: Reader, **settings: Any) -> asyncio.Task[None]:
    configured = Settings(_env_file=None, **settings)  # type: ignore[call-arg]
    response = RunResponse(frames.stream(), "run_1", configured)
    return asyncio.create_task(response({"type": "http"}, reader.receive, reader.send))


async def test_frames_and_headers_are_sent() -> None:
    reader = Reader()
    await respond(Frames(b"data: 1\n\n", b"data: 2\n\n"), reader)
    assert reader.body == b"data: 1\n\ndata: 2\n\n"
    assert reader.messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    headers = dict(reader.messages[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"x-chatkit-run"] == b"run_1"
    assert b"content-length" not in headers


async def test_comment_is_sent_when_a_stream_is_silent() -> None:
    reader, frames = Reader(), Frames(b"data: 1\n\n", silent=True)
    task = respond(frames, reader, stream_heartbeat=0.01)
    async with asyncio.timeout(PATIENCE):
        await reader.pinged.wait()
    assert PING.startswith(b":")
    assert PING.endswith(b"\n\n")
    reader.gone.set()
    await task


async def test_reader_is_let_go_when_it_takes_nothing() -> None:
    frames = Frames(b"data: 1\n\n")
    async with asyncio.timeout(PATIENCE):
        await respond(frames, Reader(hangs=True), stream_send_timeout=0.02)
    assert frames.ending is GeneratorExit


async def test_reader_is_let_go_when_it_takes_no_ping() -> None:
    reader, frames = Reader(), Frames(b"data: 1\n\n", silent=True)
    task = respond(frames, reader, stream_heartbeat=0.02, stream_send_timeout=0.02)
    await frames.started.wait()
    reader.hangs = True
    async with asyncio.timeout(PATIENCE):
        await task
    assert frames.ending is asyncio.CancelledError


async def test_stream_ends_when_the_connection_closes() -> None:
    reader, frames = Reader(), Frames(b"data: 1\n\n", silent=True)
    task = respond(frames, reader)
    await frames.started.wait()
    reader.gone.set()
    async with asyncio.timeout(PATIENCE):
        await task
    assert frames.ending is asyncio.CancelledError
    assert task.cancelling() == 0


async def test_cancellation_from_outside_is_passed_on() -> None:
    reader, frames = Reader(), Frames(silent=True)
    task = respond(frames, reader)
    await frames.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert frames.ending is asyncio.CancelledError


async def test_no_task_is_left_behind_when_a_stream_has_ended() -> None:
    before = asyncio.all_tasks()
    await respond(Frames(b"data: 1\n\n"), Reader())
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
