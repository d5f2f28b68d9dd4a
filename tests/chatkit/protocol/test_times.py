"""Times without a zone, as ``datetime.now()`` gives them, are local time wherever they come in."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.chatkit.protocol.events import ThreadCreatedEvent, ThreadItemDoneEvent
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    Page,
    Thread,
    ThreadItem,
    ThreadMetadata,
    now,
)
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.protocol.sse import encode_event
from app.chatkit.types import UserMessageTagContent
from tests.chatkit.store_rooms import Room
from tests.support.samples import THREAD_ID

LOCAL = datetime(2026, 1, 2, 12, 30)  # noqa: DTZ001 (as integrators write it)
WIRE = "2026-01-02T03:30:00Z"
ITEM: TypeAdapter[Any] = TypeAdapter(ThreadItem)


@pytest.fixture(autouse=True)
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let local time be nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def message(created_at: datetime) -> AssistantMessageItem:
    content = [AssistantMessageContent(text="Hi")]
    return AssistantMessageItem(id="a", thread_id=THREAD_ID, created_at=created_at, content=content)


def assigned() -> AssistantMessageItem:
    item = message(now())
    item.created_at = LOCAL
    return item


ENTRIES: dict[str, Callable[[], AssistantMessageItem]] = {
    "constructor": lambda: message(LOCAL),
    "another zone": lambda: message(LOCAL.replace(tzinfo=timezone(timedelta(hours=9)))),
    "copy": lambda: message(now()).model_copy(update={"created_at": LOCAL}),
    "assignment": assigned,
    "construct": lambda: AssistantMessageItem.model_construct(**vars(message(LOCAL))),
    "construct naive": lambda: AssistantMessageItem.model_construct(
        **{**vars(message(now())), "created_at": LOCAL}
    ),
    "text": lambda: ITEM.validate_python({**message(now()).model_dump(), "created_at": str(LOCAL)}),
    "JSON": lambda: ITEM.validate_json(
        json.dumps({**message(now()).model_dump(mode="json"), "created_at": LOCAL.isoformat()})
    ),
}
each_entry = pytest.mark.parametrize("create", ENTRIES.values(), ids=ENTRIES)


@each_entry
def test_item_is_written_in_utc_when_its_time_is_local(
    create: Callable[[], AssistantMessageItem],
) -> None:
    item = create()
    assert json.loads(dump_wire(item))["created_at"] == WIRE
    assert json.loads(item.model_dump_json())["created_at"] == WIRE
    assert item.model_dump()["created_at"].tzinfo is UTC
    frame = encode_event(ThreadItemDoneEvent(item=item))
    assert json.loads(frame.removeprefix(b"data: "))["item"]["created_at"] == WIRE


@each_entry
async def test_item_comes_back_in_utc_when_it_was_stored_with_a_local_time(
    create: Callable[[], AssistantMessageItem], room: Room
) -> None:
    await room.store.add_thread_item(THREAD_ID, create(), room.context)

    page = await room.store.chatkit_load_items_json(THREAD_ID, None, 10, "asc", room.context)
    loaded = await room.store.load_item(THREAD_ID, "a", room.context)

    assert json.loads(page)["data"][0]["created_at"] == WIRE
    assert json.loads(dump_wire(loaded))["created_at"] == WIRE


async def test_thread_is_written_in_utc_when_its_time_is_local(room: Room) -> None:
    built = ThreadMetadata(id="thr_2", created_at=LOCAL)
    copied = ThreadMetadata(id="thr_3", created_at=now()).model_copy(update={"created_at": LOCAL})
    for thread in (built, copied):
        await room.store.save_thread(thread, room.context)
        loaded = await room.store.load_thread(thread.id, room.context)
        assert json.loads(dump_wire(loaded))["created_at"] == WIRE
        whole = Thread(**{**vars(thread), "items": Page[ThreadItem]()})
        event = json.loads(encode_event(ThreadCreatedEvent(thread=whole)).removeprefix(b"data: "))
        assert event["thread"]["created_at"] == WIRE
    # The remedy for code that subtracts a local time.
    assert datetime.now().astimezone() - built.created_at > timedelta(0)
    with pytest.raises(TypeError):
        datetime.now() - built.created_at  # noqa: DTZ005


@pytest.mark.parametrize("given", [{}, {"data": None}, {"data": {}}], ids=str)
def test_tag_has_no_data_when_the_page_gives_it_none(given: dict[str, Any]) -> None:
    tag = UserMessageTagContent.model_validate({"id": "1", "text": "a", **given})
    assert json.loads(dump_wire(tag))["data"] == {}
