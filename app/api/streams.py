"""How a run's frames go out: Server-Sent Events that name their run."""

import logging
from collections.abc import AsyncGenerator

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from app.settings import Settings

RUN_HEADER = "X-ChatKit-Run"
STOP_HEADER = "X-ChatKit-Stop"

logger = logging.getLogger("app.streams")


class RunResponse(EventSourceResponse):
    """The frames of one run, with a comment in silence so that no proxy cuts the stream."""

    def __init__(
        self, frames: AsyncGenerator[bytes, None], run_id: str, settings: Settings
    ) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - its content type is loose
            frames,
            headers={RUN_HEADER: run_id},
            ping=settings.stream_heartbeat,
            ping_message_factory=_ping,
            send_timeout=settings.stream_send_timeout,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; a peer that takes nothing any more is let go, the run is not."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            logger.info("A reader took nothing for too long and was let go")


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep="\n")
