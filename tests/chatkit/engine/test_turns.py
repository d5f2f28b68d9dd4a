"""How each streaming request begins: what is checked, what is stored, and who responds."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.chatkit.context import RequestContext
from app.chatkit.errors import (
    InvalidRequestError,
    NotFoundError,
    RequestRefusedError,
    ThreadConflictError,
    UnprocessableError,
)
from app.chatkit.protocol.events import SyncCustomActionResponse, ThreadStreamEvent
from app.chatkit.protocol.items import (
    ActiveStatus,
    ClientToolCallItem,
    ClosedStatus,
    EndOfTurnItem,
    LockedStatus,
    StructuredInputAnswer,
    StructuredInputItem,
    Thread,
    ThreadItem,
    ThreadMetadata,
)
from tests.chatkit.scripted_server import (
    ADA,
    BOB,
    ActingServer,
    BrokenStore,
    ScriptedServer,
    WatchedStore,
    ask,
    body,
    done,
    notes,
    open_stream,
    say,
    store_with,
    stream,
    types,
)
from tests.chatkit.turn_requests import (
    act,
    pending_call,
    questions,
    retry,
    return_output,
    submit,
    widget,
)
from tests.support.memory_store import MemoryStore
from tests.support.samples import THREAD_ID, answer, base, file, hidden, question

ANSWER = answer("new", "Hi")


# --- messages ------------------------------------------------------------------------------------


async def test_handler_gets_the_thread_and_the_message_when_a_thread_begins() -> None:
    server = ScriptedServer([done(ANSWER)])
    fields = {
        "quoted_text": "quoted",
        "inference_options": {"model": "m", "tool_choice": {"id": "t"}},
    }
    events = await stream(server, say(None, **fields))
    [(thread, message, context)] = server.calls
    assert isinstance(thread, Thread)
    assert thread.items.data == []
    assert context is ADA
    assert message.content[0].text == "Hello"
    assert (message.quoted_text, message.inference_options.model) == ("quoted", "m")
    assert message.inference_options.tool_choice.id == "t"
    assert message.thread_id == thread.id == events[0]["thread"]["id"]
    assert await server.store.load_item(thread.id, message.id, ADA) == message
    stored = await server.store.load_thread(thread.id, ADA)
    assert type(stored) is ThreadMetadata


async def test_handler_gets_metadata_only_when_a_thread_goes_on() -> None:
    server = ScriptedServer([done(ANSWER)], await store_with())
    await stream(server, say())
    [(thread, message, _)] = server.calls
    assert type(thread) is ThreadMetadata
    assert message.thread_id == THREAD_ID


async def test_ids_come_from_the_store_when_it_has_generators_of_its_own() -> None:
    asked: list[tuple[Any, ...]] = []

    class Store(MemoryStore):
        def generate_thread_id(self, context: RequestContext) -> str:
            asked.append(("thread", context))
            return "my_thread"

        def generate_item_id(self, item_type: Any, thread: Any, context: Any) -> str:
            asked.append((item_type, thread.id, context))
            return f"my_{item_type}"

    server = ScriptedServer([], Store())
    result = await open_stream(server, say(None))
    events = [json.loads((await anext(result.json_events))[6:]) for _ in range(3)]
    await result.json_events.aclose()
    assert events[0]["thread"]["id"] == "my_thread"
    assert events[1]["item"]["id"] == "my_message"
    assert asked == [
        ("thread", ADA),
        ("message", "my_thread", ADA),
        ("sdk_hidden_context", "my_thread", ADA),
    ]


async def test_attachments_are_bound_when_a_message_is_sent_with_them() -> None:
    store = await store_with()
    for name in "ab":
        await store.save_attachment(file(name), ADA)
    server = ScriptedServer([done(ANSWER)], store)
    events = await stream(server, say(attachments=["b", "a"]))
    sent = events[0]["item"]["attachments"]
    assert [(each["id"], each["thread_id"]) for each in sent] == [
        ("b", THREAD_ID),
        ("a", THREAD_ID),
    ]
    assert "metadata" not in sent[0]
    assert server.calls[0][1].attachments == [file("b", THREAD_ID), file("a", THREAD_ID)]
    assert (await store.load_attachment("a", ADA)).thread_id == THREAD_ID
    await stream(server, say(attachments=["a"]))  # once more in the same thread


@pytest.mark.parametrize("thread_id", [None, THREAD_ID])
@pytest.mark.parametrize(
    ("attachments", "error"),
    [
        (["unknown"], NotFoundError),
        (["mine", "unknown"], NotFoundError),
        (["mine", "bobs"], NotFoundError),
        (["mine", "elsewhere"], UnprocessableError),
        (["mine", "mine"], InvalidRequestError),
    ],
)
async def test_nothing_is_left_behind_when_an_attachment_is_refused(
    thread_id: str | None, attachments: list[str], error: type[Exception]
) -> None:
    store = WatchedStore()
    await store_with(store=store)
    await store.save_attachment(file("mine"), ADA)
    await store.save_attachment(file("elsewhere", "thr_other"), ADA)
    await store.save_attachment(file("bobs"), BOB)
    store.log.clear()
    server = ScriptedServer([done(ANSWER)], store)
    result = await open_stream(server, say(thread_id, attachments=attachments))
    with pytest.raises(error):
        await anext(result.json_events)
    assert store.log == []
    assert server.calls == []
    assert (await store.load_attachment("elsewhere", ADA)).thread_id == "thr_other"


@pytest.mark.parametrize("broken", ["save_attachment", "add_thread_item"])
async def test_no_thread_is_left_behind_when_its_first_message_cannot_be_stored(
    broken: str,
) -> None:
    store = BrokenStore()
    await store.save_attachment(file(), ADA)
    store.broken = {broken}
    result = await open_stream(ScriptedServer([], store), say(None, attachments=["atc_1"]))
    with pytest.raises(OSError, match="disk full"):
        await anext(result.json_events)
    assert (await store.load_threads(9, None, "asc", ADA)).data == []


@pytest.mark.parametrize(
    "request_body",
    [
        say("thr_unknown"),
        retry("first", "thr_unknown"),
        retry("unknown"),
        act(thread_id="thr_unknown"),
        act("unknown"),
        submit("unknown"),
        body("threads.add_client_tool_output", thread_id="thr_unknown", result=1),
    ],
)
@pytest.mark.parametrize("context", [ADA, BOB])
async def test_request_is_refused_before_its_first_event_when_it_names_what_is_not_there(
    request_body: bytes, context: RequestContext
) -> None:
    store = WatchedStore()
    await store_with(question("first"), answer("a", "x"), store=store)
    store.log.clear()
    server = ActingServer([done(ANSWER)], store)
    result = await open_stream(server, request_body, context)
    with pytest.raises(NotFoundError):
        await anext(result.json_events)
    assert store.log == []
    assert server.calls == []
    assert notes(store) == []


@pytest.mark.parametrize(
    "request_body",
    [retry("a"), act("a"), act("first"), submit("a"), return_output()],
)
async def test_request_is_refused_before_its_first_event_when_the_item_is_of_a_wrong_kind(
    request_body: bytes,
) -> None:
    store = WatchedStore()
    await store_with(question("first"), answer("a", "x"), store=store)
    store.log.clear()
    server = ActingServer([done(ANSWER)], store)
    result = await open_stream(server, request_body)
    with pytest.raises(UnprocessableError) as caught:
        await anext(result.json_events)
    assert isinstance(caught.value, ValueError)  # what code for the official SDK expects
    assert store.log == []
    assert server.calls == []


async def store_with_status(status: Any) -> WatchedStore:
    """Return a store with a thread of that status, in which everything waits for an answer."""
    store = WatchedStore()
    await store_with(question("first"), questions(), widget(), pending_call(), store=store)
    thread = await store.load_thread(THREAD_ID, ADA)
    await store.save_thread(thread.model_copy(update={"status": status}), ADA)
    store.log.clear()
    return store


@pytest.mark.parametrize("request_body", [say(), retry("first")])
@pytest.mark.parametrize("status", [LockedStatus(reason="Later"), ClosedStatus()])
async def test_thread_takes_no_message_and_no_retry_when_it_is_locked_or_closed(
    request_body: bytes, status: Any
) -> None:
    store = await store_with_status(status)
    server = ActingServer([done(ANSWER)], store)
    result = await open_stream(server, request_body)
    with pytest.raises(ThreadConflictError, match=status.type) as caught:
        await anext(result.json_events)
    assert ("Later" in str(caught.value)) is (status.type == "locked")
    assert store.log == []
    assert server.calls == []


@pytest.mark.parametrize("request_body", [act(), act("widget"), submit(), return_output()])
@pytest.mark.parametrize("status", [LockedStatus(), ClosedStatus()])
async def test_handler_is_reached_in_a_locked_or_closed_thread_when_no_message_is_sent(
    request_body: bytes, status: Any
) -> None:
    server = ActingServer([done(ANSWER)], await store_with_status(status))
    events = await stream(server, request_body)
    assert types(events)[-1] == "thread.item.done"
    assert server.calls[0][0].status == status


@pytest.mark.parametrize("status", [LockedStatus(), ClosedStatus()])
async def test_sync_action_is_answered_when_the_thread_is_locked_or_closed(status: Any) -> None:
    class Server(ScriptedServer):
        async def sync_action(self, *args: Any) -> SyncCustomActionResponse:
            return SyncCustomActionResponse(updated_item=widget("other"))

    server = Server([], await store_with_status(status))
    request = body("threads.sync_custom_action", thread_id=THREAD_ID, action={"type": "a"})
    assert (await ask(server, request))["updated_item"]["id"] == "other"


async def test_thread_takes_messages_again_when_an_action_has_reopened_it() -> None:
    store = await store_with_status(ClosedStatus())

    async def reopen(thread: ThreadMetadata, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        thread.status = ActiveStatus()
        yield done(ANSWER)

    events = await stream(ActingServer(reopen, store), act("widget"))
    assert types(events)[-1] == "thread.updated"
    assert events[-1]["thread"]["status"] == {"type": "active"}
    assert types(await stream(ScriptedServer([], store), say())) == [
        "thread.item.done",
        "stream_options",
    ]


@pytest.mark.parametrize("status", [LockedStatus(), ClosedStatus()])
async def test_thread_can_be_read_renamed_and_deleted_when_it_is_locked_or_closed(
    status: Any,
) -> None:
    store = await store_with(answer("a", "x"))
    thread = await store.load_thread(THREAD_ID, ADA)
    await store.save_thread(thread.model_copy(update={"status": status}), ADA)
    server = ScriptedServer([], store)
    read = await ask(server, body("threads.get_by_id", thread_id=THREAD_ID))
    assert read["status"]["type"] == status.type
    renamed = await ask(server, body("threads.update", thread_id=THREAD_ID, title="t"))
    assert (renamed["title"], renamed["status"]["type"]) == ("t", status.type)
    await ask(server, body("threads.delete", thread_id=THREAD_ID))


async def test_nothing_happens_when_a_stream_is_never_read() -> None:
    store = WatchedStore()
    await store_with(store=store)
    store.log.clear()
    result = await open_stream(ScriptedServer([done(ANSWER)], store), say())
    await result.json_events.aclose()
    assert store.log == []


# --- retry ---------------------------------------------------------------------------------------


async def test_everything_behind_the_message_goes_when_it_is_answered_again() -> None:
    store = await store_with(
        question("q1", "One"), answer("a1", "x"), question("q2", "Two"), hidden("h"), answer("a2")
    )
    server = ScriptedServer([done(ANSWER)], store)
    events = await stream(server, retry("q2"))
    assert types(events) == ["stream_options", "thread.item.done"]
    assert [each.id for each in store.items(THREAD_ID, ADA)] == ["q1", "a1", "q2", "new"]
    assert server.calls[0][1] == question("q2", "Two")


async def test_handler_gets_the_attachments_with_their_metadata_when_a_message_is_retried() -> None:
    store = await store_with(question("q", "Look", file(thread_id=THREAD_ID)), answer("a", "x"))
    server = ScriptedServer([done(ANSWER)], store)
    await stream(server, retry("q"))
    assert server.calls[0][1].attachments[0].metadata == file().metadata


async def test_newest_items_go_first_when_a_store_deletes_one_by_one_and_breaks() -> None:
    store = BrokenStore(("delete_thread_item", "b"))
    await store_with(question("q"), *(answer(each, each) for each in "abcd"), store=store)
    server = ScriptedServer([done(ANSWER)], store)
    result = await open_stream(server, retry("q"))
    with pytest.raises(OSError, match="disk full"):
        await anext(result.json_events)
    assert [each.id for each in store.items(THREAD_ID, ADA)] == ["q", "a", "b"]


# --- client tools --------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [None, False, "", {"a": [None, 1.5]}, [1], 10**30, "x"])
async def test_call_is_completed_and_the_turn_goes_on_when_a_client_tool_returned(
    result: Any,
) -> None:
    store = await store_with(question("q"), pending_call())
    server = ScriptedServer([done(ANSWER)], store)
    events = await stream(server, return_output(result))
    assert types(events) == ["stream_options", "thread.item.done"]
    call = await store.load_item(THREAD_ID, "call", ADA)
    assert isinstance(call, ClientToolCallItem)
    assert (call.status, call.output) == ("completed", result)
    assert server.calls[0][1] is None


@pytest.mark.parametrize(
    "behind",
    [[hidden("h")], [EndOfTurnItem(**base("e"))], [hidden("h1"), hidden("h2")]],
)
async def test_call_is_completed_when_a_hidden_note_lies_behind_it(
    behind: list[ThreadItem],
) -> None:
    store = await store_with(question("q"), pending_call(), *behind)
    server = ScriptedServer([done(ANSWER)], store)
    await stream(server, return_output("x"))
    call = await store.load_item(THREAD_ID, "call", ADA)
    assert isinstance(call, ClientToolCallItem)
    assert call.status == "completed"


@pytest.mark.parametrize("behind", [question("q2"), answer("a", "x"), widget()])
async def test_output_is_refused_when_the_thread_went_on_meanwhile(behind: ThreadItem) -> None:
    store = await store_with(pending_call(), behind)
    result = await open_stream(ScriptedServer([], store), return_output())
    with pytest.raises(UnprocessableError):
        await anext(result.json_events)


async def test_output_is_refused_when_it_is_sent_twice() -> None:
    store = await store_with(question("q"), pending_call())
    server = ScriptedServer([], store)
    await stream(server, return_output(1))
    result = await open_stream(server, return_output(2))
    with pytest.raises(UnprocessableError):
        await anext(result.json_events)
    call = await store.load_item(THREAD_ID, "call", ADA)
    assert isinstance(call, ClientToolCallItem)
    assert call.output == 1


async def test_other_pending_calls_go_when_one_is_completed() -> None:
    done_call = pending_call("done").model_copy(update={"status": "completed", "output": 1})
    store = await store_with(pending_call("left"), done_call, pending_call())
    await stream(ScriptedServer([], store), return_output("x"))
    assert [each.id for each in store.items(THREAD_ID, ADA)] == ["done", "call"]


# --- structured input ----------------------------------------------------------------------------


async def test_answers_are_recorded_and_told_when_questions_are_answered() -> None:
    store = await store_with(question("q"), questions())
    server = ScriptedServer([done(ANSWER)], store)
    events = await stream(
        server,
        submit(
            answers={
                "one": {"values": ["x", "b"]},
                "many": {"values": ["a", "own words"]},
                "free": {"values": ["because"]},
                "unknown": {"values": ["?"]},
            }
        ),
    )
    assert types(events) == ["stream_options", "thread.item.replaced", "thread.item.done"]
    stored = await store.load_item(THREAD_ID, "questions", ADA)
    assert isinstance(stored, StructuredInputItem)
    assert stored.status == "answered"
    assert [each.answer for each in stored.inputs] == [
        StructuredInputAnswer(values=["x"]),
        StructuredInputAnswer(values=["a", "own words"]),
        StructuredInputAnswer(values=["because"]),
    ]
    assert events[1]["item"]["inputs"][0]["answer"] == {"values": ["x"], "skipped": False}
    assert server.calls[0][1] is None
    assert [each.id for each in store.items(THREAD_ID, ADA)] == ["q", "questions", "new"]


SKIPPED = StructuredInputAnswer(skipped=True)


@pytest.mark.parametrize(
    ("submission", "status", "answers"),
    [
        ({}, "answered", [SKIPPED] * 3),
        ({"status": "skipped"}, "skipped", [SKIPPED] * 3),
        ({"status": "skipped", "answers": {"free": {"values": ["x"]}}}, "skipped", [SKIPPED] * 3),
        (
            {
                "answers": {
                    "one": {"values": []},
                    "many": {"skipped": True, "values": ["a"]},
                    "free": {"values": [""]},
                }
            },
            "answered",
            [SKIPPED, SKIPPED, StructuredInputAnswer(values=[""])],
        ),
    ],
)
async def test_questions_are_skipped_when_they_are_not_answered(
    submission: dict[str, Any], status: str, answers: list[StructuredInputAnswer]
) -> None:
    store = await store_with(questions())
    await stream(ScriptedServer([], store), submit(**submission))
    stored = await store.load_item(THREAD_ID, "questions", ADA)
    assert isinstance(stored, StructuredInputItem)
    assert stored.status == status
    assert [each.answer for each in stored.inputs] == answers


@pytest.mark.parametrize("status", ["answered", "skipped"])
async def test_submission_is_refused_when_the_questions_were_answered_already(status: str) -> None:
    store = await store_with(questions().model_copy(update={"status": status}))
    result = await open_stream(ScriptedServer([], store), submit())
    with pytest.raises(ThreadConflictError) as caught:
        await anext(result.json_events)
    assert isinstance(caught.value, ValueError)


async def test_one_turn_runs_when_the_same_questions_are_answered_twice_at_once() -> None:
    server = ScriptedServer([done(ANSWER)], await store_with(questions()))
    results = await asyncio.gather(
        *(stream(server, submit(answers={"free": {"values": [each]}})) for each in "xy"),
        return_exceptions=True,
    )
    assert sum(isinstance(each, ThreadConflictError) for each in results) == 1
    assert len(server.calls) == 1


async def test_submission_is_an_http_error_when_it_cannot_be_stored() -> None:
    store = BrokenStore("save_item")
    await store_with(questions(), store=store)
    result = await open_stream(ScriptedServer([], store), submit())
    with pytest.raises(OSError, match="disk full"):
        await anext(result.json_events)


async def test_handler_is_closed_at_once_when_a_turn_with_answers_is_cut_off() -> None:
    closed = asyncio.Event()

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        try:
            yield done(ANSWER)
        finally:
            closed.set()

    store = await store_with(questions())
    result = await open_stream(ScriptedServer(respond, store), submit())
    for _ in range(3):
        await anext(result.json_events)
    await result.json_events.aclose()
    assert closed.is_set()


# --- actions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("item_id", [None, "", "widget"])
async def test_handler_gets_the_action_and_its_widget_when_one_is_sent(item_id: str | None) -> None:
    store = await store_with(widget())
    server = ActingServer([done(ANSWER)], store)
    payload = {"a": [None]}
    events = await stream(server, act(item_id, type="go", payload=payload, extra=1))
    assert types(events) == ["stream_options", "thread.item.done"]
    [(thread, action, sender, context)] = server.calls
    assert (thread.id, context) == (THREAD_ID, ADA)
    assert (action.type, action.payload) == ("go", payload)
    assert sender == (widget() if item_id else None)


async def test_user_is_told_when_the_server_has_no_actions() -> None:
    server = ScriptedServer([], await store_with(widget()))
    events = await stream(server, act("widget"))
    assert types(events) == ["stream_options", "error"]
    assert events[1]["allow_retry"] is False


def test_refusals_are_one_family_when_they_are_caught() -> None:
    for error in (InvalidRequestError, UnprocessableError, ThreadConflictError):
        assert issubclass(error, RequestRefusedError)
        assert issubclass(error, ValueError)
