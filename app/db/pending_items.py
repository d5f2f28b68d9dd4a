"""The snapshot of a running answer, as part of the pages of its thread."""

import json
from typing import Any

from app.chatkit.errors import NotFoundError


class PendingItems:
    """What an answer that is being written reads like so far, at the new end of its thread."""

    def __init__(self, snapshot: str | None, order: str) -> None:
        items: list[dict[str, Any]] = [] if snapshot is None else json.loads(snapshot)
        self._is_newest_first = order == "desc"
        self._items = [
            (str(item["id"]), json.dumps(item, ensure_ascii=False).encode())
            for item in (reversed(items) if self._is_newest_first else items)
        ]
        self._ids = [item_id for item_id, _ in self._items]

    def check_has(self, item_id: str | None) -> None:
        """Raise ``NotFoundError`` unless that is one of the items."""
        if item_id not in self._ids:
            raise NotFoundError(f"Item {item_id} not found")

    def join(self, stored: list[tuple[str, bytes]], after: str | None) -> list[tuple[str, bytes]]:
        """Return what is behind ``after`` of both."""
        start = self._ids.index(after) + 1 if after in self._ids else 0
        rest = self._items[start:]
        if self._is_newest_first:
            return rest + stored if after is None or start else stored
        return stored + rest
