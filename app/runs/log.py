"""A run's frames, for as many readers as there are, none of whom the run ever waits for."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from itertools import islice

from app.chatkit.protocol.events import ErrorEvent
from app.chatkit.protocol.sse import encode_event, with_frame_id
from app.chatkit.wakeup import Wakeup

PIECE_BYTES = 256 * 1024
"""What a reader is given at a time: a slow one holds no more than that besides the log itself."""

_FELL_BEHIND = encode_event(
    ErrorEvent(
        code="custom",
        message="This page fell behind the answer. Reload to see all of it.",
        allow_retry=False,
    )
)


class FrameGate:
    """Whether frames may be shown: while the database is known to keep what they say.

    ``lead`` is how far ahead of what is stored a reader may be, in seconds; ``stored_at`` is the
    time on the loop's clock up to which everything that runs had said is known to be stored.
    """

    __slots__ = ("_clock", "lead", "stored_at")

    def __init__(self, lead: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self.lead = lead
        self.stored_at = self._clock()

    def take_time(self) -> float | None:
        """Return None where a frame may be shown now, and otherwise the time that it must wait."""
        now = self._clock()
        return None if now - self.stored_at <= self.lead else now


class RunLog:
    """An append-only log of encoded frames, bounded in bytes.

    Frame ``n`` (from 1) carries the SSE id ``<run_id>:<n>``. Beyond ``max_bytes`` the oldest
    frames go; a reader that has not got so far is told so and ends. Frames for which the ``gate``
    was closed are held: they are read once they are released, and never if they are discarded.
    """

    def __init__(self, run_id: str, *, max_bytes: int, gate: FrameGate | None = None) -> None:
        self._run_id = run_id
        self._max_bytes = max_bytes
        self._gate = gate
        self._held: deque[float] = deque()  # since when, of the newest frames
        self._frames: deque[bytes] = deque()
        self._dropped = 0
        self._bytes = 0
        self._closed = False
        self._wakeup = Wakeup()

    @property
    def last(self) -> int:
        """The number of the newest frame that may be read; 0 while there is none."""
        return self._dropped + len(self._frames) - len(self._held)

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
        number = self._dropped + len(self._frames) + 1
        numbered = with_frame_id(frame, f"{self._run_id}:{number}")
        self._frames.append(numbered)
        self._bytes += len(numbered)
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            self._bytes -= len(self._frames.popleft())
            self._dropped += 1
            if len(self._held) > len(self._frames):
                self._held.popleft()
        since = None if self._gate is None else self._gate.take_time()
        if since is not None or self._held:
            self._held.append(since or self._held[-1])
        else:
            self._wakeup.notify()

    @property
    def is_holding(self) -> bool:
        """Whether frames wait for the database."""
        return bool(self._held)

    async def all_released(self) -> None:
        """Wait until no frame is held."""
        while self._held:
            await self._wakeup.wait()

    def release(self, until: float | None = None) -> None:
        """Let frames be read that have been held since before ``until``, or all of them."""
        if not self._held:
            return
        while self._held and (until is None or self._held[0] <= until):
            self._held.popleft()
        self._wakeup.notify()

    def discard_held(self) -> None:
        """Drop what nobody has read: it was said by a run that was taken over."""
        while self._held and self._frames:
            self._held.pop()
            self._bytes -= len(self._frames.pop())
        self._held.clear()

    def close(self) -> None:
        """Say that no frame will follow; those that are held are discarded."""
        self.discard_held()
        self._closed = True
        self._wakeup.notify()

    async def read(self, after: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield everything behind frame ``after``: what is ready in large pieces, then wait."""
        position = after
        while True:
            if position < self._dropped:
                yield _FELL_BEHIND
                return
            if position < self.last:
                frames = self._take_behind(position)
                position += len(frames)
                yield frames[0] if len(frames) == 1 else b"".join(frames)
            elif self._closed:
                return
            else:
                await self._wakeup.wait()

    def _take_behind(self, position: int) -> list[bytes]:
        """Return the frames behind that one, up to ``PIECE_BYTES`` but at least one."""
        start = position - self._dropped
        count = self.last - position
        frames: Iterable[bytes]
        if start <= count:
            frames = islice(self._frames, start, start + count)
        else:  # to reach into the middle of a deque costs as much as what lies before
            held = len(self._held)
            frames = reversed(list(islice(reversed(self._frames), held, held + count)))
        taken: list[bytes] = []
        size = 0
        for frame in frames:
            size += len(frame)
            if taken and size > PIECE_BYTES:
                break
            taken.append(frame)
        return taken
