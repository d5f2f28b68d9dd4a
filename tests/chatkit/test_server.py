"""``ChatKitServer``: every request, the order of its events, and what is stored before them."""

import asyncio
import base64
import contextvars
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents.models.chatcmpl_helpers import HEADERS_OVERRIDE
from agents.models.openai_responses import _HEADERS_OVERRIDE

from app.chatkit.actions import Action
from app.chatkit.context import RequestContext, RunIdentity
from app.chatkit.engine.user_agent import agents_sdk_user_agent_override
from app.chatkit.errors import InvalidRequestError, NotFoundError, UnsupportedError
from app.chatkit.protocol.events import (
    ClientEffectEvent,
    NoticeEvent,
    ProgressUpdateEvent,
    StreamOptions,
    SyncCustomActionResponse,
    ThreadCreatedEvent,
    ThreadStreamEvent,
    ThreadUpdatedEvent,
)
from app.chatkit.protocol.items import (
    Attachment,
    FileAttachment,
    Page,
    Thread,
    ThreadMetadata,
    WidgetItem,
)
from app.chatkit.protocol.requests import AudioInput, TranscriptionResult
from app.chatkit.server import clamp_limit
from app.chatkit.store import AttachmentStore
from app.chatkit.widgets import ActionConfig, Button, Card
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from tests.chatkit.scripted_server import (
    ADA,
    BOB,
    ActingServer,
    BrokenStore,
    ScriptedServer,
    WatchedStore,
    added,
    ask,
    body,
    delta,
    done,
    message,
    open_stream,
    open_turn,
    read_frame,
    removed,
    replaced,
    say,
    store_with,
    stream,
    types,
    visible,
)
from tests.chatkit.turn_requests import act, pending_call, questions, retry, return_output, submit
from tests.chatkit.uploads import Uploads
from tests.support.memory_store import MemoryStore
from tests.support.samples import MOMENT, THREAD_ID, answer, base, file, hidden, question


def widget(item_id: str = "widget") -> WidgetItem:
    offered = (ActionConfig(type="a"), ActionConfig(type="a", payload=1, streaming=False))
    buttons = [Button(label="Go", onClickAction=each) for each in offered]
    return WidgetItem(**base(item_id), widget=Card(children=buttons))


ANSWER = [added(answer("new")), delta("new", "Hi"), done(answer("new", "Hi"))]
ANSWER_TYPES = [
    "thread.item.added",
    "assistant_message.content_part.text_delta",
    "thread.item.done",
]


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_body", "opening"),
    [
        (say(None), ["thread.created", "thread.item.done", "stream_options"]),
        (say(), ["thread.item.done", "stream_options"]),
        (retry("q"), ["stream_options"]),
        (return_output("x"), ["stream_options"]),
        (submit(), ["stream_options", "thread.item.replaced"]),
        (act(), ["stream_options"]),
        (act("widget"), ["stream_options"]),
    ],
)
async def test_events_come_in_the_order_of_the_protocol_when_a_request_streams(
    request_body: bytes, opening: list[str]
) -> None:
    store = await store_with(question("q"), questions(), widget(), pending_call())
    events = await stream(ActingServer(ANSWER, store), request_body)
    assert types(events) == opening + ANSWER_TYPES
    assert events[len(opening) - 1 - (opening[-1] == "thread.item.replaced")] == {
        "type": "stream_options",
        "stream_options": {"allow_cancel": True},
    }


async def test_first_events_show_the_thread_and_the_message_when_a_thread_begins() -> None:
    events = await stream(ScriptedServer(ANSWER), say(None, quoted_text="q"))
    thread = events[0]["thread"]
    assert thread == {
        "id": thread["id"],
        "created_at": thread["created_at"],
        "status": {"type": "active"},
        "metadata": {},
        "items": {"data": [], "has_more": False},
    }
    item = events[1]["item"]
    assert item == {
        "type": "user_message",
        "id": item["id"],
        "thread_id": thread["id"],
        "created_at": item["created_at"],
        "content": [{"type": "input_text", "text": "Hello"}],
        "attachments": [],
        "quoted_text": "q",
        "inference_options": {},
    }
    assert item["created_at"].endswith("Z")


