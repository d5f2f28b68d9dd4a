"""Following a run that another replica carries out: by its snapshots, then by what it stored."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.events import (
    ErrorEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
)
from app.chatkit.protocol.items import ThreadItem, is_hidden
from app.chatkit.protocol.sse import encode_event
from app.chatkit.store import Store
from app.runs.repository import RunRepository

_ITEMS: TypeAdapter[list[ThreadItem]] = TypeAdapter(list[ThreadItem])

INTERRUPTED = "The answer was interrupted. What was written so far is saved; please try again."
FAILED = "The answer failed. What was written so far is saved; please try again."
OUT_OF_SIGHT = "The answer cannot be followed right now. Please try again in a moment."

MAX_FAILED_LOOKS = 5
"""How many looks in a row may fail, while Postgres restarts say, before the reader is told."""

ENDINGS = {"interrupted": INTERRUPTED, "failed": FAILED}
"""What a reader is told of a run that ended in one of these states."""

logger = logging.getLogger("chatkit.runs")


async def follow_run(
    repository: RunRepository,
    store: Store[RequestContext],
    context: RequestContext,
    *,
    thread_id: str,
    run_id: str,
    interval: float,
    draining: asyncio.Event,
) -> AsyncGenerator[bytes, None]:
    """Yield frames that bring a client from snapshot to snapshot, and at the end to what is stored.

    ``interval`` is the time between looks, in seconds. Text comes in larger pieces than on the
    replica that carries the run out; nothing is lost and nothing comes twice. An ``error`` event is
    last where the run did not end well, where it cannot be seen for some looks, and when
    ``draining`` says that this replica goes down. Where the thread is gone, so is the stream.
    """
    follower = _Follower(repository, store, context, thread_id, run_id)
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


class _Follower:
    """What a reader has been shown of a run, and what is new at each look."""

    def __init__(
        self,
        repository: RunRepository,
        store: Store[RequestContext],
        context: RequestContext,
        thread_id: str,
        run_id: str,
    ) -> None:
        self._repository = repository
        self._store = store
        self._context = context
        self._thread_id = thread_id
        self._run_id = run_id
        self._shown: dict[str, str] = {}
        self.has_ended = False

    async def look(self) -> list[bytes]:
        """Return the frames for what is new; the last ones once the run ``has_ended``.

        Raises ``NotFoundError`` if the thread is gone.
        """
        row = await self._repository.find(self._context.user_id, self._run_id)
        if row is None:
            raise NotFoundError(f"Run {self._run_id} not found")
        if row.state == "running":
            return self._compare(_read_snapshot(row))
        answer = await _load_answer(self._store, self._thread_id, self._context)
        frames = [encode_event(ThreadItemDoneEvent(item=item)) for item in answer]
        if row.state in ENDINGS:
            frames.append(_encode_error(ENDINGS[row.state]))
        self.has_ended = True
        return frames

    def _compare(self, items: list[ThreadItem]) -> list[bytes]:
        frames: list[bytes] = []
        for item in items:
            dumped = item.model_dump_json()
            if item.id not in self._shown:
                frames.append(encode_event(ThreadItemAddedEvent(item=item)))
            elif self._shown[item.id] != dumped:
                frames.append(encode_event(ThreadItemReplacedEvent(item=item)))
            self._shown[item.id] = dumped
        return frames


def _encode_error(message: str) -> bytes:
    return encode_event(ErrorEvent(code="custom", message=message, allow_retry=True))


def _read_snapshot(row: Any) -> list[ThreadItem]:
    return _ITEMS.validate_python(json.loads(row.snapshot)) if row.snapshot else []


async def _load_answer(
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
