"""One run: a task of its own that carries a turn out and logs its frames."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from app.chatkit.context import RequestContext, RunIdentity
from app.chatkit.errors import ErrorCode, NotFoundError, RequestRefusedError, ThreadBusyError
from app.chatkit.events import ErrorEvent, ProgressUpdateEvent
from app.chatkit.ids import create_id
from app.chatkit.items import AssistantMessageItem
from app.chatkit.pending import is_blank
from app.chatkit.pipeline import TurnPipeline
from app.chatkit.requests import StreamingReq, ThreadsCreateReq
from app.chatkit.server import ChatKitServer
from app.chatkit.sse import encode_event
from app.chatkit.user_agent import set_user_agent
from app.runs.ledger import RunLedger, RunState
from app.runs.log import RunLog

logger = logging.getLogger("chatkit.runs")

StopReason = Literal["stopped", "interrupted", "lost"]
BusyPolicy = Literal["wait", "interrupt", "reject"]

WAITING = "Another answer is still being written here. Yours starts right after it."
STILL_BUSY = "Another answer is still being written in this thread. Please try again in a moment."
CUT_OFF = "The answer was cut off. What was written so far is saved; please try again."


LOOPS_BEFORE_WORK = 8
"""Turns of the event loop between what opens an answer and the work on it.

One brings the first frames to their reader. The others let answers that are just beginning pass
ahead, and keep runs out of step: with 3 the first event at 16 clients comes a quarter later, with
16 it comes earlier still but a turn costs 8 % more CPU (``make bench``).
"""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How runs behave; times in seconds, sizes in bytes."""

    replica: str
    thread_busy: BusyPolicy = "wait"
    busy_wait: float = 30.0
    busy_poll: float = 0.2
    log_bytes: int = 8 * 1024 * 1024


Interrupt = Callable[[str, str], Awaitable[None]]
"""Asks whoever runs on a thread (owner, thread id) to stop."""


