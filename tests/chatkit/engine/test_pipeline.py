"""How a turn ends: completed, failed, cancelled at any event and in any way, or closed."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
import httpx
import openai
import pytest

from app.chatkit.context import RequestContext
from app.chatkit.errors import (
    CustomStreamError,
    ErrorCode,
    StreamError,
    UnprocessableError,
)
from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    ClientEffectEvent,
    GeneratedImageUpdated,
    ProgressUpdateEvent,
    StreamOptions,
    ThreadStreamEvent,
    WidgetRootUpdated,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    CustomTask,
    GeneratedImage,
    GeneratedImageItem,
    LockedStatus,
    ThreadItem,
    ThreadMetadata,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from app.chatkit.server import INTERRUPTED_NOTE, STOPPED_NOTE, StreamingResult
from app.chatkit.widgets import Card, Text
from tests.chatkit.reference_client import ReferenceClient
from tests.chatkit.scripted_server import (
    ADA,
    BrokenStore,
    Event,
    ScriptedServer,
    SlowStore,
    StrictStore,
    WatchedStore,
    added,
    delta,
    done,
    notes,
    open_stream,
    open_turn,
    read_frame,
    removed,
    replaced,
    say,
    store_with,
    stream,
    types,
    updated,
    visible,
)
from tests.support.memory_store import MemoryStore
from tests.support.samples import THREAD_ID, answer, base, hidden

FIRST_EVENTS = 2
"""Events ahead of the handler's: the user message and the stream options."""


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the engine logs, whatever level other tests have set for the whole process."""
    caplog.set_level(logging.WARNING, logger="chatkit")
    return caplog


def widget(item_id: str, value: str) -> WidgetItem:
    return WidgetItem(**base(item_id), widget=Card(children=[Text(id="t", value=value)]))


def workflow(item_id: str, *titles: str) -> WorkflowItem:
    tasks = [CustomTask(title=each) for each in titles]
    return WorkflowItem(**base(item_id), workflow=Workflow(type="custom", tasks=tasks))


def part(text: str) -> AssistantMessageContent:
    return AssistantMessageContent(text=text)


SCRIPT: list[ThreadStreamEvent] = [
    ProgressUpdateEvent(text="Thinking"),
    added(workflow("w", "Search")),
    updated("w", WorkflowTaskAdded(task_index=1, task=CustomTask(title="Read"))),
    done(workflow("w", "Search", "Read")),
    added(answer("a")),
    updated("a", AssistantMessageContentPartAdded(content_index=0, content=part(""))),
    delta("a", " "),
    delta("a", "Hello"),
    delta("a", ", Ada"),
    updated("a", AssistantMessageContentPartDone(content_index=0, content=part("Hello, Ada"))),
    done(answer("a", "Hello, Ada")),
    done(hidden("h")),
    added(widget("v", "1")),
    updated("v", WidgetRootUpdated(widget=Card(children=[Text(value="2")]))),
    added(answer("b")),
    delta("b", "While the widget loads"),
    done(answer("b", "While the widget loads.")),
    delta("b", ".."),
    done(answer("d", "It still loads.")),
    replaced(widget("v", "3")),
    removed("w"),
    added(answer("e")),
    added(answer("f")),
    done(answer("f", "Sooner")),
    done(answer("e", "Later")),
    added(answer("c")),
    delta("c", "The end"),
]
"""A turn in which something is pending nearly all the time."""


class Stage:
    """A handler that plays ``SCRIPT`` and stops for ever behind ``count`` events."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reached = asyncio.Event()
        self.closed = self.cleaned_up = False

    async def respond(self, thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        try:
            for event in SCRIPT[: self.count]:
                yield event
            thread.title = "A title"
            self.reached.set()
            await asyncio.Event().wait()
        finally:
            self.closed = True
            for _ in range(3):
                await asyncio.sleep(0)
            self.cleaned_up = True


async def read_all(result: StreamingResult, client: ReferenceClient) -> None:
    async with aclosing(result.json_events) as frames:
        async for frame in frames:
            client.apply(read_frame(frame))


async def cancel_task(result: StreamingResult, client: ReferenceClient, stage: Stage) -> None:
    """Cancel the task that reads, as a server does that knows of the disconnect."""
    task = asyncio.create_task(read_all(result, client))
    await stage.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_scope(result: StreamingResult, client: ReferenceClient, stage: Stage) -> None:
    """Cancel the scope that the reader is in, as Starlette and sse-starlette do."""
    async with anyio.create_task_group() as group:
        group.start_soon(read_all, result, client)
        await stage.reached.wait()
        group.cancel_scope.cancel()


async def cancel_again_and_again(
    result: StreamingResult, client: ReferenceClient, stage: Stage
) -> None:
    """Cancel, and cancel the clean-up too."""
    task = asyncio.create_task(read_all(result, client))
    await stage.reached.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()


async def close(result: StreamingResult, client: ReferenceClient, stage: Stage) -> None:
    """Read exactly the events of the stage, and close the generator."""
    for _ in range(sent(stage)):
        client.apply(read_frame(await anext(result.json_events)))
    await result.json_events.aclose()


async def cancel_scope_while_sending(
    result: StreamingResult, client: ReferenceClient, stage: Stage
) -> None:
    """Cancel the scope while a frame is on its way: the generator stands at a ``yield``."""
    all_read = asyncio.Event()

    async def read() -> None:
        async with aclosing(result.json_events) as frames:
            async for frame in frames:
                client.apply(read_frame(frame))
                if len(client.events) == sent(stage):
                    all_read.set()
                    await asyncio.Event().wait()

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await all_read.wait()
        group.cancel_scope.cancel()


def sent(stage: Stage) -> int:
    """Return how many frames there are up to the stage."""
    return FIRST_EVENTS + stage.count - sum(_is_silent(each) for each in SCRIPT[: stage.count])


def _is_silent(event: ThreadStreamEvent) -> bool:
    return event.type == "thread.item.done" and event.item.type == "hidden_context_item"


ENDINGS = [cancel_task, cancel_scope, cancel_again_and_again, cancel_scope_while_sending, close]


async def check_cancel(
    store: MemoryStore, count: int, end: Callable[..., Awaitable[None]]
) -> Stage:
    """Cut a turn off behind ``count`` events, and compare the store with what was seen."""
    await store_with(store=store)
    stage, client = Stage(count), ReferenceClient()
    before = asyncio.all_tasks()
    await end(await open_stream(ScriptedServer(stage.respond, store), say()), client, stage)
    assert asyncio.all_tasks() == before

    expected = [each for each in client.items if is_kept(client, each)]
    assert await visible(store) == expected
    assert notes(store) == [STOPPED_NOTE]
    return stage


def is_kept(client: ReferenceClient, item: Event) -> bool:
    """Return whether an item is finished, or an answer with text in it."""
    if item["id"] not in client.pending:
        return True
    texts = [each["text"] for each in item.get("content", [])]
    return item["type"] == "assistant_message" and bool("".join(texts).strip())


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("store_class", [StrictStore, SlowStore])
async def test_store_holds_what_was_seen_and_one_note_when_cut_off_at_any_event(
    store_class: type[MemoryStore], end: Callable[..., Awaitable[None]]
) -> None:
    for count in range(len(SCRIPT) + 1):
        stage = await check_cancel(store_class(), count, end)
        if end in (close, cancel_scope_while_sending):
            # Nobody was in the handler: it is closed, and not disturbed while it cleans up. One
            # that was never asked for anything has nothing to clean up.
            assert stage.cleaned_up == (count > 0)
        else:
            assert stage.closed


@pytest.mark.parametrize("end", [cancel_task, cancel_scope, cancel_again_and_again])
async def test_title_is_saved_when_it_was_set_before_the_cancel(
    end: Callable[..., Awaitable[None]],
) -> None:
    store = SlowStore()
    await check_cancel(store, 8, end)
    assert (await store.load_thread(THREAD_ID, ADA)).title == "A title"


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_message_is_there_with_a_note_when_a_new_thread_is_cut_off_at_its_first_events(
    count: int,
) -> None:
    store = MemoryStore()
    result = await open_stream(ScriptedServer(Stage(3).respond, store), say(None))
    for _ in range(count):
        await anext(result.json_events)
    await result.json_events.aclose()
    threads = (await store.load_threads(9, None, "asc", ADA)).data
    assert len(threads) == (1 if count else 0)
    if threads:
        kinds = [each.type for each in store.items(threads[0].id, ADA)]
        assert kinds == ["user_message", "sdk_hidden_context"]


class HoldingStore(WatchedStore):
    """Holds the write of one item until it is let go."""

    def __init__(self, name: str, item_id: str | None = None) -> None:
        super().__init__()
        self.held = (name, item_id)
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def on_write(self, name: str, entity_id: str) -> None:
        if self.held in ((name, entity_id), (name, None)):
            self.reached.set()
            await self.may_go_on.wait()


@pytest.mark.parametrize(
    ("name", "item_id"),
    [
        ("add_thread_item", "w"),
        ("add_thread_item", "a"),
        ("add_thread_item", "h"),
        ("add_thread_item", "v"),  # stored early, since "b" is finished first
        ("add_thread_item", "b"),
        ("save_item", "b"),
        ("save_item", "v"),
        ("delete_thread_item", "w"),
        ("chatkit_save_thread_changes", THREAD_ID),
    ],
)
async def test_write_is_carried_through_when_it_is_under_way_at_the_cancel(
    name: str, item_id: str
) -> None:
    store = HoldingStore(name, item_id)
    await store_with(store=store)
    stage, client = Stage(len(SCRIPT)), ReferenceClient()

    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        async for event in stage.respond(thread):
            if event is SCRIPT[-1]:
                thread.title = "A title"
            yield event

    result = await open_stream(ScriptedServer(respond, store), say())
    task = asyncio.create_task(read_all(result, client))
    await store.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    store.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (name, item_id) in store.log
    assert notes(store) == [STOPPED_NOTE]
    stored = {each["id"] for each in await visible(store)}
    written = {item_id} if name != "delete_thread_item" else set[str]()
    seen = {each["id"] for each in client.items if is_kept(client, each)}
    if name == "delete_thread_item":
        seen.remove(item_id)
    elif item_id == "v" and name == "add_thread_item":
        written = set()  # stored early for the sake of its place, and taken back
    assert stored - seen <= written
    assert seen <= stored


@pytest.mark.parametrize("new_thread", [True, False])
async def test_message_is_stored_whole_when_the_cancel_comes_while_it_is_written(
    new_thread: bool,
) -> None:
    store = HoldingStore("add_thread_item")
    await store_with(store=store)
    request = say(None if new_thread else THREAD_ID)
    server = ScriptedServer(SCRIPT, store)
    task = asyncio.create_task(read_all(await open_stream(server, request), ReferenceClient()))
    await store.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    store.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    threads = (await store.load_threads(9, None, "asc", ADA)).data
    items = store.items(threads[-1].id, ADA)
    assert len(threads) == (2 if new_thread else 1)
    assert [each.type for each in items] == ["user_message"]
    assert server.calls == []


async def test_handler_is_closed_before_the_answer_is_saved_when_the_stream_is_closed() -> None:
    store = SlowStore()
    await store_with(store=store)

    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        try:
            yield added(answer("a"))
            yield delta("a", "text")
        finally:
            await asyncio.sleep(0)
            thread.title = "set in the clean-up"

    result = await open_stream(ScriptedServer(respond, store), say())
    for _ in range(FIRST_EVENTS + 2):
        await anext(result.json_events)
    await result.json_events.aclose()
    assert (await store.load_thread(THREAD_ID, ADA)).title == "set in the clean-up"
    assert [each["id"] for each in await visible(store)][1:] == ["a"]


async def test_answer_is_saved_when_the_handler_fails_to_clean_up(
    logged: pytest.LogCaptureFixture,
) -> None:
    store = await store_with()

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        try:
            yield added(answer("a"))
            yield delta("a", "text")
        finally:
            raise OSError("in the clean-up")

    result = await open_stream(ScriptedServer(respond, store), say())
    for _ in range(FIRST_EVENTS + 2):
        await anext(result.json_events)
    await result.json_events.aclose()
    assert [each["id"] for each in await visible(store)][1:] == ["a"]
    assert notes(store) == [STOPPED_NOTE]
    assert "Could not close the handler" in logged.text


async def test_note_says_interrupted_when_it_was_not_the_user_who_stopped() -> None:
    store = await store_with()
    context = RequestContext(user_id="ada", interrupted=True)
    result = await open_stream(ScriptedServer(SCRIPT, store), say(), context)
    await anext(result.json_events)
    await result.json_events.aclose()
    assert notes(store) == [INTERRUPTED_NOTE]


async def test_hook_gets_the_unfinished_items_when_the_stream_is_cancelled() -> None:
    store, seen = await store_with(), []

    class Server(ScriptedServer):
        async def handle_stream_cancelled(
            self, thread: ThreadMetadata, pending_items: list[ThreadItem], context: Any
        ) -> None:
            seen.append((thread.id, pending_items, context))

    script: list[ThreadStreamEvent] = [
        added(answer("a")),
        added(hidden("h")),
        added(workflow("w")),
        delta("a", "text"),
        updated("w", WorkflowTaskAdded(task_index=0, task=CustomTask(title="x"))),
    ]
    result = await open_stream(Server(script, store), say())
    for _ in range(FIRST_EVENTS + 4):
        await anext(result.json_events)
    await result.json_events.aclose()
    assert seen == [(THREAD_ID, [answer("a", "text"), workflow("w", "x")], ADA)]
    assert len(store.items(THREAD_ID, ADA)) == 1


@pytest.mark.parametrize("broken", ["add_thread_item", "chatkit_save_thread_changes"])
async def test_cancel_is_raised_and_the_rest_is_saved_when_a_write_of_the_clean_up_fails(
    broken: str, logged: pytest.LogCaptureFixture
) -> None:
    store = BrokenStore()
    await store_with(store=store)
    stage, client = Stage(8), ReferenceClient()
    result = await open_stream(ScriptedServer(stage.respond, store), say())
    task = asyncio.create_task(read_all(result, client))
    await stage.reached.wait()
    store.broken = {("add_thread_item", "a")} if broken == "add_thread_item" else {broken}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes(store) == [STOPPED_NOTE]
    stored = {each["id"] for each in await visible(store)}
    assert ("a" in stored) == (broken != "add_thread_item")
    assert "disk full" in logged.text


async def test_nothing_is_added_when_the_stream_is_closed_behind_its_last_event() -> None:
    store = await store_with()
    result = await open_stream(
        ScriptedServer([done(answer("a", "x")), added(answer("b"))], store), say()
    )
    while read_frame(await anext(result.json_events))["type"] != "thread.item.removed":
        pass
    await result.json_events.aclose()
    assert notes(store) == []


async def test_everything_left_is_stored_when_the_cancel_comes_at_the_very_end() -> None:
    store = HoldingStore("add_thread_item", "v")
    await store_with(store=store)
    script: list[ThreadStreamEvent] = [added(widget("v", "1")), added(widget("u", "2"))]
    result = await open_stream(ScriptedServer(script, store), say())
    task = asyncio.create_task(read_all(result, ReferenceClient()))
    await store.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    store.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [each["id"] for each in await visible(store)][1:] == ["v", "u"]
    assert notes(store) == []


async def test_items_are_added_once_when_the_handler_stores_an_unfinished_one_itself() -> None:
    store = StrictStore()
    await store_with(store=store)

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield added(workflow("w", "x"))
        await store.add_thread_item(THREAD_ID, workflow("w", "x"), ADA)

    client = ReferenceClient()
    for event in await stream(ScriptedServer(respond, store), say()):
        client.apply(event)
    assert types(client.events)[-1] == "thread.item.added"
    assert client.items == await visible(store)


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(len(SCRIPT) + 1))
@pytest.mark.parametrize("store_class", [StrictStore, SlowStore])
async def test_stream_ends_with_an_error_and_keeps_the_text_when_the_handler_fails_at_any_event(
    count: int, store_class: type[MemoryStore]
) -> None:
    store = await store_with(store=store_class())

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        for event in SCRIPT[:count]:
            yield event
        raise OSError("provider")

    client, seen = ReferenceClient(), ReferenceClient()
    sent = FIRST_EVENTS + count - sum(_is_silent(each) for each in SCRIPT[:count])
    for number, event in enumerate(await stream(ScriptedServer(respond, store), say())):
        client.apply(event)
        if number < sent:
            seen.apply(json.loads(json.dumps(event)))
    assert client.events[-1]["type"] == "error"
    assert types(client.events).count("error") == 1
    assert client.pending == set()
    assert client.items == await visible(store)
    assert client.items == [each for each in seen.items if is_kept(seen, each)]
    assert notes(store) == []


