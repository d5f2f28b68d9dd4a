"""One turn's events: persist, hide, then send; and clean up, however the turn ends.

Order is the contract: what an event says is in the store before the event is sent. A turn ends in
one of four ways. It completes; it fails (an ``error`` event, and what the user has seen of an
answer is kept); it is cancelled; or its generator is closed, which is treated as a cancel. The
clean-up runs in a task of its own, which whoever cancelled the turn cannot reach.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

import anyio
from pydantic import BaseModel
from typing_extensions import TypeVar

from app.chatkit.closing import close_if_possible
from app.chatkit.engine.thread_changes import ThreadChanges
from app.chatkit.engine.turn_items import TurnItems, log_failure
from app.chatkit.engine.user_agent import (
    agents_sdk_user_agent_override,
    reset_user_agent,
    set_user_agent,
)
from app.chatkit.errors import (
    CustomStreamError,
    ErrorCode,
    RequestRefusedError,
    StoreError,
    StreamError,
    to_own_error,
)
from app.chatkit.protocol.events import (
    ErrorEvent,
    StreamOptions,
    StreamOptionsEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.ids import create_id
from app.chatkit.protocol.items import Thread, ThreadItem, ThreadMetadata
from app.chatkit.protocol.sse import encode_event
from app.chatkit.shielding import run_to_completion
from app.chatkit.store import Store
from app.chatkit.streaming.pending_items import PendingItems
from app.chatkit.untyped import get_field

TContext = TypeVar("TContext", default=Any)

logger = logging.getLogger("chatkit")

Respond = Callable[[], AsyncIterator[ThreadStreamEvent]]


class TurnHooks(Protocol[TContext]):
    """What a turn needs of the server that it belongs to."""

    store: Store[TContext]

    def get_stream_options(self, thread: ThreadMetadata, context: TContext) -> StreamOptions:
        """Return the options announced ahead of the turn's events."""
        ...

    def _to_thread_response(self, thread: ThreadMetadata) -> Thread:
        """Return what a client may see of a thread."""
        ...

    async def handle_stream_cancelled(
        self, thread: ThreadMetadata, pending_items: list[ThreadItem], context: TContext
    ) -> None:
        """Save what is worth keeping of a cancelled turn."""
        ...


@dataclass(slots=True)
class Turn:
    """A checked and opened turn: its thread, and the handler for the rest.

    What the events in ``opening`` and ``first`` say is stored already; the former are sent ahead of
    ``stream_options``, the latter behind.
    """

    thread: ThreadMetadata
    respond: Respond
    opening: list[BaseModel] = field(default_factory=list[BaseModel])
    first: list[BaseModel] = field(default_factory=list[BaseModel])


