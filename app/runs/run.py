"""One run: a task of its own that carries a turn out and logs its frames."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from app.chatkit.context import RequestContext, RunIdentity
from app.chatkit.engine.pipeline import TurnPipeline
from app.chatkit.engine.user_agent import set_user_agent
from app.chatkit.errors import ErrorCode, NotFoundError, RequestRefusedError, ThreadBusyError
from app.chatkit.protocol.events import ErrorEvent, ProgressUpdateEvent
from app.chatkit.protocol.ids import create_id
from app.chatkit.protocol.items import AssistantMessageItem, GeneratedImageItem, ThreadItem
from app.chatkit.protocol.requests import StreamingReq, ThreadsCreateReq
from app.chatkit.protocol.sse import encode_event
from app.chatkit.server import ChatKitServer
from app.chatkit.streaming.pending_items import is_blank
from app.runs.log import FrameGate, RunLog
from app.runs.repository import Orphan, RunEnd, RunRepository

logger = logging.getLogger("chatkit.runs")

StopReason = Literal["stopped", "interrupted", "lost", "deleted", "unreachable"]
"""By the user, by the end of this replica, by a takeover, because the thread was deleted, or
because the database has been away for too long."""

RunPhase = Literal["waiting", "opening", "responding", "ending"]
"""For its thread; claiming it and storing the request; what the assistant says; storing the end.

No stop may tear the writes of ``opening`` and ``ending`` apart.
"""

BusyPolicy = Literal["wait", "interrupt", "reject"]

WAITING = "Another answer is still being written here. Yours starts right after it."
STILL_BUSY = "Another answer is still being written in this thread. Please try again in a moment."
CUT_OFF = "The answer was cut off. What was written so far is saved; please try again."
UNREACHABLE = (
    "The connection to the database was lost, so this answer ended early. "
    "What was shown is saved; please try again."
)

MAX_PAUSE = 1.0
"""Seconds between two of these tries at most."""

LOOPS_BEFORE_WORK = 8
"""Turns of the event loop between what opens an answer and the work on it.

One brings the first frames to their reader. The others let answers that are just beginning pass
ahead, and keep runs out of step: with 3 the first event at 16 clients comes a quarter later, with
16 it comes earlier still but a turn costs 8 % more CPU (``make bench``).
"""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How runs behave; times in seconds, sizes in bytes.

    ``outage`` is for how long a run goes on trying to reach a database that is away.
    """

    thread_busy: BusyPolicy = "wait"
    busy_wait: float = 30.0
    busy_poll: float = 0.2
    log_bytes: int = 8 * 1024 * 1024
    outage: float = 30.0


Interrupt = Callable[[str, str, str], Awaitable[None]]
"""Asks the run on a thread (owner, thread id) to stop if it is older than the given run (id)."""


class Snapshot(NamedTuple):
    """The pending items as readers see them; ``version`` is that of the pending items."""

    items: list[ThreadItem]
    version: int


