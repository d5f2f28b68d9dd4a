"""Output items of a response that are no messages: followed so that each of them ends."""

from typing import Any

from openai.types.responses import (
    ResponseReasoningItem,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDoneEvent,
)

from app.chatkit.untyped import get_field, get_list, get_text
from app.providers.response_events import create_item_id, item_added, item_done
from app.providers.surrogates import SurrogateJoiner, has_surrogates, join_surrogates


class Reasoning:
    """Follows one item of reasoning. The methods return the events that are passed on."""

    kind = "reasoning"

    def __init__(self, index: int, raw_id: Any, item: Any = None) -> None:
        self.index = index
        self.raw_id = raw_id
        self.is_announced = self.is_finished = False
        self._item = item
        self._joiners: dict[Any, SurrogateJoiner] = {}
        self._shown: set[str] = set()

    def add_text(self, event: Any) -> list[Any] | None:
        """Take a delta in; None where it may be passed on as it is."""
        delta = get_field(event, "delta")
        if not isinstance(delta, str) or self.is_finished:
            return []
        self._shown.add(_kind_of(event))
        part = (event.type, _part_of(event))
        joiner = self._joiners.get(part)
        if joiner is None and has_surrogates(delta):
            joiner = self._joiners[part] = SurrogateJoiner()
        text = joiner.feed(delta) if joiner else delta
        if self.is_announced and text is delta and get_field(event, "output_index") == self.index:
            return None
        update = {"delta": text, "output_index": self.index}
        return [*self.announce(), *([event.model_copy(update=update)] if text else [])]

    def finish_text(self, event: Any) -> list[Any]:
        """Take the end of a part in."""
        self._shown.add(_kind_of(event))
        text = join_surrogates(get_text(event, "text"))
        update = {"text": text, "output_index": self.index}
        return [*self.announce(), event.model_copy(update=update)]

    def finish(self, item: Any = None) -> list[Any]:
        """End the reasoning, and show what of ``item`` was never streamed."""
        if self.is_finished:
            return []
        self.is_finished = True
        self._item = item = self._item if item is None else item
        events = self._show_rest(item)
        if not self.is_announced:
            return []
        return [*events, item_done(item if item is not None else self._empty(), self.index)]

    def final(self, item: Any = None) -> Any:
        """Return the reasoning as the final response has it, if the provider has sent it."""
        return item if item is not None else self._item

    def announce(self) -> list[Any]:
        """Announce it, as far as it is not."""
        if self.is_announced:
            return []
        self.is_announced = True
        return [item_added(self._empty(), self.index)]

    def _show_rest(self, item: Any) -> list[Any]:
        place: dict[str, Any] = {
            "item_id": self._id(),
            "output_index": self.index,
            "sequence_number": 0,
        }
        parts: list[Any] = []
        summaries = [text for each in get_list(item, "summary") if (text := get_text(each, "text"))]
        contents = [text for each in get_list(item, "content") if (text := get_text(each, "text"))]
        if summaries and "summary" not in self._shown:
            kind = "response.reasoning_summary_text.done"
            for index, text in enumerate(map(join_surrogates, summaries)):
                parts.append(
                    ResponseReasoningSummaryTextDoneEvent(
                        type=kind, text=text, summary_index=index, **place
                    )
                )
        elif contents and not summaries and "text" not in self._shown:
            for index, text in enumerate(map(join_surrogates, contents)):
                parts.append(
                    ResponseReasoningTextDoneEvent(
                        type="response.reasoning_text.done",
                        text=text,
                        content_index=index,
                        **place,
                    )
                )
        return [*self.announce(), *parts] if parts else []

    def _id(self) -> str:
        if not isinstance(self.raw_id, str) or not self.raw_id:
            self.raw_id = create_item_id("rs")
        return self.raw_id

    def _empty(self) -> ResponseReasoningItem:
        return ResponseReasoningItem(id=self._id(), type="reasoning", summary=[])


def _kind_of(event: Any) -> str:
    return "summary" if "summary" in event.type else "text"


def _part_of(event: Any) -> Any:
    return get_field(event, "summary_index") or get_field(event, "content_index")


class OtherItem:
    """Follows a function call, a hosted tool or an image: items with a beginning and an end."""

    def __init__(self, index: int, raw_id: Any, item: Any) -> None:
        self.index = index
        self.raw_id = raw_id
        self.kind = get_text(item, "type")
        self.is_finished = False
        self._item = item
        self._arguments: list[str] = []

    def add_arguments(self, event: Any) -> None:
        """Take a piece of a call's arguments in, or the whole of them."""
        whole = get_field(event, "arguments")
        if isinstance(whole, str):
            self._arguments = [whole]
        elif delta := get_text(event, "delta"):
            self._arguments.append(delta)

    def finish(self, item: Any = None) -> list[Any]:
        """End the item. A call may be put together; of others there is nothing but the item."""
        if self.is_finished:
            return []
        if item is not None:
            self._item = item
        elif self.kind != "function_call":
            return []
        elif self._arguments:
            self._item = self._item.model_copy(update={"arguments": "".join(self._arguments)})
        self.is_finished = True
        return [item_done(self._item, self.index)]

    def final(self, item: Any = None) -> Any:
        """Return the item as the final response has it, or None if it never ended."""
        return item if item is not None else self._item if self.is_finished else None
