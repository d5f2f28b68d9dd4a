"""Assistants whose every step a test decides."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartTextDelta,
    StreamOptions,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    ThreadMetadata,
    UserMessageItem,
    now,
)
from app.chatkit.server import ChatKitServer
from app.chatkit.store import Store
from app.settings import Settings

WORDS = [f"word{number} " for number in range(12)]


class CountingServer(ChatKitServer[RequestContext]):
    """Says ``WORDS``, one a step; a message ``no cancel`` makes a stream that cannot be stopped.

    ``hold`` stops every answer before the given step until it is set free.
    """

    def __init__(self, store: Store[RequestContext], *, settings: Settings) -> None:
        super().__init__(store)
        self.delay = 0.004
        self.hold_at: int | None = None
        self.released = asyncio.Event()
        self.held = asyncio.Event()
        self.ended: list[str] = []

    def get_stream_options(self, thread: ThreadMetadata, context: RequestContext) -> StreamOptions:
        return StreamOptions(allow_cancel=context.metadata.get("allow_cancel", True))

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        ending = "cancelled"
        try:
            async for event in self._say(thread, context):
                yield event
            ending = "completed"
        finally:
            self.ended.append(ending)

    async def _say(
        self, thread: ThreadMetadata, context: RequestContext
    ) -> AsyncIterator[ThreadStreamEvent]:
        item = AssistantMessageItem(
            id=self.store.generate_item_id("message", thread, context),
            thread_id=thread.id,
            created_at=now(),
            content=[],
        )
        yield ThreadItemAddedEvent(item=item)
        part = AssistantMessageContent(text="")
        yield _update(item, AssistantMessageContentPartAdded(content_index=0, content=part))
        for step, word in enumerate(WORDS):
            if step == self.hold_at:
                self.held.set()
                await self.released.wait()
            await asyncio.sleep(self.delay)
            yield _update(item, AssistantMessageContentPartTextDelta(content_index=0, delta=word))
        done = AssistantMessageContent(text="".join(WORDS))
        yield ThreadItemDoneEvent(item=item.model_copy(update={"content": [done]}))


class SlowStore:
    """A store whose every write takes its time."""

    WRITES = (
        "chatkit_add_user_message",
        "add_thread_item",
        "save_item",
        "chatkit_save_thread_changes",
    )

    def __init__(self, store: Store[RequestContext], delay: float) -> None:
        self._store = store
        self._delay = delay

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in self.WRITES:
            return found

        async def write(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(self._delay)
            result = await found(*args, **kwargs)
            await asyncio.sleep(self._delay)
            return result

        return write


def _update(item: AssistantMessageItem, update: Any) -> ThreadItemUpdatedEvent:
    return ThreadItemUpdatedEvent(item_id=item.id, update=update)
