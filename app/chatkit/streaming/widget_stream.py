"""A widget, or its states over time, as thread events; and a text that streams into a widget."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar

from agents import StreamEvent

from app.chatkit.closing import closing
from app.chatkit.protocol.events import (
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.ids import StoreItemType, default_generate_id
from app.chatkit.protocol.items import ThreadMetadata, WidgetItem, now
from app.chatkit.protocol.own_classes import to_own_widget
from app.chatkit.streaming.widget_diff import diff_widget
from app.chatkit.widgets import Markdown, Text, WidgetRoot

TWidget = TypeVar("TWidget", bound=Markdown | Text)
TValue = TypeVar("TValue")


async def stream_widget(
    thread: ThreadMetadata,
    widget: WidgetRoot | AsyncIterator[WidgetRoot],
    copy_text: str | None = None,
    generate_id: Callable[[StoreItemType], str] = default_generate_id,
) -> AsyncGenerator[ThreadStreamEvent, None]:
    """Yield the events that show ``widget`` in ``thread``.

    A widget is one ``done``. An async iterator of its states (a new object for each, since states
    are compared) is ``added``, the smallest updates, and ``done`` with the last state, all of one
    id and time; one that ends without a state shows nothing.
    """
    if not isinstance(widget, AsyncIterable):
        yield ThreadItemDoneEvent(item=_create_item(thread, widget, copy_text, generate_id))
        return
    item: WidgetItem | None = None
    async with aclosing(read(widget)) as states:
        async for each in states:
            state = to_own_widget(each)
            if item is None:
                item = _create_item(thread, state, copy_text, generate_id)
                yield ThreadItemAddedEvent(item=item)
                continue
            for update in diff_widget(item.widget, state):
                yield ThreadItemUpdatedEvent(item_id=item.id, update=update)
            item = item.model_copy(update={"widget": state})
    if item is not None:
        yield ThreadItemDoneEvent(item=item)


async def accumulate_text(
    events: AsyncIterator[StreamEvent], base_widget: TWidget
) -> AsyncGenerator[TWidget, None]:
    """Yield ``base_widget``, then copies of it whose value is the run's text so far.

    The last copy is no longer ``streaming``.
    """
    text = ""
    yield base_widget
    async for event in events:
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
            yield base_widget.model_copy(update={"value": text})
    yield base_widget.model_copy(update={"value": text, "streaming": False})


async def read(values: AsyncIterator[TValue]) -> AsyncGenerator[TValue, None]:
    """Yield from an iterator, and close it if it can be closed."""
    async with closing(values):
        async for each in values:
            yield each


def _create_item(
    thread: ThreadMetadata,
    widget: WidgetRoot,
    copy_text: str | None,
    generate_id: Callable[[StoreItemType], str],
) -> WidgetItem:
    return WidgetItem(
        id=generate_id("message"),
        thread_id=thread.id,
        created_at=now(),
        widget=widget,
        copy_text=copy_text,
    )
