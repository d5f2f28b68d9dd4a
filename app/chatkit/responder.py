"""What everything that continues a turn needs of the server that it belongs to."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from typing_extensions import TypeVar

from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import ThreadMetadata, UserMessageItem
from app.chatkit.store import Store

TContext = TypeVar("TContext", default=Any)


class Responder(Protocol[TContext]):
    """A server that responds in the threads of its store."""

    store: Store[TContext]

    def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: TContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events of a response."""
        ...
