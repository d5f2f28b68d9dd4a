"""A server that answers from a script, and stores that can be watched, slowed down or broken."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from app.chatkit.context import RequestContext
from app.chatkit.engine.pipeline import TurnPipeline
from app.chatkit.protocol.events import (
    AssistantMessageContentPartTextDelta,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdate,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import ThreadItem, ThreadMetadata
from app.chatkit.protocol.requests import is_streaming_req
from app.chatkit.server import (
    ChatKitServer,
    NonStreamingResult,
    StreamingResult,
    parse_request,
)
from app.chatkit.store import AttachmentStore, Store
from tests.support.memory_store import MemoryStore
from tests.support.samples import MOMENT, THREAD_ID

ADA = RequestContext(user_id="ada")
BOB = RequestContext(user_id="bob")

Event = dict[str, Any]
Respond = Callable[..., AsyncIterator[ThreadStreamEvent]]


class ScriptedServer(ChatKitServer[RequestContext]):
    """Responds with a function or with a list of events; ``calls`` are the arguments it got."""

    def __init__(
        self,
        script: Respond | Iterable[ThreadStreamEvent] = (),
        store: Store[RequestContext] | None = None,
        attachment_store: AttachmentStore[RequestContext] | None = None,
    ) -> None:
        super().__init__(store or MemoryStore(), attachment_store)
        self.script = script
        self.calls: list[tuple[Any, ...]] = []

    def respond(
        self, thread: ThreadMetadata, input_user_message: Any, context: RequestContext
    ) -> AsyncIterator[ThreadStreamEvent]:
        return self._play(thread, input_user_message, context)

    def _play(self, *args: Any) -> AsyncIterator[ThreadStreamEvent]:
        self.calls.append(args)
        return self.script(*args) if callable(self.script) else _yield_all(self.script)


class ActingServer(ScriptedServer):
    """Answers actions from the same script."""

    def action(self, *args: Any) -> AsyncIterator[ThreadStreamEvent]:
        return self._play(*args)


async def _yield_all(events: Iterable[ThreadStreamEvent]) -> AsyncIterator[ThreadStreamEvent]:
    for event in events:
        yield event


# --- events --------------------------------------------------------------------------------------


def added(item: ThreadItem) -> ThreadItemAddedEvent:
    return ThreadItemAddedEvent(item=item)


def done(item: ThreadItem) -> ThreadItemDoneEvent:
    return ThreadItemDoneEvent(item=item)


def replaced(item: ThreadItem) -> ThreadItemReplacedEvent:
    return ThreadItemReplacedEvent(item=item)


def removed(item_id: str) -> ThreadItemRemovedEvent:
    return ThreadItemRemovedEvent(item_id=item_id)


def updated(item_id: str, update: ThreadItemUpdate) -> ThreadItemUpdatedEvent:
    return ThreadItemUpdatedEvent(item_id=item_id, update=update)


def delta(item_id: str, text: str, index: int = 0) -> ThreadItemUpdatedEvent:
    return updated(item_id, AssistantMessageContentPartTextDelta(content_index=index, delta=text))


# --- requests ------------------------------------------------------------------------------------


def message(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """Return the input of a user message."""
    content = [{"type": "input_text", "text": text}]
    return {"content": content, "attachments": [], "inference_options": {}, **fields}


def body(request_type: str, **params: Any) -> bytes:
    """Return a request."""
    return json.dumps({"type": request_type, "params": params}).encode()


def say(thread_id: str | None = THREAD_ID, **fields: Any) -> bytes:
    """Return a request with a message; without a thread id it begins a thread."""
    if thread_id is None:
        return body("threads.create", input=message(**fields))
    return body("threads.add_user_message", thread_id=thread_id, input=message(**fields))


async def open_stream(
    server: ChatKitServer[RequestContext], request: bytes, context: RequestContext = ADA
) -> StreamingResult:
    result = await server.process(request, context)
    assert isinstance(result, StreamingResult)
    return result


async def open_turn(
    server: ChatKitServer[RequestContext], request: bytes, context: RequestContext = ADA
) -> TurnPipeline[RequestContext]:
    """Open the turn of a streaming request, as a run does."""
    parsed = parse_request(request)
    assert is_streaming_req(parsed)
    return await server.chatkit_open_turn(parsed, context)


async def stream(
    server: ChatKitServer[RequestContext], request: bytes, context: RequestContext = ADA
) -> list[Event]:
    """Send a streaming request and return its events."""
    result = await open_stream(server, request, context)
    async with aclosing(result.json_events) as frames:
        return [read_frame(frame) async for frame in frames]


async def ask(
    server: ChatKitServer[RequestContext], request: bytes, context: RequestContext = ADA
) -> Event:
    """Send a request that is answered with JSON."""
    result = await server.process(request, context)
    assert isinstance(result, NonStreamingResult)
    return json.loads(result.json)


def read_frame(frame: bytes) -> Event:
    """Return the event of one frame, which is one ``data`` line and a blank one."""
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n") == 2
    return json.loads(frame[6:])


def types(events: Sequence[Event]) -> list[str]:
    """Return the types of events; of updates, those of the updates."""
    return [
        event["update"]["type"] if event["type"] == "thread.item.updated" else event["type"]
        for event in events
    ]


# --- stores --------------------------------------------------------------------------------------


async def store_with(*items: ThreadItem, store: MemoryStore | None = None) -> MemoryStore:
    """Return a store with a thread of Ada's that holds ``items``."""
    store = store or MemoryStore()
    await fill(store, ADA, *items)
    return store


