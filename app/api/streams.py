"""How a run's frames go out: Server-Sent Events that name their run."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from sse_starlette import ServerSentEvent
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.audit import audit
from app.errors import RateLimitedError
from app.settings import Settings

RUN_HEADER = "X-ChatKit-Run"
STOP_HEADER = "X-ChatKit-Stop"

EXTENSION = "app.connections"
"""Among a scope's extensions, where the server itself ends connections that stand still."""

PING = ServerSentEvent(comment="ping", sep="\n").encode()

STREAMS_RETRY_AFTER = 5
"""After how many seconds it is worth asking whether a stream has ended."""

logger = logging.getLogger("app.streams")


class OpenStreams:
    """How many streams are open for each user on this replica; with 0 there is no ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    def open(self, user_id: str) -> "StreamSlot":
        """Return a place for one more stream, to be released; raises ``RateLimitedError``."""
        if self._limit and self._open[user_id] >= self._limit:
            audit("rate_limited", user_id=user_id, limit="user_streams")
            raise RateLimitedError(
                "Too many answers are open for you. Please close some pages.",
                retry_after=STREAMS_RETRY_AFTER,
            )
        self._open[user_id] += 1
        return StreamSlot(self, user_id)

    def close(self, user_id: str) -> None:
        """Take note that a stream has ended."""
        self._open[user_id] -= 1
        if self._open[user_id] <= 0:
            del self._open[user_id]


class StreamSlot:
    """A place for one stream."""

    def __init__(self, streams: OpenStreams, user_id: str) -> None:
        self._streams: OpenStreams | None = streams
        self._user_id = user_id

    def release(self) -> None:
        """Give the place back; harmless if that was done already."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams.close(self._user_id)


class RunResponse(Response):
    """The frames of one run, with a comment in silence so that no proxy cuts the stream.

    It needs one task besides that of the request, and none per send. Of sse-starlette only the
    comment's format is used: its response has four tasks, and a timeout and a lock for each send,
    so one of 100 frames costs 0.8 ms of CPU instead of 0.15, a third of a whole turn.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        run_id: str,
        settings: Settings,
        slot: StreamSlot | None = None,
    ) -> None:
        self._frames = frames
        self._slot = slot
        self._heartbeat = settings.stream_heartbeat
        self._send_timeout = settings.stream_send_timeout
        self.background = None
        self.status_code = 200
        self.init_headers(
            {RUN_HEADER: run_id, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    def init_headers(self, headers: Any = None) -> None:
        """Set the headers; a stream has no length."""
        super().init_headers(headers)
        self.raw_headers = [each for each in self.raw_headers if each[0] != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; a peer that takes nothing any more is let go, the run is not."""
        try:
            await self._send_all(scope, receive, send)
        finally:
            if self._slot is not None:
                self._slot.release()

    async def _send_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_watched = EXTENSION in (scope.get("extensions") or {})
        send_timeout = math.inf if is_watched else self._send_timeout
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        peer = _Peer(receive, send, self._heartbeat, send_timeout)
        try:
            async with aclosing(self._frames) as frames:
                async for chunk in frames:
                    await peer.send(chunk)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not peer.is_gone:
                raise
            peer.task.uncancel()
        finally:
            peer.close()


class _Peer:
    """Whoever reads the stream: whether they are there, and when they were last sent something.

    When they are gone, or take nothing for too long, the task that serves them is cancelled.
    """

    def __init__(self, receive: Receive, send: Send, heartbeat: float, send_timeout: float) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a response is sent by a task
        self.task = task
        self.is_gone = False
        self._send = send
        self._heartbeat = heartbeat
        self._send_timeout = send_timeout
        self._loop = loop
        self._sent_at = loop.time()
        self._sending = False
        self._ping: asyncio.Task[None] | None = None
        self._timer = loop.call_later(min(heartbeat, send_timeout), self._look)
        self._listener = loop.create_task(_listen(receive))
        self._listener.add_done_callback(self._let_go)

    async def send(self, chunk: bytes) -> None:
        """Send a part of the stream."""
        self._sending = True
        self._sent_at = self._loop.time()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._sending = False

    def close(self) -> None:
        """Leave nothing behind."""
        self._timer.cancel()
        self._listener.remove_done_callback(self._let_go)
        self._listener.cancel()
        if self._ping is not None:
            self._ping.cancel()

    def _look(self) -> None:
        """See whether a ping is due, or a send has hung for too long."""
        silent = self._loop.time() - self._sent_at
        if self._sending and silent >= self._send_timeout:
            logger.info("A reader took nothing for too long and was let go")
            self._let_go()
            return
        limit = self._send_timeout if self._sending else self._heartbeat
        if not self._sending and silent >= limit:
            self._ping = self._loop.create_task(self.send(PING))
            silent, limit = 0.0, min(self._send_timeout, self._heartbeat)
        # A server that watches its connections ends a send that hangs by itself.
        wait = limit - silent if math.isfinite(limit) else self._heartbeat
        self._timer = self._loop.call_later(max(wait, 0.001), self._look)

    def _let_go(self, _: object = None) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.task.cancel()


async def _listen(receive: Receive) -> None:
    """Wait until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
