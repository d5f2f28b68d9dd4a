"""One turn's events: persist, hide, then yield; and clean up, however the turn ends.

Order is the contract: what an event says is in the store before the event is sent. A turn ends in
one of four ways. It completes; it fails (an ``error`` event, and what the user has seen of an
answer is kept); it is cancelled; or its generator is closed, which is treated as a cancel. The
clean-up runs in a task of its own, which whoever cancelled the turn cannot reach.
"""

import asyncio
import copy
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from app.chatkit.errors import (
    CustomStreamError,
    ErrorCode,
    NotFoundError,
    RequestRefusedError,
    StreamError,
)
from app.chatkit.events import (
    ErrorEvent,
    StreamOptions,
    StreamOptionsEvent,
    ThreadCreatedEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    ThreadUpdatedEvent,
)
from app.chatkit.ids import create_id
from app.chatkit.items import (
    AssistantMessageItem,
    GeneratedImageItem,
    Page,
    Thread,
    ThreadItem,
    ThreadMetadata,
    WorkflowItem,
    is_hidden,
)
from app.chatkit.pending import PendingItems, is_blank
from app.chatkit.shielding import finish
from app.chatkit.store import Store
from app.chatkit.updates import apply_update
from app.chatkit.user_agent import (
    agents_sdk_user_agent_override,
    reset_user_agent,
    set_user_agent,
)

TContext = TypeVar("TContext", default=Any)

logger = logging.getLogger("chatkit")


class TurnHooks(Protocol[TContext]):
    """What a turn needs of the server that it belongs to."""

    store: Store[TContext]

    def get_stream_options(self, thread: ThreadMetadata, context: TContext) -> StreamOptions:
        """Return the options announced ahead of the turn's events."""
        ...

    async def handle_stream_cancelled(
        self, thread: ThreadMetadata, pending_items: list[ThreadItem], context: TContext
    ) -> None:
        """Save what is worth keeping of a cancelled turn."""
        ...


def to_thread_response(thread: ThreadMetadata) -> Thread:
    """Return what a client may see of ``thread``: no integration metadata, no hidden items."""
    page = thread.items if isinstance(thread, Thread) else Page[ThreadItem]()
    return Thread(
        id=thread.id,
        title=thread.title,
        created_at=thread.created_at,
        status=thread.status,
        allowed_image_domains=thread.allowed_image_domains,
        items=page.model_copy(update={"data": [each for each in page.data if not is_hidden(each)]}),
    )


def without_items(thread: ThreadMetadata) -> ThreadMetadata:
    """Return the metadata of ``thread`` alone, also where it is a ``Thread``."""
    return ThreadMetadata.model_construct(
        **{name: getattr(thread, name) for name in ThreadMetadata.model_fields}
    )


def is_husk(item: ThreadItem) -> bool:
    """Return whether an unfinished item shows nothing that is worth keeping."""
    match item:
        case AssistantMessageItem():
            return is_blank(item)
        case GeneratedImageItem():
            return item.image is None
        case WorkflowItem():
            return not item.workflow.tasks
        case _:
            return False


@contextmanager
def log_failure(what: str) -> Generator[None]:
    """Log an exception of a clean-up step, whose failure must not stop the steps behind it."""
    try:
        yield
    except Exception:
        logger.exception("Could not %s", what)


class ThreadWatch:
    """Notices what a handler changed on its thread object, at the cost of four comparisons."""

    def __init__(self, thread: ThreadMetadata) -> None:
        self._thread = thread
        self._title = thread.title
        self._status = thread.status.model_copy()
        self._domains = copy.copy(thread.allowed_image_domains)
        self._metadata = copy.deepcopy(thread.metadata)

    def changed_fields(self) -> frozenset[str]:
        """Return the names of the fields that differ from when this was last asked."""
        thread, changed = self._thread, set[str]()
        if thread.title != self._title:
            changed.add("title")
            self._title = thread.title
        if thread.status != self._status:
            changed.add("status")
            self._status = thread.status.model_copy()
        if thread.allowed_image_domains != self._domains:
            changed.add("allowed_image_domains")
            self._domains = copy.copy(thread.allowed_image_domains)
        if thread.metadata != self._metadata:
            changed.add("metadata")
            self._metadata = copy.deepcopy(thread.metadata)
        return frozenset(changed)


