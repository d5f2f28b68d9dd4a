"""Events of the Responses API that a provider should have sent, and one that it could not."""

from typing import Any, Literal
from uuid import uuid4

from openai.types.responses import (
    ResponseContentPartAddedEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
)
from openai.types.responses.response_reasoning_item import Content
from pydantic import BaseModel


class OutputItemRetractedEvent(BaseModel):
    """A message that was streamed turned out to be none: whoever has shown it takes it back."""

    type: Literal["response.output_item.retracted"] = "response.output_item.retracted"
    item_id: str
    output_index: int


def create_item_id(prefix: str) -> str:
    """Return an id for an item that came without one."""
    return f"{prefix}_{uuid4().hex}"


def item_added(item: Any, index: int) -> ResponseOutputItemAddedEvent:
    """Return the announcement of an output item."""
    return ResponseOutputItemAddedEvent.construct(
        type="response.output_item.added", item=item, output_index=index, sequence_number=0
    )


def item_done(item: Any, index: int) -> ResponseOutputItemDoneEvent:
    """Return the end of an output item."""
    return ResponseOutputItemDoneEvent.construct(
        type="response.output_item.done", item=item, output_index=index, sequence_number=0
    )


def empty_message(item_id: str) -> ResponseOutputMessage:
    """Return a message as it is announced."""
    return ResponseOutputMessage(
        id=item_id, type="message", role="assistant", status="in_progress", content=[]
    )


def text_part(text: str, *, is_refusal: bool) -> ResponseOutputText | ResponseOutputRefusal:
    """Return a part of a message."""
    if is_refusal:
        return ResponseOutputRefusal(type="refusal", refusal=text)
    return ResponseOutputText(type="output_text", text=text, annotations=[])


def part_added(
    item_id: str, index: int, content_index: int, *, is_refusal: bool
) -> ResponseContentPartAddedEvent:
    """Return the announcement of a part of a message."""
    return ResponseContentPartAddedEvent(
        type="response.content_part.added",
        item_id=item_id,
        output_index=index,
        content_index=content_index,
        part=text_part("", is_refusal=is_refusal),
        sequence_number=0,
    )


def text_delta(
    item_id: str, index: int, content_index: int, delta: str, *, is_refusal: bool
) -> ResponseTextDeltaEvent | ResponseRefusalDeltaEvent:
    """Return a piece of a part of a message."""
    place: dict[str, Any] = {
        "item_id": item_id,
        "output_index": index,
        "content_index": content_index,
        "delta": delta,
        "sequence_number": 0,
    }
    if is_refusal:
        return ResponseRefusalDeltaEvent(type="response.refusal.delta", **place)
    return ResponseTextDeltaEvent(type="response.output_text.delta", logprobs=[], **place)


class Thought:
    """Reasoning of ours, made of what a provider sent as something else. It may say nothing."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._id = create_item_id("rs")
        self._pieces: list[str] = []

    def think(self, text: str) -> list[Any]:
        """Return the events for the next piece."""
        if not self._pieces and not text.strip():
            return []
        events: list[Any] = [] if self._pieces else [item_added(self._item(None), self._index)]
        self._pieces.append(text)
        delta = ResponseReasoningTextDeltaEvent(
            type="response.reasoning_text.delta",
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            delta=text,
            sequence_number=0,
        )
        return [*events, delta]

    def finish(self) -> list[Any]:
        """Return the events for the end."""
        if not self._pieces:
            return []
        text = "".join(self._pieces).strip()
        done = ResponseReasoningTextDoneEvent(
            type="response.reasoning_text.done",
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            text=text,
            sequence_number=0,
        )
        return [done, item_done(self._item(text), self._index)]

    def _item(self, text: str | None) -> ResponseReasoningItem:
        content = None if text is None else [Content(type="reasoning_text", text=text)]
        return ResponseReasoningItem(id=self._id, type="reasoning", summary=[], content=content)
