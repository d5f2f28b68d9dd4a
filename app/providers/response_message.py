"""One message of a response: what of it is passed on, and what waits or is no message at all.

It is announced with its first text that can be seen: a message that only accompanies a tool call
never shows. Thinking at its beginning becomes reasoning.
"""

from operator import is_
from typing import Any

from openai.types.responses import ResponseOutputMessage

from app.chatkit.untyped import get_field, get_list, get_text
from app.providers.response_events import (
    OutputItemRetractedEvent,
    Thought,
    create_item_id,
    empty_message,
    item_added,
    item_done,
    part_added,
    text_delta,
    text_part,
)
from app.providers.surrogates import SurrogateJoiner, join_surrogates
from app.providers.thinking import Piece, ThinkingSplitter, split_thinking


class MessagePart:
    """One text or refusal of a message. ``is_flowing``: see ``ThinkingSplitter``."""

    __slots__ = (
        "index",
        "is_announced",
        "is_fed",
        "is_finished",
        "is_refusal",
        "joiner",
        "splitter",
    )

    def __init__(self, index: int, *, is_refusal: bool) -> None:
        self.index = index
        self.is_refusal = is_refusal
        self.is_announced = self.is_fed = self.is_finished = False
        self.joiner = SurrogateJoiner()
        self.splitter = ThinkingSplitter()

    @property
    def text(self) -> str:
        """What was passed on so far."""
        return "".join(self.splitter.said)

    @property
    def is_flowing(self) -> bool:
        """Whether plain text would pass unchanged."""
        is_free = self.is_refusal or self.splitter.is_flowing
        return self.is_announced and is_free and not self.joiner.held and not self.is_finished

    def read(self, text: str) -> list[Piece]:
        """Return what the next piece of text means."""
        self.is_fed |= bool(text)
        joined = self.joiner.feed(text)
        if self.is_refusal:
            self.splitter.said.append(joined)
            return [Piece("answer", joined)] if joined else []
        return self.splitter.feed(joined)

    def read_rest(self) -> list[Piece]:
        """Return what was still waiting: the text has ended."""
        if self.is_finished:
            return []
        pieces = self.read(self.joiner.finish())
        self.is_finished = True
        return pieces if self.is_refusal else pieces + self.splitter.finish()


class Message:
    """Follows one message. The methods return the events that are passed on."""

    kind = "message"

    def __init__(self, index: int, item_id: Any, item: Any = None) -> None:
        self.index = index
        self.raw_id = item_id
        self.id = item_id if isinstance(item_id, str) and item_id else create_item_id("msg")
        self.parts: dict[int, MessagePart] = {}
        self.is_announced = self.is_finished = False
        self._announcement = item
        self._thought: Thought | None = None

    def part_at(self, index: int, *, is_refusal: bool = False) -> MessagePart:
        """Return a part, which may be new."""
        part = self.parts.get(index)
        if part is None:
            part = self.parts[index] = MessagePart(index, is_refusal=is_refusal)
        return part

    def add_text(self, part: MessagePart, text: str) -> list[Any]:
        """Take a piece of a part in."""
        return self._pass_on(part, part.read(text))

    def finish_part(self, part: MessagePart, text: str) -> list[Any]:
        """End a part; ``text`` is the whole of it, as far as the provider says."""
        if text and not part.is_fed:
            part.is_finished = False
        events = [] if part.is_fed or not text else self.add_text(part, text)
        return events + self._pass_on(part, part.read_rest())

    def finish(self, item: Any = None) -> list[Any]:
        """End the message; ``item`` is the whole of it, where the provider has sent it."""
        events = self.end_text(item)
        if self.is_finished or not self.is_announced:
            return events
        self.is_finished = True
        return [*events, item_done(self._clean(item), self.index)]

    def final(self, item: Any = None) -> Any:
        """Return the message as the final response has it, or None where it says nothing."""
        return self._clean(item) if self.is_announced else None

    def end_text(self, item: Any = None) -> list[Any]:
        """Pass on what was waiting, and what of ``item`` was never streamed."""
        events: list[Any] = []
        for index, raw in enumerate(get_list(item, "content")):
            kind = get_field(raw, "type")
            if kind in ("output_text", "refusal"):
                part = self.part_at(index, is_refusal=kind == "refusal")
                text = get_text(raw, "text") or get_text(raw, "refusal")
                events += self.finish_part(part, text)
        for part in self.parts.values():
            events += self._pass_on(part, part.read_rest())
        return events

    def _clean(self, item: Any = None) -> Any:
        """Return the message as it is told to the SDK: without thinking, under its one id."""
        sent = get_list(item, "content")
        content = [clean_part(part) for part in sent]
        if not any(_says_something(part) for part in content):
            parts = sorted(self.parts.values(), key=lambda part: part.index)
            content = [text_part(part.text, is_refusal=part.is_refusal) for part in parts]
        if isinstance(item, ResponseOutputMessage):
            if item.id == self.id and is_same(sent, content):
                return item
            return item.model_copy(update={"id": self.id, "content": content})
        return ResponseOutputMessage.construct(
            id=self.id, type="message", role="assistant", status="completed", content=content
        )

    def announce(self, part: MessagePart) -> list[Any]:
        """Announce the message and the part, as far as they are not."""
        events: list[Any] = []
        if not self.is_announced:
            self.is_announced = True
            item = self._announcement
            if isinstance(item, ResponseOutputMessage):
                item = item.model_copy(update={"id": self.id, "content": []})
            else:
                item = empty_message(self.id)
            events.append(item_added(item, self.index))
        if not part.is_announced:
            part.is_announced = True
            kind = part.is_refusal
            events.append(part_added(self.id, self.index, part.index, is_refusal=kind))
        return events

    def _pass_on(self, part: MessagePart, pieces: list[Piece]) -> list[Any]:
        events: list[Any] = []
        for kind, text in pieces:
            match kind:
                case "answer":
                    events += self.announce(part)
                    events.append(
                        text_delta(
                            self.id, self.index, part.index, text, is_refusal=part.is_refusal
                        )
                    )
                case "thought":
                    self._thought = self._thought or Thought(self.index)
                    events += self._thought.think(text)
                case "thought_end":
                    events += self._thought.finish() if self._thought else []
                    self._thought = None
                case "retract":
                    events += self._retract()
                    self._thought = Thought(self.index)
                    events += self._thought.think(text)
        return events

    def _retract(self) -> list[Any]:
        if not self.is_announced:
            return []
        event = OutputItemRetractedEvent(item_id=self.id, output_index=self.index)
        self.is_announced = False
        self.id = create_item_id("msg")
        for part in self.parts.values():
            part.is_announced = False
        return [event]


def clean_part(part: Any) -> Any:
    """Return a part of a message without thinking and halves of characters."""
    text = get_text(part, "text")
    if get_field(part, "type") != "output_text" or not text:
        return part
    cleaned = split_thinking(join_surrogates(text))[1]
    return part if cleaned == text else part.model_copy(update={"text": cleaned})


def is_same(some: list[Any], others: list[Any]) -> bool:
    """Return whether two lists hold the very same objects."""
    return len(some) == len(others) and all(map(is_, some, others))


def _says_something(part: Any) -> bool:
    return bool((get_text(part, "text") or get_text(part, "refusal")).strip())
