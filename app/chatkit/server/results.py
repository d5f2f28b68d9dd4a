"""What ``ChatKitServer.process`` returns."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator


class StreamingResult(AsyncIterable[bytes]):
    """A streaming answer: every element is exactly one ``data: <json>`` frame."""

    def __init__(self, stream: AsyncGenerator[bytes, None]) -> None:
        self.json_events = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.json_events


class NonStreamingResult:
    """An answer in one piece; ``json`` is its body."""

    def __init__(self, result: bytes) -> None:
        self.json = result