async def fill(store: Store[RequestContext], context: RequestContext, *items: ThreadItem) -> None:
    """Store a thread with ``items``."""
    await store.save_thread(ThreadMetadata(id=THREAD_ID, created_at=MOMENT), context)
    for item in items:
        await store.add_thread_item(THREAD_ID, item, context)


async def visible(
    store: Store[RequestContext], context: RequestContext = ADA, thread_id: str = THREAD_ID
) -> list[Event]:
    """Return the items of a thread as a client that reloads gets them."""
    page = json.loads(await store.chatkit_load_items_json(thread_id, None, 100, "asc", context))
    assert page["has_more"] is False
    return page["data"]


def notes(store: MemoryStore, thread_id: str = THREAD_ID) -> list[str]:
    """Return the engine's own notes to the model in Ada's thread."""
    return [
        item.content for item in store.items(thread_id, ADA) if item.type == "sdk_hidden_context"
    ]


WRITES = (
    "save_thread",
    "chatkit_save_thread_changes",
    "chatkit_add_user_message",
    "add_thread_item",
    "save_item",
    "delete_thread_item",
    "chatkit_delete_items_after",
    "save_attachment",
    "delete_thread",
)


class WatchedStore(MemoryStore):
    """Calls ``on_write(name, id)`` ahead of every write; ``log`` has the writes that were made.

    ``id`` is that of the item, attachment or thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, str]] = []

    async def on_write(self, name: str, entity_id: str) -> None:
        """Override it to wait or to fail."""


def _watch(name: str) -> Callable[..., Any]:
    async def call(self: WatchedStore, *args: Any, **kwargs: Any) -> Any:
        entity = (
            args[1]
            if name in ("chatkit_add_user_message", "add_thread_item", "save_item")
            else args[0]
        )
        if name in ("delete_thread_item", "chatkit_delete_items_after"):
            entity = args[1]
        entity_id = entity if isinstance(entity, str) else entity.id
        await self.on_write(name, entity_id)
        # The one is made of the other in memory, where it is one write all the same.
        target = "save_item" if name == "add_thread_item" else name
        result = await getattr(MemoryStore, target)(self, *args, **kwargs)
        self.log.append((name, entity_id))
        return result

    return call


for _name in WRITES:
    setattr(WatchedStore, _name, _watch(_name))


class SlowStore(WatchedStore):
    """Every write takes a few turns of the event loop."""

    async def on_write(self, name: str, entity_id: str) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


class BrokenStore(WatchedStore):
    """Refuses the writes that ``broken`` names: a write's name, or ``(name, id)``."""

    def __init__(self, *broken: str | tuple[str, str]) -> None:
        super().__init__()
        self.broken: set[str | tuple[str, str]] = set(broken)

    async def on_write(self, name: str, entity_id: str) -> None:
        if name in self.broken or (name, entity_id) in self.broken:
            raise OSError(f"disk full: {name} {entity_id}")


class StrictStore(WatchedStore):
    """Refuses to add an item a second time, as many stores do that were written for others."""

    async def on_write(self, name: str, entity_id: str) -> None:
        if name == "add_thread_item":
            stored = [each for items in self.rooms["ada"].items.values() for each in items]
            assert entity_id not in stored, f"{entity_id} was added twice"
