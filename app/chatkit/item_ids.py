"""Ids of the items that a run produces."""

from collections.abc import Iterable
from typing import Any

from agents.models.fake_id import FAKE_RESPONSES_ID
from typing_extensions import TypeIs

from app.chatkit.agent_context import AgentContext
from app.chatkit.ids import StoreItemType

MAX_ID_LENGTH = 128


def is_own_id(raw_id: Any) -> TypeIs[str]:
    """Return whether a provider's id tells items apart: no placeholder, and fit for a key."""
    return (
        isinstance(raw_id, str)
        and 0 < len(raw_id) <= MAX_ID_LENGTH
        and raw_id != FAKE_RESPONSES_ID
        and raw_id.isprintable()
    )


class ItemIds:
    """Keeps a provider's ids where they are unique in the thread, and replaces the others."""

    def __init__(self, context: AgentContext[Any], known_ids: Iterable[str]) -> None:
        self._context = context
        self._taken = set(known_ids)

    def claim(self, raw_id: Any, item_type: StoreItemType) -> str:
        """Return ``raw_id`` if it can be an item's id and no item has it yet, or else a new id."""
        free = is_own_id(raw_id) and raw_id not in self._taken
        item_id = raw_id if free else self._context.generate_id(item_type)
        self._taken.add(item_id)
        return item_id