class TurnPipeline(Generic[TContext]):
    """Carries the events of one turn from the handler to the client, through the store."""

    def __init__(self, server: TurnHooks[TContext], turn: Turn, context: TContext) -> None:
        self._server = server
        self._turn = turn
        self._thread = turn.thread
        self._context = context
        self._watch = ThreadChanges(turn.thread)
        self._show = server._to_thread_response  # pyright: ignore[reportPrivateUsage] - a seam
        self._items = TurnItems(server.store, turn.thread.id, context, self._show)
        self.is_settled = False
        # Until the stream has said otherwise, a closed connection is not the Stop button.
        self.allow_cancel = False
        self.has_announced = False
        self.failed = False
        self.error_id: str | None = None
        self._shown_at_cancel: list[ThreadItem] = []
        self._ending: deque[ThreadStreamEvent] = deque()

    @property
    def thread_id(self) -> str:
        """The thread that the turn belongs to."""
        return self._thread.id

    @property
    def pending(self) -> PendingItems:
        """The turn's pending items."""
        return self._items.pending

    @property
    def has_lost_text(self) -> bool:
        """Whether the turn ended without having stored all of the text that it has shown."""
        return self._items.has_lost_text

    @property
    def finished_ids(self) -> frozenset[str]:
        """The ids of the items that the turn has stored as finished."""
        return frozenset(self._items.finished)

    def take_ending(self) -> list[bytes]:
        """Return the last frames of a settled turn that was cancelled before they were read."""
        events, self._ending = self._ending, deque()
        return [encode_event(event) for event in events]

    async def describe_cancel(self) -> list[bytes]:
        """Return the frames that tell what a cancel has kept and dropped of pending items.

        Whoever cancelled the turn is gone; they are for others who read the same stream. Raises
        what the store raises.
        """
        events = await self._items.tell_what_is_stored(self._shown_at_cancel)
        return [encode_event(event) for event in events]

    async def run(self) -> AsyncGenerator[bytes, None]:
        """Yield the turn's frames, from the first to the last."""
        try:
            for event in self._turn.opening:
                yield encode_event(event)
            try:
                given = self._server.get_stream_options(self._thread, self._context)
                options = StreamOptions.model_validate(given)
                self.allow_cancel = options.allow_cancel
                self.has_announced = True
                yield encode_event(StreamOptionsEvent(stream_options=options))
                for event in self._turn.first:
                    yield encode_event(event)
                async with aclosing(self._carry(self._turn.respond)) as frames:
                    async for frame in frames:
                        yield frame
                await run_to_completion(self._complete())
            except Exception as error:
                await run_to_completion(self._fail(error))
            while self._ending:
                yield encode_event(self._ending.popleft())
        except (asyncio.CancelledError, GeneratorExit):
            if not self.is_settled:
                await run_to_completion(self._clean_up_cancelled())
            raise

    async def _carry(self, respond: Respond) -> AsyncGenerator[bytes, None]:
        """Yield the frames of the handler's events, each after what it says is stored."""
        items, follow = self._items, self._items.pending.update
        with agents_sdk_user_agent_override():
            handler = aiter(respond())
        try:
            while True:
                # Per step and not around the loop: the steps may run in different tasks.
                tokens = set_user_agent()
                try:
                    event = await anext(handler)
                except StopAsyncIteration:
                    return
                finally:
                    reset_user_agent(tokens)
                if type(event) is ThreadItemUpdatedEvent and follow(event.item_id, event.update):
                    yield encode_event(event)
                elif visible := await items.take(event):
                    yield encode_event(visible)
                if changed := self._watch.changed_fields():
                    yield encode_event(await run_to_completion(self._save_thread(changed)))
        finally:
            await self._close(handler)

    async def _close(self, handler: AsyncIterator[ThreadStreamEvent]) -> None:
        """Let a handler clean up: in the task that reads it, as its context variables demand."""
        with anyio.CancelScope(shield=True), log_failure("close the handler of a stream"):
            await close_if_possible(handler)

    async def _save_thread(self, changed: frozenset[str]) -> ThreadStreamEvent:
        return await self._watch.save(self._server.store, changed, self._context, self._show)

    # --- endings ---------------------------------------------------------------------------------

    async def _complete(self) -> None:
        """Store what is left, and have the last events ready."""
        events = await self._items.settle()
        if changed := self._watch.changed_fields():
            events.append(await self._save_thread(changed))
        self._settle(events)

    async def _fail(self, error: Exception) -> None:
        """Store what must not be lost, and have the last events ready. Raises nothing."""
        self.failed = True
        failure = self._describe(error)
        events = await self._items.keep_what_was_seen()
        events.append(failure)
        with log_failure("save the thread of a failed stream"):
            if changed := self._watch.changed_fields():
                events.append(await self._save_thread(changed))
        self._settle(events)

    def _settle(self, ending: list[ThreadStreamEvent]) -> None:
        self._ending.extend(ending)
        self.is_settled = True

    async def _clean_up_cancelled(self) -> None:
        self._shown_at_cancel = self._items.pending.current()
        with log_failure("save the thread of a cancelled stream"):
            if changed := self._watch.changed_fields():
                await self._save_thread(changed)
        pending = await self._items.release()
        is_kept = False
        with log_failure("save the answer of a cancelled stream"):
            await self._server.handle_stream_cancelled(self._thread, pending, self._context)
            is_kept = True
        self._items.has_lost_text |= not is_kept

    def _describe(self, error: Exception) -> ErrorEvent:
        error = to_own_error(error)
        if isinstance(error, CustomStreamError):
            self._log_cause(error)
            return ErrorEvent(code="custom", message=error.message, allow_retry=error.allow_retry)
        if isinstance(error, StreamError):
            return ErrorEvent(code=error.code, allow_retry=error.allow_retry)
        if isinstance(error, RequestRefusedError):
            return ErrorEvent(code="custom", message=str(error))
        if isinstance(error, StoreError):
            logger.warning(
                "A stream ended because of the store: %s",
                error,
                extra={"thread_id": self.thread_id},
            )
            return ErrorEvent(code="custom", message=error.user_message, allow_retry=True)
        self.error_id = create_id("err")
        logger.error(
            "Unexpected failure of a stream",
            exc_info=error,
            extra={"error_id": self.error_id, "thread_id": self._thread.id},
        )
        return ErrorEvent(
            code=ErrorCode.STREAM_ERROR,
            message=f"Something went wrong on our side (error id: {self.error_id}).",
            allow_retry=True,
        )

    def _log_cause(self, error: CustomStreamError) -> None:
        """Log what is behind an error whose text is for the user alone, such as a wrong API key."""
        cause = error.__cause__
        if cause is None:
            return
        extra: dict[str, Any] = {"thread_id": self._thread.id}
        status = get_field(cause, "status_code")
        if status is not None:
            extra["status_code"] = status
        logger.warning("A stream ended with an error for the user", exc_info=cause, extra=extra)
