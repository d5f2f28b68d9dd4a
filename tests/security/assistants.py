"""Assistants that answer when they are told to, or fail with private words in their errors."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import ClassVar

from pydantic import TypeAdapter

from app.assistant.server import AssistantServer
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ProgressUpdateEvent, ThreadStreamEvent
from app.chatkit.protocol.items import ThreadMetadata, UserMessageItem
from app.chatkit.server import ChatKitServer
from app.chatkit.store import Store
from app.settings import Settings


class WaitingServer(ChatKitServer[RequestContext]):
    """Says nothing, and is done when its ``gate`` opens."""

    made: ClassVar[list["WaitingServer"]] = []

    def __init__(self, store: Store[RequestContext], *, settings: Settings) -> None:
        super().__init__(store)
        self.gate = asyncio.Event()
        self.made.append(self)

    @classmethod
    def open_all(cls) -> None:
        """Let all of them finish."""
        for each in cls.made:
            each.gate.set()

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


class RepeatingServer(ChatKitServer[RequestContext]):
    """Says what its own server wants it to know."""

    def __init__(self, store: Store[RequestContext], *, settings: Settings) -> None:
        super().__init__(store)

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Tell each variable of the session, as a progress."""
        for name, value in context.state.items():
            yield ProgressUpdateEvent(text=f"{name}={value!r}")


async def fail_with(text: str) -> None:
    """Fail, and nobody waits for it."""
    raise ValueError(text)


class FailingServer(AssistantServer):
    """The real assistant; asked to, it fails with the user's own words in the error."""

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Answer, or fail: at once, in a library, or behind another error."""
        text = "".join(each.text for each in input_user_message.content)  # type: ignore[union-attr]
        if "validate" in text:
            TypeAdapter(int).validate_python(text)
        if "wrapped" in text:
            try:
                raise KeyError(text)
            except KeyError as error:
                raise ExceptionGroup(text, [ValueError(text), RuntimeError(text)]) from error
        async for event in super().respond(thread, input_user_message, context):
            yield event
        if "forgotten" in text:
            asyncio.create_task(fail_with(text))  # noqa: RUF006 - that is the mistake
            await asyncio.sleep(0.01)
            gc.collect()
        if "afterwards" in text:
            raise RuntimeError(f"could not handle {text!r}")