class Refused(UnprocessableError):
    """A refusal of the integrator's own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            CustomStreamError("Try tomorrow", allow_retry=True),
            {"code": "custom", "message": "Try tomorrow", "allow_retry": True},
        ),
        (CustomStreamError("No"), {"code": "custom", "message": "No", "allow_retry": False}),
        (StreamError(ErrorCode.STREAM_ERROR), {"code": "stream.error", "allow_retry": True}),
        (
            StreamError(ErrorCode.STREAM_ERROR, allow_retry=False),
            {"code": "stream.error", "allow_retry": False},
        ),
        (Refused("Not this"), {"code": "custom", "message": "Not this", "allow_retry": False}),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_error_event_says_what_was_raised_when_it_is_meant_for_the_user(
    error: Exception, expected: Event, at_once: bool
) -> None:
    def fail(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        raise error

    async def fail_later(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield ProgressUpdateEvent(text="…")
        raise error

    server = ScriptedServer(fail if at_once else fail_later, await store_with())
    assert (await stream(server, say()))[-1] == {"type": "error", **expected}


async def test_cause_is_logged_once_when_the_user_is_told_in_other_words(
    logged: pytest.LogCaptureFixture,
) -> None:
    response = httpx.Response(401, request=httpx.Request("POST", "https://provider.example"))

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        try:
            raise openai.AuthenticationError("Incorrect API key", response=response, body=None)
        except openai.APIError as error:
            raise CustomStreamError("Not available.") from error
        yield

    events = await stream(ScriptedServer(respond, await store_with()), say())
    assert events[-1] == {
        "type": "error",
        "code": "custom",
        "message": "Not available.",
        "allow_retry": False,
    }
    [record] = logged.records
    assert (record.levelno, record.__dict__["thread_id"]) == (logging.WARNING, THREAD_ID)
    assert record.__dict__["status_code"] == 401
    assert "openai.AuthenticationError: Incorrect API key" in logged.text


async def test_error_is_logged_with_an_id_and_not_told_when_it_is_unexpected(
    logged: pytest.LogCaptureFixture,
) -> None:
    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        raise OSError("password=1234")
        yield

    turn = await open_turn(ScriptedServer(respond, await store_with()), say())
    event = [read_frame(frame) async for frame in turn.run()][-1]
    assert (event["code"], event["allow_retry"]) == ("stream.error", True)
    assert "1234" not in json.dumps(event)
    assert turn.failed
    assert turn.error_id is not None
    assert turn.error_id in event["message"]
    assert "password=1234" in logged.text
    assert turn.error_id in [getattr(each, "error_id", "") for each in logged.records]


async def test_stream_ends_with_an_error_when_the_options_cannot_be_had() -> None:
    class Server(ScriptedServer):
        def get_stream_options(self, thread: ThreadMetadata, context: Any) -> StreamOptions:
            raise OSError("no options")

    events = await stream(Server([], await store_with()), say())
    assert types(events) == ["thread.item.done", "error"]


@pytest.mark.parametrize(
    "event",
    [
        ClientEffectEvent(name="x", data={"value": object()}),
        "no event at all",
        AssistantMessageContent(text="x"),
    ],
)
async def test_stream_ends_with_an_error_when_something_is_yielded_that_cannot_be_sent(
    event: Any,
) -> None:
    script = [added(answer("a")), delta("a", "text"), event, delta("a", "never")]
    store = await store_with()
    client = ReferenceClient()
    for each in await stream(ScriptedServer(script, store), say()):
        client.apply(each)
    assert types(client.events)[-2:] == ["thread.item.done", "error"]
    assert client.items == await visible(store)
    assert client.items[-1]["content"][0]["text"] == "text"
    assert notes(store) == []


@pytest.mark.parametrize(
    "broken",
    [
        ("add_thread_item", "w"),
        ("add_thread_item", "a"),
        ("add_thread_item", "h"),
        ("add_thread_item", "v"),
        ("add_thread_item", "b"),
        ("save_item", "v"),
        ("delete_thread_item", "w"),
        ("add_thread_item", "c"),
    ],
)
async def test_stream_and_store_agree_when_a_write_fails(broken: tuple[str, str]) -> None:
    store = BrokenStore(broken)
    await store_with(store=store)
    client = ReferenceClient()
    for event in await stream(ScriptedServer(SCRIPT, store), say()):
        client.apply(event)
    assert types(client.events)[-1] == "error"
    assert client.items == await visible(store)
    assert client.pending == set()


async def test_text_is_kept_when_the_write_of_the_finished_answer_fails_once() -> None:
    class FlakyStore(WatchedStore):
        failures = 1

        async def on_write(self, name: str, entity_id: str) -> None:
            if entity_id == "a" and self.failures:
                self.failures -= 1
                raise OSError("connection lost")

    store = FlakyStore()
    await store_with(store=store)
    script = [added(answer("a")), delta("a", "text"), done(answer("a", "text."))]
    events = await stream(ScriptedServer(script, store), say())
    assert types(events)[-2:] == ["thread.item.done", "error"]
    assert (await visible(store))[-1]["content"][0]["text"] == "text"


async def test_stream_ends_with_one_error_when_the_title_cannot_be_saved() -> None:
    store = BrokenStore("chatkit_save_thread_changes")
    await store_with(store=store)

    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield done(answer("a", "x"))
        thread.title = "lost"

    events = await stream(ScriptedServer(respond, store), say())
    assert types(events)[-2:] == ["thread.item.done", "error"]
    assert (await store.load_thread(THREAD_ID, ADA)).title is None


async def test_title_is_saved_and_told_behind_the_error_when_the_handler_fails() -> None:
    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        thread.title = "kept"
        raise OSError("provider")
        yield

    store = await store_with()
    events = await stream(ScriptedServer(respond, store), say())
    assert types(events)[-2:] == ["error", "thread.updated"]
    assert events[-1]["thread"]["title"] == "kept"
    assert (await store.load_thread(THREAD_ID, ADA)).title == "kept"


async def test_handler_is_closed_when_a_write_fails() -> None:
    closed = asyncio.Event()

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        try:
            yield done(answer("a", "x"))
        finally:
            closed.set()

    store = BrokenStore(("add_thread_item", "a"))
    await store_with(store=store)
    await stream(ScriptedServer(respond, store), say())
    assert closed.is_set()


# --- what a complete turn leaves behind ----------------------------------------------------------


async def test_unfinished_items_are_stored_as_seen_when_the_handler_just_ends() -> None:
    store = await store_with()
    script: list[ThreadStreamEvent] = [
        added(answer("a")),
        delta("a", "text"),
        added(widget("v", "1")),
        updated("v", WidgetRootUpdated(widget=Card(children=[]))),
        added(workflow("w", "x")),
        updated("w", WorkflowTaskUpdated(task_index=0, task=CustomTask(title="y"))),
    ]
    await stream(ScriptedServer(script, store), say())
    stored = store.items(THREAD_ID, ADA)[1:]
    assert stored[0] == answer("a", "text")
    assert stored[1] == WidgetItem(**base("v"), widget=Card(children=[]))
    assert stored[2] == workflow("w", "y")


async def test_empty_items_are_removed_when_the_handler_just_ends() -> None:
    store = await store_with()
    script: list[ThreadStreamEvent] = [
        added(answer("a", " ")),
        added(workflow("w")),
        added(GeneratedImageItem(**base("i"))),
        added(GeneratedImageItem(**base("j"))),
        updated("j", GeneratedImageUpdated(image=GeneratedImage(id="x", url="data:,"))),
    ]
    events = await stream(ScriptedServer(script, store), say())
    assert [each["item_id"] for each in events if each["type"] == "thread.item.removed"] == [
        "a",
        "w",
        "i",
    ]
    assert [each.id for each in store.items(THREAD_ID, ADA)][1:] == ["j"]


async def test_hidden_item_is_not_stored_when_it_was_only_announced() -> None:
    store = await store_with()
    await stream(ScriptedServer([added(hidden("h"))], store), say())
    assert [each.type for each in store.items(THREAD_ID, ADA)] == ["user_message"]


async def test_nothing_of_a_hidden_item_is_sent_when_it_is_announced_updated_and_removed() -> None:
    store = await store_with(hidden("old", "secret"))
    update = AssistantMessageContentPartAdded(content_index=0, content=part("secret"))
    script: list[ThreadStreamEvent] = [
        added(hidden("h", "secret")),
        updated("h", update),
        done(hidden("h", "secret")),
        replaced(hidden("h", "secret 2")),
        updated("h", update),
        updated("old", update),
        replaced(hidden("old", "secret 2")),
        removed("h"),
    ]
    events = await stream(ScriptedServer(script, store), say())
    assert types(events) == ["thread.item.done", "stream_options"]
    assert store.items(THREAD_ID, ADA)[0] == hidden("old", "secret 2")


async def test_widget_is_changed_in_the_store_when_it_is_updated_after_it_was_stored() -> None:
    store = WatchedStore()
    await store_with(widget("v", "1"), store=store)

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield updated("v", WidgetRootUpdated(widget=Card(children=[Text(value="2")])))
        assert store.log[-1] == ("save_item", "v")

    await stream(ScriptedServer(respond, store), say())
    assert (await visible(store))[0]["widget"]["children"] == [{"type": "Text", "value": "2"}]


async def test_stream_goes_on_when_a_task_that_does_not_exist_is_updated() -> None:
    store = await store_with()
    script: list[ThreadStreamEvent] = [
        added(workflow("w", "x")),
        updated("w", WorkflowTaskUpdated(task_index=7, task=CustomTask(title="y"))),
        done(workflow("w", "x")),
    ]
    events = await stream(ScriptedServer(script, store), say())
    assert types(events)[-1] == "thread.item.done"


async def test_text_deltas_cost_no_write_and_no_task_when_an_answer_streams() -> None:
    store = WatchedStore()
    await store_with(store=store)
    server = ScriptedServer([added(answer("a")), *[delta("a", "x")] * 50], store)
    result = await open_stream(server, say())
    created: list[Any] = []
    loop = asyncio.get_running_loop()

    def create(loop: asyncio.AbstractEventLoop, work: Any, **rest: Any) -> asyncio.Task[Any]:
        created.append(work)
        return asyncio.Task(work, loop=loop, **rest)

    for _ in range(FIRST_EVENTS + 1):
        await anext(result.json_events)
    store.log.clear()
    loop.set_task_factory(create)
    try:
        for _ in range(50):
            await anext(result.json_events)
    finally:
        loop.set_task_factory(None)
    assert (created, store.log) == ([], [])
    await result.json_events.aclose()
    assert (await visible(store))[-1]["content"][0]["text"] == "x" * 50


async def test_thread_is_saved_and_told_behind_the_event_when_the_handler_changes_it() -> None:
    store = WatchedStore()
    await store_with(store=store)

    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        thread.title = "first"
        yield ProgressUpdateEvent(text="1")
        assert (await store.load_thread(THREAD_ID, ADA)).title == "first"
        yield ProgressUpdateEvent(text="2")
        thread.metadata["deep"] = {"list": [1]}
        yield ProgressUpdateEvent(text="3")
        thread.metadata["deep"]["list"].append(2)
        yield ProgressUpdateEvent(text="4")
        thread.allowed_image_domains = ["example.org"]
        thread.status = LockedStatus(reason="r")
        yield ProgressUpdateEvent(text="5")
        thread.status.reason = "changed in place"

    events = await stream(ScriptedServer(respond, store), say())
    assert types(events)[FIRST_EVENTS:] == [
        *["progress_update", "thread.updated", "progress_update"],
        *["progress_update", "thread.updated"] * 3,
        "thread.updated",
    ]
    for event in events:
        if event["type"] == "thread.updated":
            assert event["thread"]["metadata"] == {}
            assert event["thread"]["items"] == {"data": [], "has_more": False}
    stored = await store.load_thread(THREAD_ID, ADA)
    assert stored.metadata == {"deep": {"list": [1, 2]}}
    assert stored.status == LockedStatus(reason="changed in place")
    assert events[-1]["thread"]["status"] == {"type": "locked", "reason": "changed in place"}
    assert events[-1]["thread"]["allowed_image_domains"] == ["example.org"]


async def test_title_of_the_user_survives_when_the_handler_changes_something_else() -> None:
    store = await store_with()

    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        thread.metadata["step"] = 1
        renamed = await store.load_thread(THREAD_ID, ADA)
        renamed.title = "by the user"
        await store.save_thread(renamed, ADA)
        yield ProgressUpdateEvent(text="…")

    await stream(ScriptedServer(respond, store), say())
    stored = await store.load_thread(THREAD_ID, ADA)
    assert (stored.title, stored.metadata) == ("by the user", {"step": 1})


async def test_order_is_kept_when_the_stream_is_cut_off_with_a_finished_item_behind() -> None:
    for ahead in (answer("a"), widget("a", "1")):
        store = await store_with()
        script = [added(ahead), done(answer("b", "B")), delta("a", "A"), delta("a", "…")]
        result = await open_stream(ScriptedServer(script, store), say())
        for _ in range(FIRST_EVENTS + 3):
            await anext(result.json_events)
        await result.json_events.aclose()
        kept = ["a", "b"] if ahead.type == "assistant_message" else ["b"]
        assert [each["id"] for each in await visible(store)][1:] == kept
        assert notes(store) == [STOPPED_NOTE]


@pytest.mark.parametrize("end", ["fail", "close"])
async def test_stored_item_is_as_it_was_when_it_is_announced_anew_and_the_turn_is_cut_off(
    end: str,
) -> None:
    store = await store_with(widget("v", "old"))

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield added(widget("v", "new"))
        yield done(answer("b", "B"))
        if end == "fail":
            raise OSError("provider")
        yield ProgressUpdateEvent(text="…")

    client = ReferenceClient(await visible(store))
    result = await open_stream(ScriptedServer(respond, store), say())
    for _ in range(FIRST_EVENTS + 3):
        client.apply(read_frame(await anext(result.json_events)))
    await result.json_events.aclose()
    assert store.items(THREAD_ID, ADA)[0] == widget("v", "old")
    if end == "fail":
        assert types(client.events)[-1] == "thread.item.replaced"
        assert client.items == await visible(store)