async def test_options_are_those_of_the_server_when_it_overrides_them() -> None:
    class Server(ScriptedServer):
        def get_stream_options(self, thread: ThreadMetadata, context: Any) -> StreamOptions:
            return StreamOptions(allow_cancel=thread.id != THREAD_ID)

    turn = await open_turn(Server(ANSWER, await store_with()), say())
    events = [read_frame(frame) async for frame in turn.run()]
    assert events[1]["stream_options"] == {"allow_cancel": False}
    assert turn.allow_cancel is False
    assert turn.thread_id == THREAD_ID
    assert not turn.failed


@pytest.mark.parametrize(
    ("event", "write"),
    [
        (done(answer("new", "x")), ("add_thread_item", "new")),
        (replaced(answer("old", "x")), ("save_item", "old")),
        (removed("old"), ("delete_thread_item", "old")),
        (delta("old", "x"), ("save_item", "old")),
    ],
)
async def test_store_has_what_an_event_says_when_the_event_is_sent(
    event: ThreadStreamEvent, write: tuple[str, str]
) -> None:
    store = WatchedStore()
    await store_with(answer("old", "x"), store=store)
    result = await open_stream(ScriptedServer([event], store), say())
    assert read_frame(await anext(result.json_events))["type"] == "thread.item.done"
    assert [name for name, _ in store.log][-1] == "chatkit_add_user_message"
    await anext(result.json_events)
    assert [name for name, _ in store.log][-1] == "chatkit_add_user_message"
    await anext(result.json_events)
    assert store.log[-1] == write
    await result.json_events.aclose()


async def test_nothing_is_stored_when_an_item_is_only_announced_and_updated() -> None:
    store = WatchedStore()
    await store_with(store=store)
    result = await open_stream(ScriptedServer(ANSWER, store), say())
    for _ in range(4):
        await anext(result.json_events)
    assert [name for name, _ in store.log][-1] == "chatkit_add_user_message"
    await anext(result.json_events)
    assert store.log[-1] == ("add_thread_item", "new")
    await result.json_events.aclose()


