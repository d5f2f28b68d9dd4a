"""The list of threads, where a session does not show all of them."""

from typing import Any

from app.chatkit.context import RequestContext, SessionFeatures
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.items import Page, ThreadMetadata
from app.chatkit.protocol.requests import ThreadListParams
from app.chatkit.store import Store

MAX_RECENT_THREADS = 1000


async def load_listed_threads(
    store: Store[Any], params: ThreadListParams, limit: int, context: Any
) -> Page[ThreadMetadata]:
    """Return a page of the threads that the session of ``context`` may list.

    That is all of them, unless the session was minted without history (none), or with the recent
    threads only: of those a page is cut here, since they are few.
    """
    features = context.features if isinstance(context, RequestContext) else SessionFeatures()
    if not features.history:
        return Page(data=[], has_more=False, after=None)
    if features.recent_threads is None:
        return await store.load_threads(limit, params.after, params.order, context)
    count = min(features.recent_threads, MAX_RECENT_THREADS)
    recent = (await store.load_threads(count, None, "desc", context)).data if count else []
    if params.order == "asc":
        recent = recent[::-1]
    return _cut(recent, params.after, limit)


def _cut(threads: list[ThreadMetadata], after: str | None, limit: int) -> Page[ThreadMetadata]:
    ids = [thread.id for thread in threads]
    if after is not None and after not in ids:
        raise NotFoundError(f"Thread {after} not found")
    start = 0 if after is None else ids.index(after) + 1
    shown = threads[start : start + limit]
    has_more = len(threads) > start + limit
    return Page(data=shown, has_more=has_more, after=shown[-1].id if has_more else None)