class Run:
    """Carries out one streaming request, whoever reads and whoever goes away.

    ``opened`` tells how it began; ``log`` is what it says; ``stop`` ends it early.
    """

    def __init__(
        self,
        server: ChatKitServer[RequestContext],
        request: StreamingReq,
        context: RequestContext,
        ledger: RunLedger,
        options: RunOptions,
        interrupt: Interrupt,
    ) -> None:
        self.id = create_id("run")
        self.user_id = context.user_id
        self.thread_id = None if isinstance(request, ThreadsCreateReq) else request.params.thread_id
        self.log = RunLog(self.id, max_bytes=options.log_bytes)
        self._server = server
        self._request = request
        self._ledger = ledger
        self._options = options
        self._interrupt = interrupt
        self._pipeline: TurnPipeline[Any] | None = None
        self._stop_reason: StopReason | None = None
        self._snapshot_size = 0
        self._keeps_on = False  # in the middle of writes, which no stop may tear apart
        self.ending = False
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        context.run = RunIdentity(id=self.id, kind=request.type, replica=options.replica)
        self._context = context
        self.task = asyncio.create_task(self._carry_out(), name=self.id)
        self.task.add_done_callback(self._close_anyhow)

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

    def stop(self, reason: StopReason) -> None:
        """Cancel the run; what the user has seen is saved. Harmless if it has ended."""
        if self._stop_reason is None and not self.task.done():
            self._stop_reason = reason
            self._context.interrupted = reason != "stopped"
            if not self._keeps_on:
                self.task.cancel()

    def snapshot(self) -> list[AssistantMessageItem] | None:
        """Return the unfinished answers as the client sees them, or None if nothing is new."""
        if self._pipeline is None:
            return None
        items = [
            item
            for item in self._pipeline.pending.current()
            if isinstance(item, AssistantMessageItem) and not is_blank(item)
        ]
        size = sum(len(part.text) for item in items for part in item.content)
        if size == self._snapshot_size:
            return None
        self._snapshot_size = size
        return items

    # --- the task --------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        state: RunState = "failed"
        set_user_agent()  # for all of this task, so that no step has to
        try:
            pipeline = await self._open()
            async with aclosing(pipeline.run()) as frames:
                await self._log(pipeline, frames)
            state = self._settled_state()
        except asyncio.CancelledError:
            if self._pipeline is not None and self._pipeline.is_settled:
                state = self._settled_state()  # everything was said and stored by then
            else:
                state = "cancelled" if self._stop_reason == "stopped" else "interrupted"
            if self._stop_reason is None:
                raise
        except (NotFoundError, RequestRefusedError) as error:
            self._refuse(error)
        except Exception as error:
            self._fail(error)
        finally:
            self._keeps_on = True
            await self._end(state)

    def _settled_state(self) -> RunState:
        return "failed" if self._pipeline is not None and self._pipeline.failed else "completed"

    async def _open(self) -> TurnPipeline[Any]:
        """Open the turn, once the thread is free for it."""
        deadline = asyncio.get_running_loop().time() + self._options.busy_wait
        is_waiting = False
        while True:
            self._keeps_on = True
            try:
                self._pipeline = await self._server.open_turn(self._request, self._context)
                self.thread_id = self._pipeline.thread_id
            except ThreadBusyError:
                if self._options.thread_busy == "reject":
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise ThreadBusyError(STILL_BUSY) from None
            self._keeps_on = False
            if self._stop_reason is not None:
                self.task.cancel()  # by the next await
            if self._pipeline is not None:
                return self._pipeline
            if not is_waiting:
                is_waiting = True
                if self._options.thread_busy == "interrupt" and self.thread_id:
                    await self._interrupt(self.user_id, self.thread_id)
                self._append(encode_event(ProgressUpdateEvent(text=WAITING)))
            await asyncio.sleep(self._options.busy_poll)

    async def _log(self, pipeline: TurnPipeline[Any], frames: AsyncGenerator[bytes, None]) -> None:
        has_announced = False
        async for frame in frames:
            self._append(frame)
            if not has_announced and pipeline.has_announced:
                has_announced = True
                # What opens an answer goes out before the work on it begins, here and in every
                # other run that begins just now.
                for _ in range(LOOPS_BEFORE_WORK):
                    await asyncio.sleep(0)

    def _append(self, frame: bytes) -> None:
        self.log.append(frame)
        if not self._opened.done():
            self._opened.set_result(None)

    def _refuse(self, error: Exception) -> None:
        """The request cannot be carried out: an HTTP error if nothing was sent yet."""
        if self._opened.done():
            retry = isinstance(error, ThreadBusyError)
            self._append(
                encode_event(ErrorEvent(code="custom", message=str(error), allow_retry=retry))
            )
        else:
            self._opened.set_exception(error)

    def _fail(self, error: Exception) -> None:
        """Something broke outside the turn, whose own failures end in an ``error`` event."""
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        logger.error("A run failed", exc_info=error, extra={"run_id": self.id})
        self._append(encode_event(ErrorEvent(code=ErrorCode.STREAM_ERROR, allow_retry=True)))

    async def _end(self, state: RunState) -> None:
        self.ending = True
        if state == "interrupted":
            self._append(encode_event(ErrorEvent(code="custom", message=CUT_OFF, allow_retry=True)))
        if self._stop_reason != "lost":
            error_id = self._pipeline.error_id if self._pipeline else None
            try:
                await self._ledger.finish(
                    self.user_id, self.id, state, usage=self._context.usage, error_id=error_id
                )
            except Exception:
                # The janitor frees the thread once the heartbeat has been silent long enough.
                logger.exception("Could not end a run", extra={"run_id": self.id})
        self.log.close()

    def _close_anyhow(self, _: asyncio.Task[None]) -> None:
        """Let nobody wait for a run that was cancelled before its first step."""
        if not self._opened.done():
            self._opened.set_exception(RequestRefusedError("The answer was stopped"))
        if not self._opened.cancelled():
            # An exception that nobody waits for any more is not worth a warning.
            self._opened.exception()
        self.log.close()