async def test_title_is_saved_when_it_is_set_in_the_first_turn() -> None:
    async def respond(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        thread.title = "Greetings"
        for event in ANSWER:
            yield event

    server = ScriptedServer(respond)
    events = await stream(server, say(None))
    thread_id = events[0]["thread"]["id"]
    assert types(events)[4] == "thread.updated"
    assert events[4]["thread"]["title"] == "Greetings"
    read = await ask(server, body("threads.get_by_id", thread_id=thread_id))
    assert read["title"] == "Greetings"
    assert len(read["items"]["data"]) == 2


async def test_thread_events_show_no_metadata_and_no_hidden_items_when_a_handler_yields_them() -> (
    None
):
    thread = Thread(
        id=THREAD_ID,
        created_at=MOMENT,
        metadata={"secret": 1},
        items=Page(data=[hidden("h", "secret"), answer("a", "x")], has_more=True, after="a"),
    )
    script: list[ThreadStreamEvent] = [
        ThreadCreatedEvent(thread=thread),
        ThreadUpdatedEvent(thread=thread),
    ]
    events = await stream(ScriptedServer(script, await store_with()), say())
    for event in events[2:]:
        assert "secret" not in json.dumps(event)
        assert [each["id"] for each in event["thread"]["items"]["data"]] == ["a"]
        assert event["thread"]["items"]["after"] == "a"
    assert thread.items.data[0] == hidden("h", "secret")


async def test_passing_events_go_through_unchanged_when_a_handler_yields_them() -> None:
    script: list[ThreadStreamEvent] = [
        ProgressUpdateEvent(text="Looking", icon="search"),
        ClientEffectEvent(name="confetti", data={"a": None}),
        NoticeEvent(level="warning", message="**m**", title="t"),
    ]
    events = await stream(ScriptedServer(script, await store_with()), say())
    assert events[2:] == [
        {"type": "progress_update", "text": "Looking", "icon": "search"},
        {"type": "client_effect", "name": "confetti", "data": {"a": None}},
        {"type": "notice", "level": "warning", "message": "**m**", "title": "t"},
    ]


async def test_every_element_is_one_frame_when_a_result_is_read() -> None:
    store = await store_with()
    script = [*ANSWER, done(answer("b", "line\n\nline\r\ndata: x\u2028"))]
    result = await open_stream(ScriptedServer(script, store), say())
    frames = [frame async for frame in result]
    assert len(frames) == 6
    assert all(isinstance(read_frame(frame), dict) for frame in frames)


async def test_stream_is_read_to_its_end_when_each_step_is_in_another_task() -> None:
    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        for event in ANSWER:
            await asyncio.sleep(0)
            yield event

    result = await open_stream(ScriptedServer(respond, await store_with()), say())
    iterator, events = aiter(result), []
    while True:
        try:
            frame = await asyncio.create_task(_step(iterator))
        except StopAsyncIteration:
            break
        events.append(read_frame(frame))
    assert types(events) == ["thread.item.done", "stream_options", *ANSWER_TYPES]


async def test_unfinished_answer_is_kept_when_another_task_closes_the_stream() -> None:
    store = await store_with()
    result = await open_stream(ScriptedServer(ANSWER, store), say())
    for _ in range(4):
        await asyncio.create_task(_step(result.json_events))
    await asyncio.create_task(_close(result.json_events))
    assert (await visible(store))[-1]["content"][0]["text"] == "Hi"


async def _step(iterator: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(iterator)
    except StopAsyncIteration as error:
        raise error from None


async def _close(generator: Any) -> None:
    await generator.aclose()


async def test_work_that_the_handler_started_sees_its_context_when_the_stream_is_read() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen: list[str] = []

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        token = variable.set("inside")
        try:
            for event in ANSWER:
                yield event
                seen.append(variable.get())
        finally:
            variable.reset(token)

    await stream(ScriptedServer(respond, await store_with()), say())
    assert seen == ["inside"] * 3
    result = await open_stream(ScriptedServer(respond, await store_with()), say())
    for _ in range(3):
        await anext(result.json_events)
    await result.json_events.aclose()
    assert variable.get() == "outside"


# --- the User-Agent of model requests ------------------------------------------------------------


def agents() -> list[str | None]:
    overrides = [HEADERS_OVERRIDE.get(), _HEADERS_OVERRIDE.get()]
    return [(each or {}).get("User-Agent") for each in overrides]


async def test_user_agent_names_chatkit_only_inside_the_handler_when_a_turn_runs() -> None:
    seen: list[list[str | None]] = []

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        for event in ANSWER:
            seen.append(agents())
            await asyncio.sleep(0)
            seen.append(await asyncio.create_task(look()))
            yield event

    async def look() -> list[str | None]:
        return agents()

    result = await open_stream(ScriptedServer(respond, await store_with()), say())
    async for _ in result:
        assert agents() == [None, None]
    assert len(seen) == 6
    assert all("ChatKit/Python 1.6.5" in str(each) for pair in seen for each in pair)


@pytest.mark.parametrize("at_once", [True, False])
async def test_user_agent_does_not_leak_when_the_handler_fails(at_once: bool) -> None:
    def fail(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        raise OSError

    async def fail_later(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield ANSWER[0]
        raise OSError

    await stream(ScriptedServer(fail if at_once else fail_later, await store_with()), say())
    assert agents() == [None, None]
    with pytest.raises(OSError), agents_sdk_user_agent_override():
        assert "ChatKit" in str(agents()[0])
        raise OSError
    assert agents() == [None, None]


# --- requests answered with JSON -----------------------------------------------------------------


async def test_oldest_items_come_with_the_thread_when_it_is_read() -> None:
    items = [answer(f"a{number}", "x") for number in range(25)]
    store = await store_with(hidden("h1"), *items, hidden("h2"))
    thread = await store.load_thread(THREAD_ID, ADA)
    thread.title, thread.metadata = "T", {"secret": 1}
    thread.allowed_image_domains = ["example.org"]
    await store.save_thread(thread, ADA)
    read = await ask(ScriptedServer([], store), body("threads.get_by_id", thread_id=THREAD_ID))
    page = read.pop("items")
    assert [each["id"] for each in page["data"]] == [each.id for each in items[:20]]
    assert (page["has_more"], page["after"]) == (True, "a19")
    assert read == {
        "id": THREAD_ID,
        "title": "T",
        "created_at": "2030-01-02T03:04:05.678901Z",
        "status": {"type": "active"},
        "allowed_image_domains": ["example.org"],
        "metadata": {},
    }


async def test_threads_come_newest_first_without_items_when_they_are_listed() -> None:
    store = await store_with(answer("a", "x"))
    for name in ("thr_2", "thr_3"):
        thread = ThreadMetadata(id=name, created_at=MOMENT, metadata={"secret": 1})
        await store.save_thread(thread, ADA)
    server = ScriptedServer([], store)
    page = await ask(server, body("threads.list", limit=2))
    assert [each["id"] for each in page["data"]] == ["thr_3", "thr_2"]
    assert (page["has_more"], page["after"]) == (True, "thr_2")
    assert all(each["items"] == {"data": [], "has_more": False} for each in page["data"])
    assert "secret" not in json.dumps(page)
    rest = await ask(server, body("threads.list", limit=2, after="thr_2"))
    assert [each["id"] for each in rest["data"]] == [THREAD_ID]
    assert rest["has_more"] is False
    assert "after" not in rest
    oldest = await ask(server, body("threads.list", order="asc"))
    assert [each["id"] for each in oldest["data"]] == [THREAD_ID, "thr_2", "thr_3"]
    assert await ask(server, body("threads.list"), BOB) == {"data": [], "has_more": False}


async def test_only_the_title_changes_when_a_thread_is_renamed() -> None:
    store = await store_with()
    thread = await store.load_thread(THREAD_ID, ADA)
    thread.metadata = {"secret": 1}
    await store.save_thread(thread, ADA)
    server = ScriptedServer([], store)
    renamed = await ask(server, body("threads.update", thread_id=THREAD_ID, title="Ü"))
    assert (renamed["title"], renamed["metadata"]) == ("Ü", {})
    stored = await store.load_thread(THREAD_ID, ADA)
    assert (stored.title, stored.metadata) == ("Ü", {"secret": 1})


async def test_thread_is_gone_when_it_was_deleted() -> None:
    server = ScriptedServer([], await store_with(answer("a", "x")))
    assert await ask(server, body("threads.delete", thread_id=THREAD_ID)) == {}
    with pytest.raises(NotFoundError):
        await server.process(body("threads.get_by_id", thread_id=THREAD_ID), ADA)


@pytest.mark.parametrize(
    ("params", "ids", "more"),
    [
        ({}, "cba", False),
        ({"order": "asc"}, "abc", False),
        ({"limit": 2}, "cb", True),
        ({"limit": 2, "after": "b"}, "a", False),
        ({"limit": 1, "order": "asc", "after": "a"}, "b", True),
    ],
)
async def test_items_come_page_by_page_when_they_are_listed(
    params: dict[str, Any], ids: str, more: bool
) -> None:
    store = await store_with(
        answer("a", "1"), hidden("h1"), hidden("h2"), answer("b", "2"), answer("c", "3")
    )
    server = ScriptedServer([], store)
    page = await ask(server, body("items.list", thread_id=THREAD_ID, **params))
    assert "".join(each["id"] for each in page["data"]) == ids
    assert page["has_more"] is more
    assert page.get("after") == (ids[-1] if more else None)


async def test_feedback_is_kept_when_it_is_given() -> None:
    store = await store_with(answer("a", "x"))
    request = body("items.feedback", thread_id=THREAD_ID, item_ids=["a"], kind="negative")
    assert await ask(ScriptedServer([], store), request) == {}
    assert store.rooms["ada"].feedback == {(THREAD_ID, "a"): "negative"}


async def test_feedback_goes_to_the_server_when_it_overrides_the_hook() -> None:
    got: list[Any] = []

    class Server(ScriptedServer):
        async def add_feedback(self, *args: Any) -> None:
            got.append(args)

    request = body("items.feedback", thread_id="any", item_ids=["x", "y"], kind="positive")
    assert await ask(Server(), request) == {}
    assert got == [("any", ["x", "y"], "positive", ADA)]


async def test_attachment_is_saved_and_deleted_in_order_when_uploads_are_offered() -> None:
    log: list[Any] = []

    class Store(MemoryStore):
        async def save_attachment(self, attachment: Attachment, context: RequestContext) -> None:
            log.append(("save", attachment.id))
            await super().save_attachment(attachment, context)

        async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
            log.append(("delete", attachment_id))
            await super().delete_attachment(attachment_id, context)

    server = ScriptedServer([], Store(), Uploads(log))
    request = body("attachments.create", name="a.pdf", size=3, mime_type="application/pdf")
    created = await ask(server, request)
    assert created["id"].startswith("atc_")
    assert created["upload_descriptor"]["method"] == "PUT"
    assert "metadata" not in created
    stored = await server.store.load_attachment(created["id"], ADA)
    assert isinstance(stored, FileAttachment)
    assert stored.metadata == file().metadata
    assert await ask(server, body("attachments.delete", attachment_id=created["id"])) == {}
    assert log == [
        ("create", "a.pdf", 3, ADA),
        ("save", created["id"]),
        ("delete bytes", created["id"]),
        ("delete", created["id"]),
    ]


class DirectUploads(AttachmentStore[RequestContext]):
    """No two-phase uploads."""

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        """Nothing to delete."""


CREATE = body("attachments.create", name="a", size=1, mime_type="text/plain")


@pytest.mark.parametrize(
    ("uploads", "request_body"),
    [
        (None, CREATE),
        (None, body("attachments.delete", attachment_id="a")),
        (DirectUploads(), CREATE),
        (None, body("input.transcribe", audio_base64="", mime_type="audio/webm")),
        (None, body("threads.sync_custom_action", thread_id=THREAD_ID, action={"type": "a"})),
    ],
)
async def test_request_is_refused_when_the_server_does_not_offer_it(
    uploads: Any, request_body: bytes
) -> None:
    server = ScriptedServer([], await store_with(), uploads)
    with pytest.raises(UnsupportedError) as caught:
        await server.process(request_body, ADA)
    assert isinstance(caught.value, RuntimeError)  # what code for the official SDK expects


async def test_speech_is_decoded_when_it_is_to_be_transcribed() -> None:
    class Server(ScriptedServer):
        async def transcribe(self, audio_input: AudioInput, context: Any) -> TranscriptionResult:
            assert context is ADA
            return TranscriptionResult(text=f"{audio_input.media_type}: {audio_input.data!r}")

    audio = base64.b64encode(b"\x00\xff").decode()
    request = body("input.transcribe", audio_base64=audio, mime_type="audio/webm;codecs=opus")
    assert await ask(Server(), request) == {"text": "audio/webm: b'\\x00\\xff'"}


@pytest.mark.parametrize("audio", ["???", "YQ", "YQ==\n", "ä", "YQ==YQ=="])
async def test_speech_is_refused_when_it_is_no_base64(audio: str) -> None:
    request = body("input.transcribe", audio_base64=audio, mime_type="audio/webm")
    with pytest.raises(InvalidRequestError) as caught:
        await ScriptedServer().process(request, ADA)
    assert caught.value.field == "params.audio_base64"


async def test_sync_action_answers_with_the_item_and_stores_nothing() -> None:
    store, got = WatchedStore(), []
    await store_with(widget(), store=store)
    store.log.clear()

    class Server(ScriptedServer):
        async def sync_action(self, *args: Any) -> SyncCustomActionResponse:
            got.append(args)
            action: Action[str, Any] = args[1]
            return SyncCustomActionResponse(updated_item=widget() if action.payload else None)

    def request(**fields: Any) -> bytes:
        return body("threads.sync_custom_action", thread_id=THREAD_ID, **fields)

    server = Server([], store)
    answered = await ask(server, request(item_id="widget", action={"type": "a", "payload": 1}))
    assert answered["updated_item"]["widget"] == widget().widget.model_dump(mode="json")
    assert await ask(server, request(action={"type": "a"})) == {}
    assert [(args[0].id, args[2], args[3]) for args in got] == [
        (THREAD_ID, widget(), ADA),
        (THREAD_ID, None, ADA),
    ]
    assert store.log == []


async def test_sync_action_is_refused_when_its_sender_is_no_widget() -> None:
    server = ScriptedServer([], await store_with(answer("a", "x")))
    for item_id, error in (("a", ValueError), ("unknown", NotFoundError)):
        request = body(
            "threads.sync_custom_action",
            thread_id=THREAD_ID,
            item_id=item_id,
            action={"type": "a"},
        )
        with pytest.raises(error):
            await server.process(request, ADA)


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 20), (0, 20), (1, 1), (100, 100), (101, 100), (10**40, 100)]
)
def test_limit_is_clamped_when_a_page_is_asked_for(limit: int | None, expected: int) -> None:
    assert clamp_limit(limit) == expected


# --- context -------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_body", [say(None), body("threads.list")])
async def test_metadata_of_the_request_is_on_the_context_when_a_handler_runs(
    request_body: bytes,
) -> None:
    context = RequestContext(user_id="ada", metadata={"old": 1})
    request = json.loads(request_body) | {"metadata": {"page": "x", "n": None}}
    server = ScriptedServer(ANSWER)
    result = await server.process(json.dumps(request), context)
    assert context.metadata == {"page": "x", "n": None}
    if not hasattr(result, "json"):
        async for _ in result:  # type: ignore[union-attr]
            pass
        assert server.calls[0][2] is context


async def test_any_object_is_the_context_when_the_server_is_used_elsewhere() -> None:
    class Store(MemoryStore):
        def _room(self, context: Any) -> Any:
            return self.rooms["all"]

    server = ScriptedServer(ANSWER, Store())
    for context in (None, {"user": 1}, "text"):
        events = await stream(server, say(None), context)  # type: ignore[arg-type]
        assert types(events)[-1] == "thread.item.done"
        assert server.calls[-1][2] is context


@pytest.mark.parametrize("kind", [str, bytes, bytearray])
async def test_body_is_taken_when_it_is_text_or_bytes(kind: Any) -> None:
    request = json.dumps({"type": "threads.create", "params": {"input": message("ä🎈")}})
    given = request if kind is str else kind(request.encode())
    server = ScriptedServer(ANSWER)
    result = await server.process(given, ADA)
    async for _ in result:  # type: ignore[union-attr]
        pass
    assert server.calls[0][1].content[0].text == "ä🎈"


# --- on Postgres ---------------------------------------------------------------------------------


async def test_text_turn_takes_few_statements_when_the_store_is_postgres(
    pool: ConnectionPool, user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ScriptedServer(ANSWER, PostgresStore(Database(pool)))
    statements: list[str] = []

    fetch = pool.fetch

    async def note(statement: str, args: Any) -> Any:
        statements.append(statement)
        return await fetch(statement, args)

    def context(number: int) -> RequestContext:
        run = RunIdentity(id=f"run_{number}", kind="threads.create", replica="r")
        return RequestContext(user_id=user_id, run=run)

    monkeypatch.setattr(pool, "fetch", note)
    events = await stream(server, say(None), context(1))
    assert len(statements) == 2  # thread, run and message; answer
    end = "UPDATE runs SET state = 'completed' WHERE user_id = $1"
    await Database(pool).execute(end, user_id)
    statements.clear()
    server.script = [added(answer("b")), delta("b", "Hi"), done(answer("b", "Hi"))]
    await stream(server, say(events[0]["thread"]["id"]), context(2))
    assert len(statements) == 3  # thread and run; message; answer


async def test_broken_store_is_an_error_of_the_request_when_it_is_answered_with_json() -> None:
    server = ScriptedServer([], BrokenStore("delete_thread"))
    with pytest.raises(OSError, match="disk full"):
        await server.process(body("threads.delete", thread_id=THREAD_ID), ADA)
