"""What a page shows: the frames it was given, applied as the protocol says."""

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ShownText:
    """The text of one message as it grew: how long it was, and when."""

    text: str = ""
    grown: list[tuple[float, int]] = field(default_factory=list)

    def set(self, text: str) -> None:
        """Take note that the message reads like this now."""
        if len(text) > len(self.text):
            self.grown.append((time.monotonic(), len(text)))
        self.text = text

    def seconds_beyond(self, length: int) -> float:
        """Return how long text was shown that goes beyond ``length``, while it grew."""
        beyond = [at for at, size in self.grown if size > length]
        return beyond[-1] - beyond[0] if beyond else 0.0


class ShownThread:
    """The items of one thread on one page; ``last_id`` is the last frame id it was given."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, ShownText] = {}
        self.pending: set[str] = set()
        self.last_id = ""

    def apply(self, event: dict[str, Any]) -> None:
        """Apply one event; what this page does not draw is ignored."""
        match event["type"]:
            case "thread.item.added":
                self._put(event["item"])
                self.pending.add(event["item"]["id"])
            case "thread.item.done":
                self._put(event["item"])
                self.pending.discard(event["item"]["id"])
            case "thread.item.replaced":
                if event["item"]["id"] not in self.items:
                    self.pending.add(event["item"]["id"])
                self._put(event["item"])
            case "thread.item.removed":
                self.items.pop(event["item_id"], None)
                self.pending.discard(event["item_id"])
            case "thread.item.updated":
                self._update(event["item_id"], event["update"])
            case _:
                pass

    def drop_pending(self) -> None:
        """Drop what nobody has finished: what the page does that has read on elsewhere."""
        for item_id in self.pending:
            self.items.pop(item_id, None)
        self.pending.clear()

    def _put(self, item: dict[str, Any]) -> None:
        self.items[item["id"]] = item
        if item["type"] == "assistant_message":
            self._note_text(item)

    def _update(self, item_id: str, update: dict[str, Any]) -> None:
        item = self.items.get(item_id)
        if item is None:
            return
        if update["type"] == "assistant_message.content_part.added":
            item["content"].append(dict(update["content"]))
        elif update["type"] == "assistant_message.content_part.text_delta":
            item["content"][update["content_index"]]["text"] += update["delta"]
            self._note_text(item)
        elif update["type"] == "workflow.task.added":
            item["workflow"]["tasks"].append(update["task"])

    def _note_text(self, item: dict[str, Any]) -> None:
        shown = self.texts.setdefault(item["id"], ShownText())
        shown.set("".join(part["text"] for part in item["content"]))
