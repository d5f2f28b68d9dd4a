"""Following a run that another replica carries out: by its snapshots, then by what it stored."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

from pydantic import BaseModel, TypeAdapter

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.events import (
    ErrorEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
)
from app.chatkit.protocol.items import ThreadItem, is_hidden
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.protocol.sse import encode_event, with_frame_id
from app.chatkit.store import Store
from app.runs.positions import END, Position, write_position
from app.runs.repository import RunRepository, RunRow, RunState
from app.runs.run import Run

NOTHING = b": that was all\n\n"
"""A frame without an event: it only says how far the reader has got."""

_ITEMS: TypeAdapter[list[ThreadItem]] = TypeAdapter(list[ThreadItem])

INTERRUPTED = "The answer was interrupted. What was written so far is saved; please try again."
FAILED = "The answer failed. What was written so far is saved; please try again."
OUT_OF_SIGHT = "The answer cannot be followed right now. Please try again in a moment."

MAX_FAILED_LOOKS = 5
"""How many looks in a row may fail, while Postgres restarts say, before the reader is told."""

ENDINGS: dict[RunState, str] = {"interrupted": INTERRUPTED, "failed": FAILED}
"""What a reader is told of a run that ended in one of these states."""

logger = logging.getLogger("chatkit.runs")


async def follow_run(
    repository: RunRepository,
    store: Store[RequestContext],
    context: RequestContext,
    *,
    thread_id: str,
    run_id: str,
    position: Position,
    interval: float,
    draining: asyncio.Event,
) -> AsyncGenerator[bytes, None]:
    """Yield frames that bring a client from snapshot to snapshot, and at the end to what is stored.

    ``interval`` is the time between looks, in seconds. Text comes in larger pieces than on the
    replica that carries the run out; nothing is lost and nothing comes twice: what a reader at
    ``position`` holds of a pending item is replaced. An ``error`` event is
    last where the run did not end well, where it cannot be seen for some looks, and when
    ``draining`` says that this replica goes down. Where the thread is gone, so is the stream.
    """
    follower = _Follower(repository, store, context, thread_id, run_id, position)
    failed = 0
    while True:
        try:
            frames = await follower.look()
            failed = 0
        except NotFoundError:
            return
        except Exception as error:
            frames = []
            failed += 1
            is_last = failed == MAX_FAILED_LOOKS
            logger.warning(
                "A look at a run elsewhere failed",
                exc_info=is_last,
                extra={"run_id": run_id, "reason": type(error).__name__},
            )
        for frame in frames:
            yield frame
        if follower.has_ended:
            return
        if failed == MAX_FAILED_LOOKS or draining.is_set():
            yield _encode_error(OUT_OF_SIGHT)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(draining.wait(), interval)


async def read_from_state(
    run: Run, held: Iterable[str], store: Store[RequestContext], context: RequestContext
) -> AsyncGenerator[bytes, None]:
    """Yield what brings a reader who followed elsewhere to where a run of this replica is, and on.

    The pending items that the reader has ``held`` begin anew; the run's own log goes on behind.
    """
    await run.log.all_released()
    start, pending, finished = run.log.last, run.pending_items(), run.finished_ids()
    pending_ids = {item.id for item in pending}
    left = set(held)
    answer = await load_answer(store, run.thread_id or "", context)
    for item in answer:
        if item.id in finished and item.id not in pending_ids:
            left.discard(item.id)
            yield _state_frame(run.id, left, ThreadItemDoneEvent(item=item))
    for item_id in sorted(left - pending_ids):
        left.discard(item_id)
        yield _state_frame(run.id, left, ThreadItemRemovedEvent(item_id=item_id))
    for item in pending:
        event = ThreadItemReplacedEvent if item.id in left else ThreadItemAddedEvent
        left.add(item.id)
        yield _state_frame(run.id, left, event(item=item))
    async with aclosing(run.log.read(start)) as rest:
        async for chunk in rest:
            yield chunk


def _state_frame(run_id: str, held: Iterable[str], event: BaseModel) -> bytes:
    return with_frame_id(encode_event(event), write_position(run_id, held))


class _Follower:
    """What a reader has been shown of a run, and what is new at each look."""

    def __init__(
        self,
        repository: RunRepository,
        store: Store[RequestContext],
        context: RequestContext,
        thread_id: str,
        run_id: str,
        position: Position,
    ) -> None:
        self._repository = repository
        self._store = store
        self._context = context
        self._thread_id = thread_id
        self._run_id = run_id
        self._held: dict[str, bytes] = dict.fromkeys(position.held or (), b"")
        self._finished: dict[str, bytes] = {}
        # A reader who comes from the run's own log may hold any of its items.
        self._comes_from_log = position.held is None and position.frame > 0
        self._has_looked = False
        self.has_ended = False

    async def look(self) -> list[bytes]:
        """Return the frames for what is new; the last ones once the run ``has_ended``.

        Raises ``NotFoundError`` if the thread is gone.
        """
        row = await self._repository.find(self._context.user_id, self._run_id)
        if row is None:
            raise NotFoundError(f"Run {self._run_id} not found")
        pending = _read_snapshot(row) if row.state == "running" else []
        frames: list[bytes] = []
        if not pending or not self._has_looked or not self._held.keys() <= {i.id for i in pending}:
            frames += await self._tell_finished({item.id for item in pending})
        self._has_looked = True
        frames += self._tell_pending(pending)
        if row.state in ENDINGS:
            frames.append(_encode_error(ENDINGS[row.state]))
        if row.state != "running":
            frames.append(with_frame_id(NOTHING, f"{self._run_id}:{END}"))
            self.has_ended = True
        return frames

    async def _tell_finished(self, pending: set[str]) -> list[bytes]:
        """Return frames for what was stored or taken back since the last look."""
        frames: list[bytes] = []
        answer = await load_answer(self._store, self._thread_id, self._context)
        for item in answer:
            dumped = dump_wire(item)
            if item.id not in pending and self._finished.get(item.id) != dumped:
                self._finished[item.id] = dumped
                self._held.pop(item.id, None)
                frames.append(self._frame(ThreadItemDoneEvent(item=item)))
        for item_id in self._held.keys() - pending - {item.id for item in answer}:
            del self._held[item_id]
            frames.append(self._frame(ThreadItemRemovedEvent(item_id=item_id)))
        return frames

    def _tell_pending(self, items: list[ThreadItem]) -> list[bytes]:
        frames: list[bytes] = []
        for item in items:
            dumped = dump_wire(item)
            if self._held.get(item.id) == dumped:
                continue
            is_held = item.id in self._held or self._comes_from_log
            self._held[item.id] = dumped
            event = ThreadItemReplacedEvent if is_held else ThreadItemAddedEvent
            frames.append(self._frame(event(item=item)))
        return frames

    def _frame(self, event: BaseModel) -> bytes:
        return _state_frame(self._run_id, self._held, event)


def _encode_error(message: str) -> bytes:
    return encode_event(ErrorEvent(code="custom", message=message, allow_retry=True))


def _read_snapshot(row: RunRow) -> list[ThreadItem]:
    return _ITEMS.validate_python(json.loads(row.snapshot)) if row.snapshot else []


async def load_answer(
    store: Store[RequestContext], thread_id: str, context: RequestContext
) -> list[ThreadItem]:
    """Return the visible items behind the newest user message, oldest first."""
    answer: list[ThreadItem] = []
    async for item in store.chatkit_scan_items(thread_id, context):
        if item.type == "user_message":
            break
        if not is_hidden(item):
            answer.append(item)
    return answer[::-1]
