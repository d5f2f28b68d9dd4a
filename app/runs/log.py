"""A run's frames, for as many readers as there are, none of whom the run ever waits for."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from app.chatkit.protocol.events import ErrorEvent
from app.chatkit.protocol.sse import encode_event, with_frame_id

_FELL_BEHIND = encode_event(
    ErrorEvent(
        code="custom",
        message="This page fell behind the answer. Reload to see all of it.",
        allow_retry=False,
    )
)


class RunLog:
    """An append-only log of encoded frames, bounded in bytes.

    Frame ``n`` (from 1) carries the SSE id ``<run_id>:<n>``. Beyond ``max_bytes`` the oldest
    frames go; a reader that has not got so far is told so and ends.
    """

    def __init__(self, run_id: str, *, max_bytes: int) -> None:
        self._run_id = run_id
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._dropped = 0
        self._bytes = 0
        self._closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def last(self) -> int:
        """The number of the newest frame; 0 while there is none."""
        return self._dropped + len(self._frames)

    @property
    def size(self) -> int:
        """How many bytes the frames have that can still be read."""
        return self._bytes

    @property
    def closed(self) -> bool:
        """Whether no frame will follow."""
        return self._closed

    def append(self, frame: bytes) -> None:
        """Add a frame and wake the readers; never waits."""
        numbered = with_frame_id(frame, f"{self._run_id}:{self.last + 1}")
        self._frames.append(numbered)
        self._bytes += len(numbered)
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            self._bytes -= len(self._frames.popleft())
            self._dropped += 1
        self._wake()

    def close(self) -> None:
        """Say that no frame will follow."""
        self._closed = True
        self._wake()

    async def read(self, after: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield everything behind frame ``after``: all that is ready in one piece, then wait."""
        position = after
        while True:
            if position < self._dropped:
                yield _FELL_BEHIND
                return
            ready = self.last - position
            if ready > 0:
                chunk = self._newest(ready)
                position += ready
                yield chunk
            elif self._closed:
                return
            else:
                await self._wait()

    def _newest(self, count: int) -> bytes:
        if count == 1:
            return self._frames[-1]
        start = len(self._frames) - count
        return b"".join(self._frames[index] for index in range(start, len(self._frames)))

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
