"""Following a run that another replica carries out: by its snapshots, then by what it stored."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import TypeAdapter

from app.chatkit.context import RequestContext
from app.chatkit.events import (
    ErrorEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
)
from app.chatkit.items import ThreadItem, is_hidden
from app.chatkit.sse import encode_event
from app.chatkit.store import Store
from app.runs.ledger import RunLedger

_ITEMS: TypeAdapter[list[ThreadItem]] = TypeAdapter(list[ThreadItem])

INTERRUPTED = "The answer was interrupted. What was written so far is saved; please try again."


async def follow_run(
    ledger: RunLedger,
    store: Store[RequestContext],
    context: RequestContext,
    *,
    thread_id: str,
    run_id: str,
    interval: float,
) -> AsyncGenerator[bytes, None]:
    """Yield frames that bring a client from snapshot to snapshot, and at the end to what is stored.

    ``interval`` is the time between looks, in seconds. Text comes in larger pieces than on the
    replica that carries the run out; nothing is lost and nothing comes twice.
    """
    shown: dict[str, str] = {}
    while True:
        row = await ledger.find(context.user_id, run_id)
        if row is None or row.state != "running":
            break
        for item in _read_snapshot(row):
            dumped = item.model_dump_json()
            if item.id not in shown:
                yield encode_event(ThreadItemAddedEvent(item=item))
            elif shown[item.id] != dumped:
                yield encode_event(ThreadItemReplacedEvent(item=item))
            shown[item.id] = dumped
        await asyncio.sleep(interval)
    for item in await _load_answer(store, thread_id, context):
        yield encode_event(ThreadItemDoneEvent(item=item))
    if row is not None and row.state == "interrupted":
        yield encode_event(ErrorEvent(code="custom", message=INTERRUPTED, allow_retry=True))


def _read_snapshot(row: Any) -> list[ThreadItem]:
    return _ITEMS.validate_python(json.loads(row.snapshot)) if row.snapshot else []


async def _load_answer(
    store: Store[RequestContext], thread_id: str, context: RequestContext
) -> list[ThreadItem]:
    """Return the visible items behind the newest user message, oldest first."""
    answer: list[ThreadItem] = []
    async for item in store.scan_items(thread_id, context):
        if item.type == "user_message":
            break
        if not is_hidden(item):
            answer.append(item)
    return answer[::-1]
