"""What a handler changes on its thread object, and what a client may see of a thread."""

import copy
from collections.abc import Callable
from typing import Any, cast

from typing_extensions import TypeVar

from app.chatkit.protocol.events import ThreadUpdatedEvent
from app.chatkit.protocol.items import Page, Thread, ThreadItem, ThreadMetadata, is_hidden
from app.chatkit.protocol.own_classes import to_own_status
from app.chatkit.protocol.wire_model import WireModel
from app.chatkit.store import Store

TContext = TypeVar("TContext", default=Any)

_NOTHING: frozenset[str] = frozenset()

ShowThread = Callable[[ThreadMetadata], Thread]
"""Makes of a thread what a client may see of it."""


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


class ThreadChanges:
    """Notices what a handler changed on its thread object, at the cost of four comparisons."""

    def __init__(self, thread: ThreadMetadata) -> None:
        self._thread = thread
        self._saved = _take_copy(thread)

    def changed_fields(self) -> frozenset[str]:
        """Return the names of the fields that differ from what was saved last."""
        thread, saved = self._thread, self._saved
        status = cast("object", thread.status)
        if not isinstance(status, WireModel):  # assigned values are not checked
            thread.status = to_own_status(status)
        if (
            thread.title == saved.title
            and thread.status.__dict__ == saved.status.__dict__
            and thread.allowed_image_domains == saved.allowed_image_domains
            and thread.metadata == saved.metadata
        ):
            return _NOTHING
        names = ("title", "status", "allowed_image_domains", "metadata")
        return frozenset(name for name in names if getattr(thread, name) != getattr(saved, name))

    async def save(
        self, store: Store[TContext], changed: frozenset[str], context: TContext, show: ShowThread
    ) -> ThreadUpdatedEvent:
        """Save the ``changed`` fields as they are now, and return what the client is told."""
        current = _take_copy(self._thread)
        await store.chatkit_save_thread_changes(current, changed, context)
        self._saved = current
        return ThreadUpdatedEvent(thread=show(current))


def _take_copy(thread: ThreadMetadata) -> ThreadMetadata:
    """Return a copy of the metadata of ``thread`` alone, also where it is a ``Thread``."""
    return ThreadMetadata.model_construct(
        id=thread.id,
        created_at=thread.created_at,
        title=thread.title,
        status=thread.status.model_copy(),
        allowed_image_domains=copy.copy(thread.allowed_image_domains),
        metadata=copy.deepcopy(thread.metadata),
    )
