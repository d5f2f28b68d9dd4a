"""An assistant that answers when it is told to."""

import asyncio
from collections.abc import AsyncIterator

from app.chatkit.context import RequestContext
from app.chatkit.events import ThreadStreamEvent
from app.chatkit.items import ThreadMetadata, UserMessageItem
from app.chatkit.server import ChatKitServer
from app.chatkit.store import Store
from app.settings import Settings


class WaitingServer(ChatKitServer[RequestContext]):
    """Says nothing, and is done when its ``gate`` opens."""

    def __init__(self, store: Store[RequestContext], *, settings: Settings) -> None:
        super().__init__(store)
        self.gate = asyncio.Event()

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Wait."""
        await self.gate.wait()
        return
        yield
