"""``ActionCall``: what the handler of an action gets, with its usual answers as one-liners."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from app.chatkit.action_routing.widget_edits import consume, fill_in
from app.chatkit.actions import Action
from app.chatkit.errors import UnprocessableError
from app.chatkit.protocol.events import (
    ClientEffectEvent,
    ThreadItemReplacedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import (
    HiddenContextItem,
    ThreadMetadata,
    WidgetItem,
    now,
)
from app.chatkit.responder import Responder
from app.chatkit.store import Store
from app.chatkit.streaming.widget_stream import stream_widget
from app.chatkit.widgets import WidgetRoot

TContext = TypeVar("TContext", default=Any)
TPayload = TypeVar("TPayload", bound=BaseModel)

Values = BaseModel | Mapping[str, Any]


@dataclass(slots=True)
class ActionCall(Generic[TPayload, TContext]):
    """One action of a client's: checked, its payload parsed.

    ``sender`` is the widget that it came from; an action of the page itself may have none.
    """

    server: Responder[TContext]
    thread: ThreadMetadata
    action: Action[str, Any]
    payload: TPayload
    sender: WidgetItem | None
    context: TContext

    @property
    def store(self) -> Store[TContext]:
        """The server's store."""
        return self.server.store

    # --- the widget ------------------------------------------------------------------------------

    def updated(
        self,
        widget: WidgetRoot | None = None,
        *,
        values: Values | None = None,
        consumed: bool = False,
        copy_text: str | None = None,
    ) -> WidgetItem:
        """Return the sender's item with another widget, or with its own one changed.

        ``values`` are what its inputs hold from now on (``call.payload``: what was submitted).
        ``consumed`` takes its actions away and disables it. A handler for ``streaming=False``
        returns the item, which stores it.
        """
        if self.sender is None:
            raise UnprocessableError(f'The action "{self.action.type}" came from no widget')
        changed = self.sender.widget if widget is None else widget
        if values is not None:
            changed = fill_in(changed, values)
        if consumed:
            changed = consume(changed)
        text = self.sender.copy_text if copy_text is None else copy_text
        return self.sender.model_copy(update={"widget": changed, "copy_text": text})

    def replace(
        self,
        widget: WidgetRoot | None = None,
        *,
        values: Values | None = None,
        consumed: bool = False,
        copy_text: str | None = None,
    ) -> ThreadItemReplacedEvent:
        """Return the event that puts ``updated(...)`` into the thread, to be yielded."""
        item = self.updated(widget, values=values, consumed=consumed, copy_text=copy_text)
        return ThreadItemReplacedEvent(item=item)

    def stream_widget(
        self, widget: WidgetRoot | AsyncIterator[WidgetRoot], copy_text: str | None = None
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events of a new widget."""
        create_id = partial(self.store.generate_item_id, thread=self.thread, context=self.context)
        return stream_widget(self.thread, widget, copy_text, create_id)

    # --- the model and the page ------------------------------------------------------------------

    async def add_hidden_context(self, content: Any) -> None:
        """Tell the model something from its next answer on; no client ever sees it."""
        note = HiddenContextItem(
            id=self.store.generate_item_id("message", self.thread, self.context),
            thread_id=self.thread.id,
            created_at=now(),
            content=content,
        )
        await self.store.add_thread_item(self.thread.id, note, self.context)

    def client_effect(self, name: str, data: dict[str, Any] | None = None) -> ClientEffectEvent:
        """Return the event that has the page do something, to be yielded."""
        return ClientEffectEvent(name=name, data=data or {})

    def respond(self) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events of an answer of the assistant to the thread as it now stands."""
        return self.server.respond(self.thread, None, self.context)