class Run:
    """Carries out one streaming request, whoever reads and whoever goes away.

    ``opened`` tells how it began; ``log`` is what it says; ``stop`` ends it early.
    """

    def __init__(
        self,
        server: ChatKitServer[RequestContext],
        request: StreamingReq,
        context: RequestContext,
        repository: RunRepository,
        options: RunOptions,
        interrupt: Interrupt,
        *,
        replica: str,
        gate: FrameGate | None = None,
    ) -> None:
        self.id = create_id("run")
        self.replica = replica
        self.user_id = context.user_id
        self.thread_id = None if isinstance(request, ThreadsCreateReq) else request.params.thread_id
        self.log = RunLog(self.id, max_bytes=options.log_bytes, gate=gate)
        self._server = server
        self._request = request
        self._repository = repository
        self._options = options
        self._interrupt = interrupt
        self._pipeline: TurnPipeline[Any] | None = None
        self._stop_reason: StopReason | None = None
        self._saved = 0  # the version of the last snapshot
        self.phase: RunPhase = "waiting"
        self._reader_is_gone = False  # the one that asked for the run
        self._is_shutting_down = False  # the replica, which waits no longer
        self._refusal: Exception | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        context.run = RunIdentity(id=self.id, kind=request.type, replica=replica)
        self._context = context
        self.task = asyncio.create_task(self._carry_out(), name=self.id)
        self.task.add_done_callback(self._close_in_any_case)

    async def opened(self) -> None:
        """Wait for the first frame; raises what refused the request, if something did."""
        await self._opened

    @property
    def allow_cancel(self) -> bool:
        """Whether the stream has announced that a closed connection is the Stop button."""
        return self._pipeline is not None and self._pipeline.allow_cancel

    @property
    def began(self) -> bool:
        """Whether the run has claimed its thread and sent its first frame."""
        return self._pipeline is not None

    @property
    def is_lost(self) -> bool:
        """Whether somebody else knows better how the run goes on, or how it ended."""
        return self._stop_reason in ("lost", "unreachable")

    def stop(self, reason: StopReason) -> None:
        """Cancel the run; what the user has seen is saved. Harmless if it has ended.

        Readers of a run whose database is away are told at once; what can be saved is saved later.
        """
        self._is_shutting_down = self._is_shutting_down or reason == "interrupted"
        if self._stop_reason is None and not self.task.done():
            self._stop_reason = reason
            self._context.interrupted = reason != "stopped"
            if reason in ("lost", "unreachable"):
                self.log.discard_held()
            if reason == "unreachable":
                self._append(_encode_ending(UNREACHABLE))
                self.log.release()
                self.log.close()
            if self.phase in ("waiting", "responding"):
                self.task.cancel()

    def reader_disconnected(self) -> None:
        """Say that the reader who asked for the run closed the connection: the Stop button.

        It takes effect once the stream has announced that it may be stopped like this.
        """
        self._reader_is_gone = True
        if self.allow_cancel:
            self.stop("stopped")

    def snapshot(self) -> Snapshot | None:
        """Return what is new since the snapshot that ``snapshot_saved`` was told of, or None."""
        if self._pipeline is None:
            return None
        pending = self._pipeline.pending
        if pending.version == self._saved:
            return None
        return Snapshot([_to_save(item) for item in pending.current()], pending.version)

    def pending_items(self) -> list[ThreadItem]:
        """Return copies of the pending items as readers of the log see them now."""
        if self._pipeline is None:
            return []
        return [item.model_copy(deep=True) for item in self._pipeline.pending.current()]

    def finished_ids(self) -> frozenset[str]:
        """Return the ids of the items that the log has finished by now."""
        return frozenset() if self._pipeline is None else self._pipeline.finished_ids

    def snapshot_saved(self, snapshot: Snapshot) -> None:
        """Take note that a snapshot was saved."""
        self._saved = snapshot.version

    # --- the task --------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        state: RunEnd = "failed"
        set_user_agent()  # for all of this task, so that no step has to
        try:
            pipeline = await self._open()
            async with aclosing(pipeline.run()) as frames:
                await self._log(pipeline, frames)
            state = self._settled_state()
        except asyncio.CancelledError:
            if self._pipeline is not None and self._pipeline.is_settled:
                state = self._settled_state()  # everything was stored by then, but perhaps not said
                if not self.log.closed:
                    for frame in self._pipeline.take_ending():
                        self._append(frame)
            else:
                state = "cancelled" if self._stop_reason == "stopped" else "interrupted"
            if self._stop_reason is None:
                raise
        except (NotFoundError, RequestRefusedError) as error:
            self._refuse(error)
        except Exception as error:
            self._fail(error)
        finally:
            self.phase = "ending"
            await self._end(state)

    def _settled_state(self) -> RunEnd:
        return "failed" if self._pipeline is not None and self._pipeline.failed else "completed"

    async def _open(self) -> TurnPipeline[Any]:
        """Open the turn, once the thread is free for it."""
        deadline = asyncio.get_running_loop().time() + self._options.busy_wait
        has_said_so = False
        while True:
            self.phase = "opening"
            try:
                self._pipeline = await self._server.chatkit_open_turn(self._request, self._context)
                self.thread_id = self._pipeline.thread_id
            except ThreadBusyError:
                if self._options.thread_busy == "reject":
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise ThreadBusyError(STILL_BUSY) from None
            self.phase = "responding" if self._pipeline is not None else "waiting"
            if self._stop_reason is not None:
                self.task.cancel()  # by the next await
            if self._pipeline is not None:
                return self._pipeline
            if self._options.thread_busy == "interrupt" and self.thread_id:
                # Each time, for another run that waits may have got the thread meanwhile.
                await self._interrupt(self.user_id, self.thread_id, self.id)
            if not has_said_so:
                has_said_so = True
                self._append(encode_event(ProgressUpdateEvent(text=WAITING)))
            await asyncio.sleep(self._options.busy_poll)

    async def _log(self, pipeline: TurnPipeline[Any], frames: AsyncGenerator[bytes, None]) -> None:
        has_announced = False
        async for frame in frames:
            self._append(frame)
            if not has_announced and pipeline.has_announced:
                has_announced = True
                if self._reader_is_gone:
                    self.reader_disconnected()
                # What opens an answer goes out before the work on it begins, here and in every
                # other run that begins just now.
                for _ in range(LOOPS_BEFORE_WORK):
                    await asyncio.sleep(0)

    def _append(self, frame: bytes) -> None:
        self.log.append(frame)
        if not self._opened.done():
            self._opened.set_result(None)

    def _refuse(self, error: Exception) -> None:
        """Say that the request cannot be carried out: with an HTTP error if nothing was sent.

        Whoever asked hears of it when the thread is free again, so that they may try at once.
        """
        if self._opened.done():
            retry = isinstance(error, ThreadBusyError)
            self._append(
                encode_event(ErrorEvent(code="custom", message=str(error), allow_retry=retry))
            )
        else:
            self._refusal = error

    def _fail(self, error: Exception) -> None:
        """Something broke outside the turn, whose own failures end in an ``error`` event."""
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        logger.error("A run failed", exc_info=error, extra={"run_id": self.id})
        self._append(encode_event(ErrorEvent(code=ErrorCode.STREAM_ERROR, allow_retry=True)))

    @property
    def _has_lost_text(self) -> bool:
        return self._pipeline is not None and self._pipeline.has_lost_text

    async def _end(self, state: RunEnd) -> None:
        if self._has_lost_text and self.log.is_holding:
            self.log.discard_held()
            if state == "failed":
                self._append(_encode_ending(UNREACHABLE))
        if state in ("cancelled", "interrupted") and not self.log.closed:
            await self._tell_end(state)
        self.log.release()  # what is left is stored
        if self._stop_reason not in ("lost", "deleted"):
            await self._write_end(state)
        self.log.close()

    async def _tell_end(self, state: RunEnd) -> None:
        """Tell whoever still reads what became of the items, and why the answer ends here."""
        if state == "interrupted" and await self._is_deleted():
            return
        if self._pipeline is not None:
            try:
                for frame in await self._pipeline.describe_cancel():
                    self._append(frame)
            except Exception:
                logger.exception("Could not tell how a run ended", extra={"run_id": self.id})
        if state == "interrupted":
            self._append(_encode_ending(CUT_OFF))

    async def _is_deleted(self) -> bool:
        """Return whether the run is gone from the database, which it is along with its thread."""
        if self._stop_reason != "lost":
            return self._stop_reason == "deleted"
        try:
            return await self._repository.find(self.user_id, self.id) is None
        except Exception:
            logger.exception("Could not look why a run was lost", extra={"run_id": self.id})
            return False

    async def _write_end(self, state: RunEnd) -> None:
        """Write down how the run ended; try again for a while if the database is away.

        Heartbeats go on meanwhile, so that nobody takes it over. Its readers do not wait for it,
        and a replica that goes down waits for one more try at most.
        """
        error_id = self._pipeline.error_id if self._pipeline else None
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + self._options.outage, 0.1
        while True:
            is_last = self._is_shutting_down or clock() > deadline
            try:
                if self._has_lost_text:
                    # The last snapshot is all there is of what the user has seen.
                    await self._repository.recover(Orphan(self.user_id, self.id, self.replica))
                else:
                    await self._repository.finish(
                        self.user_id, self.id, state, usage=self._context.usage, error_id=error_id
                    )
            except Exception as error:
                if is_last:
                    # The cleanup frees the thread once the heartbeat has been silent long enough.
                    logger.exception("Could not end a run", extra={"run_id": self.id})
                    return
                reason = type(error).__name__
                logger.warning("Ending a run failed", extra={"run_id": self.id, "reason": reason})
            else:
                return
            self._close_in_any_case()
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    def _close_in_any_case(self, _: object = None) -> None:
        """Let nobody wait for a run that was cancelled before its first step."""
        if not self._opened.done():
            stopped = RequestRefusedError("The answer was stopped")
            self._opened.set_exception(self._refusal or stopped)
        if not self._opened.cancelled():
            # An exception that nobody waits for any more is not worth a warning.
            self._opened.exception()
        self.log.close()


def _encode_ending(message: str) -> bytes:
    return encode_event(ErrorEvent(code="custom", message=message, allow_retry=True))


def _to_save(item: ThreadItem) -> ThreadItem:
    """Return an item as a snapshot keeps it: a blank message without parts, no preview of images.

    Previews are for the eyes, and may be megabytes.
    """
    if isinstance(item, AssistantMessageItem) and is_blank(item):
        return item.model_copy(update={"content": []})
    if isinstance(item, GeneratedImageItem):
        return item.model_copy(update={"image": None})
    return item
