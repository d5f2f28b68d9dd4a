"""The items of one turn: what an event says of an item is in the store before it is sent.

A thread reads on reload as it did while it streamed. Therefore an item keeps the place at which it
was announced: where one behind it is finished first, it is stored as it stands, to be completed or
taken back later.
"""

import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, Generic

from typing_extensions import TypeVar

from app.chatkit.engine.thread_changes import ShowThread
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.events import (
    ClientEffectEvent,
    ErrorEvent,
    NoticeEvent,
    ProgressUpdateEvent,
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
from app.chatkit.protocol.items import (
    AssistantMessageItem,
    GeneratedImageItem,
    ThreadItem,
    WorkflowItem,
    is_hidden,
)
from app.chatkit.protocol.own_classes import to_own_event
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.shielding import run_to_completion
from app.chatkit.store import Store
from app.chatkit.streaming.pending_items import PendingItems, is_blank
from app.chatkit.streaming.updates import apply_update

TContext = TypeVar("TContext", default=Any)

logger = logging.getLogger("chatkit")


@contextmanager
def log_failure(what: str) -> Generator[None]:
    """Log an exception of a clean-up step, whose failure must not stop the steps behind it."""
    try:
        yield
    except Exception:
        logger.exception("Could not %s", what)


def is_empty_item(item: ThreadItem) -> bool:
    """Return whether a pending item shows nothing that is worth keeping."""
    match item:
        case AssistantMessageItem():
            return is_blank(item)
        case GeneratedImageItem():
            return item.image is None
        case WorkflowItem():
            return not item.workflow.tasks
        case _:
            return False


class TurnItems(Generic[TContext]):
    """Keeps the store and what the client sees of a thread's items the same."""

    def __init__(
        self, store: Store[TContext], thread_id: str, context: TContext, show: ShowThread
    ) -> None:
        self._show = show
        self._store = store
        self._thread_id = thread_id
        self._context = context
        self._hidden: set[str] = set()
        self._unknown: set[str] = set()
        self.finished: dict[str, None] = {}
        """The ids of the items that this turn has stored as finished, in order."""
        # Pending items in the store, and whether it was this turn that put them there.
        self._placed: dict[str, bool] = {}
        self.pending = PendingItems()
        self.has_lost_text = False
        """Whether something that the user has seen could not be stored at the turn's end."""

    async def take(self, event: ThreadStreamEvent) -> ThreadStreamEvent | None:
        """Do to the store what ``event`` says; return what the client gets of it, if anything."""
        match event:
            case ThreadItemUpdatedEvent():
                return event if await self._update(event) else None
            case ThreadItemAddedEvent(item=item):
                if self._hide(item):
                    return None
                self.pending.add(item)
                return event
            case ThreadItemDoneEvent(item=item) | ThreadItemReplacedEvent(item=item):
                is_stored = isinstance(event, ThreadItemReplacedEvent)
                await run_to_completion(self._store_item(item, is_stored=is_stored))
                self.finished[item.id] = None
                return None if self._hide(item) else event
            case ThreadItemRemovedEvent(item_id=item_id):
                await run_to_completion(self._delete(item_id))
                self.finished.pop(item_id, None)
                return None if item_id in self._hidden else event
            case ThreadCreatedEvent(thread=thread):
                return ThreadCreatedEvent(thread=self._show(thread))
            case ThreadUpdatedEvent(thread=thread):
                return ThreadUpdatedEvent(thread=self._show(thread))
            case (
                StreamOptionsEvent()
                | ProgressUpdateEvent()
                | ClientEffectEvent()
                | ErrorEvent()
                | NoticeEvent()
            ):
                return event
            case _:  # one of another package's classes, or data
                return await self.take(to_own_event(event))

    # --- endings ---------------------------------------------------------------------------------

    async def settle(self) -> list[ThreadStreamEvent]:
        """End what a complete turn left pending: as the client sees it; empty items go.

        Only a custom workflow stays open, as the official one does: the next run goes on with it.
        """
        events: list[ThreadStreamEvent] = []
        for item in self.pending.current():
            if is_empty_item(item):
                await self._delete(item.id)
                events.append(ThreadItemRemovedEvent(item_id=item.id))
            else:
                await self._store_unfinished(item)
                if not (isinstance(item, WorkflowItem) and item.workflow.type == "custom"):
                    events.append(ThreadItemDoneEvent(item=item))
        return events

    async def keep_what_was_seen(self) -> list[ThreadStreamEvent]:
        """After a failure: keep the text of pending answers, take back everything else."""
        events: list[ThreadStreamEvent] = []
        for item in self.pending.current():
            if isinstance(item, AssistantMessageItem) and not is_blank(item):
                with log_failure("keep the text of a failed answer"):
                    await self._store_unfinished(item)
                    events.append(ThreadItemDoneEvent(item=item))
                    continue
                self.has_lost_text = True
            events.append(await self._take_back(item))
        return events

    async def release(self) -> list[ThreadItem]:
        """After a cancel: return the pending items, of which none is in the store.

        Answers that had to be stored already are completed, and are not among those returned.
        """
        pending: list[ThreadItem] = []
        for item in self.pending.current():
            is_placed = self._placed.get(item.id, False)
            if is_placed and isinstance(item, AssistantMessageItem) and not is_blank(item):
                self.has_lost_text = True
                with log_failure("save the answer of a cancelled stream"):
                    await self._store_item(item, is_stored=True)
                    self.has_lost_text = False
                continue
            if is_placed:
                with log_failure("take back a pending item"):
                    await self._delete(item.id)
            pending.append(item)
        return pending

    async def tell_what_is_stored(self, items: Iterable[ThreadItem]) -> list[ThreadStreamEvent]:
        """Return what brings a client that shows ``items`` to what is stored of them."""
        events: list[ThreadStreamEvent] = []
        for item in items:
            stored = await self._load(item.id)
            if stored is None or is_hidden(stored):
                events.append(ThreadItemRemovedEvent(item_id=item.id))
            elif dump_wire(stored) != dump_wire(item):
                events.append(ThreadItemDoneEvent(item=stored))
        return events

    # --- the store -------------------------------------------------------------------------------

    async def _store_item(self, item: ThreadItem, *, is_stored: bool) -> None:
        if not item.thread_id:  # a note as older guides write it
            item = item.model_copy(update={"thread_id": self._thread_id})
        if not is_hidden(item):
            await self._place_unfinished_ahead_of(item)
        if is_stored or item.id in self._placed:
            await self._store.save_item(self._thread_id, item, self._context)
        else:
            await self._store.add_thread_item(self._thread_id, item, self._context)
        self._forget(item.id)

    async def _store_unfinished(self, item: ThreadItem) -> None:
        # It may have been announced anew, or stored by the handler itself.
        is_stored = item.id in self._placed or await self._load(item.id) is not None
        await self._store_item(item, is_stored=is_stored)

    async def _place_unfinished_ahead_of(self, item: ThreadItem) -> None:
        for each in self.pending.ahead_of(item.id):
            if each.id in self._placed:
                continue
            is_new = await self._load(each.id) is None
            if is_new:
                if isinstance(each, GeneratedImageItem):
                    # Its place is what counts; a preview is for the eyes, and may be megabytes.
                    each = each.model_copy(update={"image": None})
                await self._store.add_thread_item(self._thread_id, each, self._context)
            self._placed[each.id] = is_new

    async def _delete(self, item_id: str) -> None:
        await self._store.delete_thread_item(self._thread_id, item_id, self._context)
        self._forget(item_id)

    def _forget(self, item_id: str) -> None:
        self.pending.drop(item_id)
        self._placed.pop(item_id, None)
        self._unknown.discard(item_id)

    async def _update(self, event: ThreadItemUpdatedEvent) -> bool:
        """Apply an update to its item, wherever that is; return whether the client gets it."""
        item_id = event.item_id
        if self.pending.update(item_id, event.update):
            return True
        if item_id in self._hidden:
            return False
        if item_id in self._unknown:
            return True
        item = await self._load(item_id)
        if item is None:
            self._unknown.add(item_id)
            logger.warning("Update of an unknown item", extra={"item_id": item_id})
            return True
        if self._hide(item):
            return False
        apply_update(item, event.update)
        await run_to_completion(self._store.save_item(self._thread_id, item, self._context))
        return True

    async def _take_back(self, item: ThreadItem) -> ThreadStreamEvent:
        """Undo what a pending item showed: it goes, or is again what the store holds."""
        with log_failure("take back a pending item"):
            if self._placed.get(item.id):
                await self._delete(item.id)
            self._forget(item.id)
            stored = await self._load(item.id)
            if stored is not None and not is_hidden(stored):
                return ThreadItemReplacedEvent(item=stored)
        self._forget(item.id)
        return ThreadItemRemovedEvent(item_id=item.id)

    async def _load(self, item_id: str) -> ThreadItem | None:
        try:
            return await self._store.load_item(self._thread_id, item_id, self._context)
        except NotFoundError:
            return None

    def _hide(self, item: ThreadItem) -> bool:
        """Return whether ``item`` is for the model only, and remember it if so."""
        if is_hidden(item):
            self._hidden.add(item.id)
            return True
        self._hidden.discard(item.id)
        return False
