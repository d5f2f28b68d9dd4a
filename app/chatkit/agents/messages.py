"""Assistant messages of a run: their ids, their parts, and what is streamed of them.

A message is known by its place in the model's response (``output_index``), since placeholder ids
repeat. Places are forgotten with each new response. What a provider leaves out of its events is not
made up here: that is done before the Agents SDK sees them.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.chatkit.agents.context import AgentContext
from app.chatkit.agents.item_ids import ItemIds, is_own_id
from app.chatkit.agents.response_converter import (
    ResponseStreamConverter,
    convert_annotation,
    convert_part,
)
from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemUpdate,
    ThreadItemUpdatedEvent,
)
from app.chatkit.protocol.items import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageItem,
    now,
)
from app.chatkit.untyped import get_field, get_list, get_text


@dataclass(slots=True)
class StreamedPart:
    """What has been streamed of one part."""

    pieces: list[str] = field(default_factory=list[str])
    annotations: list[Annotation] = field(default_factory=list[Annotation])


@dataclass(slots=True)
class StreamedMessage:
    """A message of the response in progress, under the id and time that it keeps."""

    id: str
    raw_id: Any
    created_at: datetime
    parts: dict[int, StreamedPart] = field(default_factory=dict[int, StreamedPart])
    is_open: bool = True

    def part_at(self, index: int) -> StreamedPart:
        """Return a part, which may be new."""
        part = self.parts.get(index)
        if part is None:
            part = self.parts[index] = StreamedPart()
        return part


class MessageStreamer:
    """Follows the messages of a run and streams them."""

    def __init__(
        self, context: AgentContext[Any], converter: ResponseStreamConverter, ids: ItemIds
    ) -> None:
        self._context = context
        self._outbox = context.chatkit_outbox
        self._converter = converter
        self._ids = ids
        self._by_place: dict[Any, StreamedMessage] = {}
        self._by_raw_id: dict[str, StreamedMessage] = {}
        self._last: StreamedMessage | None = None
        self.has_refused = False

    @property
    def is_empty(self) -> bool:
        """Whether the response has no message so far."""
        return self._last is None

    def begin_response(self) -> None:
        """Forget the places of the response before."""
        self._by_place.clear()
        self._by_raw_id.clear()
        self._last = None

    def find_item_id(self, place: Any, raw_id: Any) -> str | None:
        """Return the id in the thread of a message of the response, if it was streamed."""
        message = self._find(place, raw_id)
        return None if message is None else message.id

    # --- events of parts -------------------------------------------------------------------------

    def add_text(self, event: Any) -> Awaitable[None] | None:
        """Stream a delta of text or of a refusal. The hot path: it waits for nothing, mostly."""
        delta = getattr(event, "delta", None)
        if not delta:
            return None
        message = self._by_place.get(getattr(event, "output_index", None))
        if message is None or not message.is_open:
            return self._begin_with_text(event, delta)
        self._put_text(message, event, delta)
        return None

    async def _begin_with_text(self, event: Any, delta: str) -> None:
        message = await self._find_or_remember(event)
        if message is not None:
            self._put_text(message, event, delta)

    def _put_text(self, message: StreamedMessage, event: Any, delta: str) -> None:
        index = getattr(event, "content_index", None) or 0
        message.part_at(index).pieces.append(delta)
        self._outbox.put_text(message.id, index, delta)

    async def add_part(self, event: Any) -> None:
        """Stream the beginning of a part; parts that are no text are left out."""
        content = await convert_part(get_field(event, "part"), self._converter)
        if content is None:
            return
        message = await self._find_or_remember(event)
        if message is None:
            return
        index = get_field(event, "content_index") or 0
        message.parts[index] = StreamedPart([content.text], list(content.annotations))
        self._update(
            message, AssistantMessageContentPartAdded(content_index=index, content=content)
        )

    async def finish_text(self, event: Any) -> None:
        """Stream the end of a part, with the annotations it has gathered."""
        message = await self._find_or_remember(event)
        if message is None:
            return
        index = get_field(event, "content_index") or 0
        part = message.part_at(index)
        text = get_text(event, "text") or get_text(event, "refusal") or "".join(part.pieces)
        content = AssistantMessageContent(text=text, annotations=list(part.annotations))
        self._update(message, AssistantMessageContentPartDone(content_index=index, content=content))

    async def add_annotation(self, event: Any) -> None:
        """Stream an annotation; those that are left out do not count."""
        annotation = await convert_annotation(get_field(event, "annotation"), self._converter)
        if annotation is None:
            return
        message = await self._find_or_remember(event)
        if message is None:
            return
        index = get_field(event, "content_index") or 0
        part = message.part_at(index)
        part.annotations.append(annotation)
        update = AssistantMessageContentPartAnnotationAdded(
            content_index=index,
            annotation_index=len(part.annotations) - 1,
            annotation=annotation,
        )
        self._update(message, update)

    # --- events of items -------------------------------------------------------------------------

    async def add_item(self, event: Any, item: Any) -> None:
        """Stream the beginning of a message; one that is announced twice begins once."""
        place, raw_id = get_field(event, "output_index"), get_field(item, "id")
        known = self._by_place.get(place)
        if known is not None and known.is_open and known.raw_id == raw_id:
            return
        content = await self._convert(item)
        message = await self._remember(place, raw_id)
        for index, part in enumerate(content):
            message.parts[index] = StreamedPart([part.text], list(part.annotations))
        self._context.chatkit_emit(ThreadItemAddedEvent(item=self._to_item(message, content)))

    async def finish_item(self, event: Any, item: Any) -> None:
        """Stream the finished message, under the id and time of its beginning."""
        place, raw_id = get_field(event, "output_index"), get_field(item, "id")
        message = self._find(place, raw_id)
        if message is None:
            message = await self._remember(place, raw_id)
        elif not message.is_open:
            return
        message.is_open = False
        self.has_refused |= any(
            get_field(part, "type") == "refusal" for part in get_list(item, "content")
        )
        content = await self._convert(item) or [
            AssistantMessageContent(text="".join(part.pieces))
            for _, part in sorted(message.parts.items())
        ]
        for index, part in message.parts.items():
            if index < len(content) and not content[index].annotations:
                content[index].annotations = list(part.annotations)
        self._context.chatkit_emit(ThreadItemDoneEvent(item=self._to_item(message, content)))

    def retract(self, event: Any) -> None:
        """Take a message back that was none: thinking that came without a word of it."""
        place, raw_id = get_field(event, "output_index"), get_field(event, "item_id")
        message = self._find(place, raw_id)
        if message is None or not message.is_open:
            return
        self._by_place.pop(place, None)
        self._by_raw_id.pop(raw_id, None)
        self._last = None
        self._outbox.take_back(message.id)

    # --- places ----------------------------------------------------------------------------------

    def _find(self, place: Any, raw_id: Any) -> StreamedMessage | None:
        """Return the message that an event is about: by its place, its id, or as the only one."""
        message = self._by_place.get(place)
        has_id = is_own_id(raw_id)
        if message is None and has_id:
            message = self._by_raw_id.get(raw_id)
        elif message is None and self._last is not None and self._last.is_open:
            message = self._last
        if message is not None and not message.is_open and has_id and message.raw_id != raw_id:
            return None
        return message

    async def _find_or_remember(self, event: Any) -> StreamedMessage | None:
        """Return the open message of an event, or None if that message is finished already.

        One that nobody has announced is not announced here either: its updates alone are passed on.
        """
        place, raw_id = get_field(event, "output_index"), get_field(event, "item_id")
        message = self._find(place, raw_id)
        if message is None:
            return await self._remember(place, raw_id)
        return message if message.is_open else None

    async def _remember(self, place: Any, raw_id: Any) -> StreamedMessage:
        item_id = await self._ids.claim(raw_id, "message")
        message = StreamedMessage(item_id, raw_id, now())
        self._last = message
        if place is not None:
            self._by_place[place] = message
        if is_own_id(raw_id):
            self._by_raw_id[raw_id] = message
        return message

    def _update(self, message: StreamedMessage, update: ThreadItemUpdate) -> None:
        self._outbox.put(ThreadItemUpdatedEvent(item_id=message.id, update=update))

    def _to_item(
        self, message: StreamedMessage, content: list[AssistantMessageContent]
    ) -> AssistantMessageItem:
        return AssistantMessageItem(
            id=message.id,
            thread_id=self._context.thread.id,
            created_at=message.created_at,
            content=content,
        )

    async def _convert(self, item: Any) -> list[AssistantMessageContent]:
        return [
            content
            for part in get_list(item, "content")
            if (content := await convert_part(part, self._converter)) is not None
        ]
