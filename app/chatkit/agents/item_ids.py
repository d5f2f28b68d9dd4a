"""Ids of the items that a run produces."""

from collections.abc import Iterable
from typing import Any

from agents.models.fake_id import FAKE_RESPONSES_ID
from typing_extensions import TypeIs

from app.chatkit.agents.context import AgentContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.ids import StoreItemType

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
    """Keeps a provider's ids where they are unique in the thread, and replaces the others.

    Some providers number the messages of each response anew, and a cache repeats an answer with its
    id. Stores replace the item that has an id, so an answer of long ago would be lost. Where
    ``known_ids`` are not those of the whole thread, the store is asked: one read by key for a
    message, and only in threads that are longer than what was loaded of them.
    """

    def __init__(
        self, context: AgentContext[Any], known_ids: Iterable[str], *, is_whole: bool
    ) -> None:
        self._context = context
        self._is_whole = is_whole
        self._taken = context.chatkit_turn.taken_ids
        self._taken.update(known_ids)

    async def claim(self, raw_id: Any, item_type: StoreItemType) -> str:
        """Return ``raw_id`` if it can be an item's id and no item has it yet, or else a new id."""
        free = is_own_id(raw_id) and await self._is_free(raw_id)
        item_id = raw_id if free else self._context.generate_id(item_type)
        self._taken.add(item_id)
        return item_id

    async def _is_free(self, item_id: str) -> bool:
        if item_id in self._taken or self._is_whole:
            return item_id not in self._taken
        context = self._context
        try:
            await context.store.load_item(context.thread.id, item_id, context.request_context)
        except NotFoundError:
            return True
        return False
