"""An assistant whose answers name the run that wrote them, so that every word can be traced."""

import asyncio
from collections.abc import AsyncIterator

from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartTextDelta,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    ThoughtTask,
    ThreadMetadata,
    UserMessageItem,
    Workflow,
    WorkflowItem,
    now,
)
from app.chatkit.server import ChatKitServer
from app.chatkit.store import Store
from app.settings import Settings

WORDS = 40
PACE = 0.01


class TracedServer(ChatKitServer[RequestContext]):
    """Answers ``<run id> w0 w1 …``, a word every few milliseconds, beside a workflow."""

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        assert context.run is not None
        work = WorkflowItem(
            id=self.store.generate_item_id("workflow", thread, context),
            thread_id=thread.id,
            created_at=now(),
            workflow=Workflow(type="reasoning", tasks=[ThoughtTask(content="Well")]),
        )
        yield ThreadItemAddedEvent(item=work)
        item = AssistantMessageItem(
            id=self.store.generate_item_id("message", thread, context),
            thread_id=thread.id,
            created_at=now(),
            content=[],
        )
        yield ThreadItemAddedEvent(item=item)
        words = [context.run.id, *(f" w{number}" for number in range(WORDS))]
        empty = AssistantMessageContent(text="")
        yield ThreadItemUpdatedEvent(
            item_id=item.id,
            update=AssistantMessageContentPartAdded(content_index=0, content=empty),
        )
        for word in words:
            await asyncio.sleep(PACE)
            yield ThreadItemUpdatedEvent(
                item_id=item.id,
                update=AssistantMessageContentPartTextDelta(content_index=0, delta=word),
            )
        whole = AssistantMessageContent(text="".join(words))
        yield ThreadItemDoneEvent(item=work)
        yield ThreadItemDoneEvent(item=item.model_copy(update={"content": [whole]}))


def create_assistant(store: Store[RequestContext], *, settings: Settings) -> TracedServer:
    """Return the assistant; what ``ASSISTANT_SERVER`` names."""
    return TracedServer(store)