class TurnPipeline(Generic[TContext]):
    """Carries the events of one turn from the handler to the client, through the store."""

    def __init__(
        self, server: TurnHooks[TContext], thread: ThreadMetadata, context: TContext
    ) -> None:
        self._server = server
        self._store = server.store
        self._thread = thread
        self._context = context
        self._watch = ThreadWatch(thread)
        self._settled = False
        self._unknown_ids: set[str] = set()
        self.pending = PendingItems()
        # Known before the first frame, so that a connection closed right then is judged by it.
        self._options = server.get_stream_options(thread, context)
        self.failed = False
        self.error_id: str | None = None

    @property
    def allow_cancel(self) -> bool:
        """Whether the stream says of itself that the user may stop it."""
        return self._options.allow_cancel

    @property
    def thread_id(self) -> str:
        """The thread that the turn belongs to."""
        return self._thread.id

    async def run(
        self, respond: Callable[[], AsyncIterator[ThreadStreamEvent]]
    ) -> AsyncGenerator[ThreadStreamEvent, None]:
        """Yield the turn's events, from ``stream_options`` to the last."""
        try:
            yield StreamOptionsEvent(stream_options=self._options)
            try:
                async with aclosing(self._carry(respond)) as events:
                    async for event in events:
                        yield event
                for event in await finish(self._settle_pending()):
                    yield event
            except Exception as error:
                self.failed = True
                failure = self._describe(error)
                for event in await finish(self._keep_what_was_seen()):
                    yield event
                yield failure
            self._settled = True
            if changed := self._watch.changed_fields():
                yield await self._save_changes(changed)
        except (asyncio.CancelledError, GeneratorExit):
            if not self._settled:
                await finish(self._clean_up_cancelled())
            raise

    async def _carry(
        self, respond: Callable[[], AsyncIterator[ThreadStreamEvent]]
    ) -> AsyncGenerator[ThreadStreamEvent, None]:
        """Yield the handler's events, each after what it says is stored."""
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
                if type(event) is ThreadItemUpdatedEvent:
                    if not self.pending.update(event.item_id, event.update):
                        await self._update_stored(event)
                    yield event
                elif visible := await self._persist(event):
                    yield visible
                if changed := self._watch.changed_fields():
                    yield await self._save_changes(changed)
        finally:
            close = getattr(handler, "aclose", None)
            if close is not None:
                with log_failure("close the handler of a stream"):
                    await finish(close())

    async def _persist(self, event: ThreadStreamEvent) -> ThreadStreamEvent | None:
        """Do to the store what ``event`` says; return what the client gets of it, if anything."""
        match event:
            case ThreadItemAddedEvent(item=item):
                self.pending.add(item)
                return None if is_hidden(item) else event
            case ThreadItemDoneEvent(item=item):
                await finish(self._store_item(item, self._store.add_thread_item))
                return None if is_hidden(item) else event
            case ThreadItemReplacedEvent(item=item):
                await finish(self._store_item(item, self._store.save_item))
                return None if is_hidden(item) else event
            case ThreadItemRemovedEvent(item_id=item_id):
                self.pending.drop(item_id)
                await finish(
                    self._store.delete_thread_item(self._thread.id, item_id, self._context)
                )
                return event
            case ThreadCreatedEvent(thread=thread):
                return ThreadCreatedEvent(thread=to_thread_response(thread))
            case ThreadUpdatedEvent(thread=thread):
                return ThreadUpdatedEvent(thread=to_thread_response(thread))
            case _:
                return event

    async def _store_item(
        self, item: ThreadItem, write: Callable[[str, ThreadItem, TContext], Awaitable[None]]
    ) -> None:
        # Pending until it is stored: a write that fails must not lose what the user has seen.
        self.pending.hold(item)
        await write(self._thread.id, item, self._context)
        self.pending.drop(item.id)

    async def _update_stored(self, event: ThreadItemUpdatedEvent) -> None:
        """Apply an update to an item that is in the store already."""
        if event.item_id in self._unknown_ids:
            return
        try:
            item = await self._store.load_item(self._thread.id, event.item_id, self._context)
        except NotFoundError:
            self._unknown_ids.add(event.item_id)
            logger.warning("Update of an unknown item", extra={"item_id": event.item_id})
            return
        apply_update(item, event.update)
        await finish(self._store.save_item(self._thread.id, item, self._context))

    async def _save_changes(self, changed: frozenset[str]) -> ThreadUpdatedEvent:
        await finish(self._store.save_thread_changes(self._thread, changed, self._context))
        return ThreadUpdatedEvent(thread=to_thread_response(without_items(self._thread)))

    # --- endings ---------------------------------------------------------------------------------

    async def _settle_pending(self) -> list[ThreadStreamEvent]:
        """Store what the handler left unfinished as the client sees it, and drop empty husks."""
        events: list[ThreadStreamEvent] = []
        for item in self.pending.current():
            self.pending.drop(item.id)
            if is_husk(item):
                events.append(ThreadItemRemovedEvent(item_id=item.id))
            else:
                await self._store.save_item(self._thread.id, item, self._context)
        return events

    async def _keep_what_was_seen(self) -> list[ThreadStreamEvent]:
        """After a failure: keep the text of unfinished answers, take back everything else."""
        events: list[ThreadStreamEvent] = []
        for item in self.pending.current():
            self.pending.drop(item.id)
            if is_hidden(item):
                continue
            if isinstance(item, AssistantMessageItem) and not is_blank(item):
                with log_failure("keep the text of a failed answer"):
                    await self._store.add_thread_item(self._thread.id, item, self._context)
                    events.append(ThreadItemDoneEvent(item=item))
                    continue
            events.append(ThreadItemRemovedEvent(item_id=item.id))
        return events

    async def _clean_up_cancelled(self) -> None:
        with log_failure("save the thread of a cancelled stream"):
            if changed := self._watch.changed_fields():
                await self._store.save_thread_changes(self._thread, changed, self._context)
        pending = self.pending.current()
        with log_failure("save the answer of a cancelled stream"):
            await self._server.handle_stream_cancelled(self._thread, pending, self._context)

    def _describe(self, error: Exception) -> ErrorEvent:
        if isinstance(error, CustomStreamError):
            return ErrorEvent(code="custom", message=error.message, allow_retry=error.allow_retry)
        if isinstance(error, StreamError):
            return ErrorEvent(code=error.code, allow_retry=error.allow_retry)
        if isinstance(error, RequestRefusedError):
            return ErrorEvent(code="custom", message=str(error))
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
