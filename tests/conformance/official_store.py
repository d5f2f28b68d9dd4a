"""A store in memory for the official package, which behaves as ``tests.support.memory_store``.

It keeps one user's things, in the order in which they came, and hands out copies.
"""

from typing import Any

from tests.conformance.official_surface import official

store = official("store")
types = official("types")


class OfficialStore(store.Store):
    """``threads``, ``items`` and ``attachments`` are open to look into."""

    def __init__(self) -> None:
        self.threads: dict[str, Any] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, Any] = {}

    async def load_thread(self, thread_id: str, context: Any) -> Any:
        return _find(self.threads, thread_id).model_copy(deep=True)

    async def save_thread(self, thread: Any, context: Any) -> None:
        metadata = types.ThreadMetadata.model_validate(thread.model_dump(exclude={"items"}))
        self.threads[thread.id] = metadata
        self.items.setdefault(thread.id, {})

    async def load_threads(self, limit: int, after: str | None, order: str, context: Any) -> Any:
        return _page(list(self.threads.values()), limit, after, order)

    async def delete_thread(self, thread_id: str, context: Any) -> None:
        _find(self.threads, thread_id)
        del self.threads[thread_id], self.items[thread_id]

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Any
    ) -> Any:
        return _page(list(_find(self.items, thread_id).values()), limit, after, order)

    async def load_item(self, thread_id: str, item_id: str, context: Any) -> Any:
        return _find(_find(self.items, thread_id), item_id).model_copy(deep=True)

    async def add_thread_item(self, thread_id: str, item: Any, context: Any) -> None:
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: Any, context: Any) -> None:
        _find(self.items, thread_id)[item.id] = item.model_copy(deep=True)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Any) -> None:
        _find(self.items, thread_id).pop(item_id, None)

    async def save_attachment(self, attachment: Any, context: Any) -> None:
        self.attachments[attachment.id] = attachment.model_copy(deep=True)

    async def load_attachment(self, attachment_id: str, context: Any) -> Any:
        return _find(self.attachments, attachment_id).model_copy(deep=True)

    async def delete_attachment(self, attachment_id: str, context: Any) -> None:
        _find(self.attachments, attachment_id)
        del self.attachments[attachment_id]


def _find(records: dict[str, Any], key: str) -> Any:
    if key not in records:
        raise store.NotFoundError(key)
    return records[key]


def _page(records: list[Any], limit: int, after: str | None, order: str) -> Any:
    if order == "desc":
        records.reverse()
    ids = [each.id for each in records]
    if after is not None and after not in ids:
        raise store.NotFoundError(after)
    start = 0 if after is None else ids.index(after) + 1
    data = [each.model_copy(deep=True) for each in records[start : start + limit]]
    has_more = len(records) > start + limit
    after = data[-1].id if has_more and data else None
    return types.Page(data=data, has_more=has_more, after=after)
