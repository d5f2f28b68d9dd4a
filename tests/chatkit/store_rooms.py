"""A thread of one user in each of the stores, and a way to send requests into it."""

import json
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.chatkit.actions import ActionConfig
from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError, RequestRefusedError
from app.chatkit.protocol.items import ThreadMetadata, WidgetItem
from app.chatkit.server import ChatKitServer, NonStreamingResult, StreamingResult
from app.chatkit.store import Store
from app.chatkit.widgets import WidgetRoot
from tests.support.samples import MOMENT, THREAD_ID

Event = dict[str, Any]
WIDGET_ID = "widget_1"


@dataclass
class Sent:
    """What came back: events of a stream, an answer, or the error of a refusal."""

    events: list[Event] = field(default_factory=list[Event])
    answer: Event | None = None
    error: Exception | None = None

    @property
    def refusal(self) -> str | None:
        """Return why it was refused, if it was."""
        if self.error is not None:
            return str(self.error)
        errors = [each for each in self.events if each["type"] == "error"]
        if not errors:
            return None
        assert [each["type"] for each in self.events] == ["stream_options", "error"]
        assert (errors[0]["code"], errors[0]["allow_retry"]) == ("custom", False)
        return errors[0]["message"]


@dataclass
class Room:
    """A user with a thread in a store."""

    store: Store[RequestContext]
    context: RequestContext

    async def open(self) -> None:
        """Store the thread."""
        thread = ThreadMetadata(id=THREAD_ID, created_at=MOMENT)
        await self.store.save_thread(thread, self.context)

    async def show(self, widget: WidgetRoot, item_id: str = WIDGET_ID) -> WidgetItem:
        """Store a widget in the thread, or in the place of the one with this id."""
        item = WidgetItem(id=item_id, thread_id=THREAD_ID, created_at=MOMENT, widget=widget)
        await self.store.save_item(THREAD_ID, item, self.context)
        return item

    async def everything(self) -> list[str]:
        """Return all that the store holds of the thread, hidden items included."""
        page = await self.store.load_thread_items(THREAD_ID, None, 100, "asc", self.context)
        thread = await self.store.load_thread(THREAD_ID, self.context)
        return [thread.model_dump_json(), *(each.model_dump_json() for each in page.data)]

    async def send(
        self,
        server: ChatKitServer[RequestContext],
        action: Event | ActionConfig,
        item_id: str | None = WIDGET_ID,
        *,
        sync: bool = False,
    ) -> Sent:
        """Send an action, as a client does."""
        if isinstance(action, ActionConfig):
            action = action.model_dump(mode="json", include={"type", "payload"})
        kind = "threads.sync_custom_action" if sync else "threads.custom_action"
        params = {"thread_id": THREAD_ID, "item_id": item_id, "action": action}
        body = json.dumps({"type": kind, "params": params})
        try:
            result = await server.process(body, self.context)
            if isinstance(result, NonStreamingResult):
                return Sent(answer=json.loads(result.json))
            assert isinstance(result, StreamingResult)
            async with aclosing(result.json_events) as frames:
                return Sent([json.loads(each.removeprefix(b"data: ")) async for each in frames])
        except (NotFoundError, RequestRefusedError) as error:
            return Sent(error=error)
