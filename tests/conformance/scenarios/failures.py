"""What fails in a handler, before it, and in the request itself."""

from typing import Any

from tests.conformance.answering import Events, answer_with_message
from tests.conformance.building import added, card, item, message, text_delta
from tests.conformance.harness import Talk, user_input
from tests.conformance.registry import scenario


def fail_with(talk: Talk, *errors: Any, after_event: bool) -> None:
    """Let each turn raise the next of ``errors``, at once or after a progress event."""

    def create(error: Exception) -> Any:
        async def respond(thread: Any, user_message: Any, context: Any) -> Events:
            if after_event:
                yield talk.kit.types.ProgressUpdateEvent(text="Working")
            raise error

        return respond

    talk.answer(*map(create, errors))


def every_kind_of_error(talk: Talk) -> list[Exception]:
    errors = talk.kit.errors
    code = errors.ErrorCode.STREAM_ERROR
    return [
        errors.CustomStreamError("Sorry"),
        errors.CustomStreamError("Sorry", allow_retry=True),
        errors.StreamError(code),
        errors.StreamError(code, allow_retry=False),
        KeyError("surprise"),
    ]


@scenario
async def failures_before_the_first_event(talk: Talk) -> None:
    fail_with(talk, *every_kind_of_error(talk), after_event=False)
    for _ in range(5):
        await talk.say()


@scenario
async def failures_after_the_first_event(talk: Talk) -> None:
    fail_with(talk, *every_kind_of_error(talk), after_event=True)
    for _ in range(5):
        await talk.say()


@scenario
async def failure_when_respond_is_called(talk: Talk) -> None:
    def respond(thread: Any, user_message: Any, context: Any) -> Events:
        raise talk.kit.errors.CustomStreamError("Not now")

    talk.answer(respond)
    await talk.say()


@scenario
async def failure_in_the_middle_of_a_text(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield added(kit, message(kit, thread, "answer_1", ""))
        yield text_delta(kit, "answer_1", "Half")
        yield added(kit, item(kit, "WidgetItem", thread, "widget_1", widget=card(kit)))
        raise talk.kit.errors.CustomStreamError("Lost")

    talk.answer(respond)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def failures_before_respond(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("threads.add_client_tool_output", result=1)
    missing = {"thread_id": "thr_unknown"}
    await talk.send("threads.add_client_tool_output", result=1, **missing)
    await talk.send("threads.add_structured_input", item_id="x", input={}, **missing)
    await talk.send_to_thread("threads.add_structured_input", item_id="x", input={})
    await talk.send_to_thread("threads.add_structured_input", item_id="answer_1", input={})
    await talk.send("threads.retry_after_item", item_id="x", **missing)
    await talk.send_to_thread("threads.retry_after_item", item_id="answer_1")
    await talk.send("threads.custom_action", action={"type": "a"}, **missing)
    await talk.send_to_thread("threads.custom_action", item_id="x", action={"type": "a"})
    await talk.send("threads.sync_custom_action", action={"type": "a"}, **missing)
    await talk.send_to_thread("threads.sync_custom_action", item_id="x", action={"type": "a"})
    await talk.send_to_thread(
        "threads.sync_custom_action", item_id="answer_1", action={"type": "a"}
    )
    await talk.send("threads.add_user_message", input=user_input(), **missing)
    await talk.say(attachments=["atc_unknown"])


@scenario
async def message_with_an_unknown_attachment_in_a_new_thread(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say(attachments=["atc_unknown"])
    await talk.send("threads.list")


@scenario
async def malformed_requests(talk: Talk) -> None:
    answer_with_message(talk)
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"type": "threads.unknown", "params": {}}',
        b'{"type": "threads.list"}',
        b'{"type": "threads.list", "params": {"limit": "x"}}',
        b'{"type": "threads.list", "params": {"order": "up"}}',
        b'{"type": "threads.create", "params": {"input": {"content": []}}}',
        b'\xef\xbb\xbf{"type": "threads.list", "params": {}}',
        b'{"type": "threads.list", "params": {"limit": NaN}}',
        b'{"type": "threads.list", "params": {"after": "\\ud800"}}',
        b'{"type": "threads.list", "params": ' + b"[" * 10_000,
    ):
        await talk.send_body("malformed", body)


@scenario
async def loose_requests(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    for body in (
        '{"type": "threads.list", "params": {"limit": "5"}, "metadata": {"a": null}}',
        '{"type": "threads.list", "params": {"limit": 2.0, "order": "asc"}, "more": 1}',
        '{"type": "x", "params": {"more": 1}, "type": "threads.list"}',
        b'{"type": "threads.list", "params": {"limit": true}}',
        bytearray(b'{"type": "threads.list", "params": {"limit": null}}'),
    ):
        await talk.send_body("loose", body)


@scenario
async def action_without_a_type(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("threads.sync_custom_action", action={"payload": 1})


@scenario
async def limits_out_of_range(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send("threads.list", limit=-1)
    await talk.send_to_thread("items.list", limit=-1)
    await talk.send_to_thread("items.list", limit=10**9)
