"""What the engine does with requests and with the events of a handler, without a model."""

from collections.abc import AsyncIterator
from typing import Any

from tests.conformance.building import (
    added,
    card,
    done,
    item,
    message,
    removed,
    replaced,
    text_delta,
    updated,
)
from tests.conformance.harness import Gate, Talk, done_id
from tests.conformance.registry import scenario

Events = AsyncIterator[Any]


def answer_with_message(talk: Talk) -> None:
    """Let every turn answer with one finished message."""
    turns = iter(range(1, 100))

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        yield done(talk.kit, message(talk.kit, thread, f"answer_{next(turns)}", "Hi"))

    talk.answer(respond)


# --- threads -------------------------------------------------------------------------------------


@scenario
async def threads_are_listed_renamed_and_deleted(talk: Talk) -> None:
    answer_with_message(talk)
    for _ in range(3):
        talk.thread_id = ""
        await talk.say()
    await talk.send("threads.list")
    page = await talk.send("threads.list", limit=2, order="asc")
    await talk.send("threads.list", limit=2, order="asc", after=page["after"])
    await talk.send("threads.list", limit=0)
    await talk.send_to_thread("threads.update", title="New")
    await talk.send_to_thread("threads.update", title="")
    await talk.send("threads.update", thread_id="thr_unknown", title="New")
    await talk.send_to_thread("threads.get_by_id")
    await talk.send("threads.get_by_id", thread_id="thr_unknown")
    await talk.send_to_thread("threads.delete")
    await talk.send_to_thread("threads.delete")
    await talk.send("threads.delete", thread_id=page["data"][0]["id"])
    await talk.send("threads.list", after="thr_unknown")


@scenario
async def handler_changes_the_thread(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        thread.title = "First"
        yield talk.kit.types.ProgressUpdateEvent(text="One")
        thread.metadata["secret"] = 1
        yield talk.kit.types.ProgressUpdateEvent(text="Two", icon="bolt")
        yield done(talk.kit, message(talk.kit, thread, "answer_1", "Hi"))
        thread.allowed_image_domains = ["example.com"]

    async def close(thread: Any, user_message: Any, context: Any) -> Events:
        yield done(talk.kit, message(talk.kit, thread, "answer_2", str(thread.metadata)))
        thread.title = "Second"
        thread.status = talk.kit.types.ClosedStatus(reason="Done")

    talk.answer(respond, close)
    await talk.say()
    await talk.say()
    await talk.send_to_thread("threads.get_by_id")


@scenario
async def thread_changes_before_a_failure(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        thread.title = "Kept"
        raise talk.kit.errors.CustomStreamError("No luck")
        yield

    talk.answer(respond)
    await talk.say()
    await talk.say()


@scenario
async def handler_announces_thread_itself(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        types = talk.kit.types
        shown = types.Thread(id=thread.id, created_at=thread.created_at, items=types.Page())
        yield types.ThreadUpdatedEvent(thread=shown)

    talk.answer(respond)
    await talk.say()


@scenario
async def locked_thread(talk: Talk) -> None:
    async def lock(thread: Any, user_message: Any, context: Any) -> Events:
        thread.status = talk.kit.types.LockedStatus(reason="Paused")
        yield done(talk.kit, message(talk.kit, thread, "answer_1", "Bye"))

    talk.answer(lock)
    await talk.say()
    answer_with_message(talk)
    await talk.say()


# --- items ---------------------------------------------------------------------------------------


def every_kind_of_item(talk: Talk, thread: Any) -> list[Any]:
    kit, types = talk.kit, talk.kit.types
    task = types.CustomTask(title="Step", icon="check", content="Done", status_indicator="complete")
    question = types.StructuredInputFreeform(id="q", question="Why?", description="Tell")
    search = types.SearchTask(
        title="Search",
        queries=["a"],
        sources=[types.URLSource(url="https://example.com", title="Example", attribution="x")],
    )
    files = types.FileTask(sources=[types.FileSource(filename="a.txt", title="A")])
    workflow = types.Workflow(
        type="custom",
        tasks=[search, files, types.ImageTask(title="Image")],
        summary=types.CustomSummary(title="Worked", icon="star"),
        expanded=True,
    )
    return [
        message(kit, thread, "item_message", "One", "Two"),
        item(kit, "TaskItem", thread, "item_task", task=task),
        item(kit, "WorkflowItem", thread, "item_workflow", workflow=workflow),
        item(kit, "GeneratedImageItem", thread, "item_image"),
        item(kit, "StructuredInputItem", thread, "item_question", inputs=[question]),
        item(kit, "WidgetItem", thread, "item_widget", widget=card(kit), copy_text="Copy"),
        item(kit, "HiddenContextItem", thread, "item_hidden", content={"note": [None, 1]}),
        item(kit, "SDKHiddenContextItem", thread, "item_sdk_hidden", content="Note"),
        item(
            kit,
            "ClientToolCallItem",
            thread,
            "item_call",
            call_id="call_1",
            name="open",
            arguments={"a": None, "b": [1, None]},
        ),
        item(kit, "EndOfTurnItem", thread, "item_end"),
    ]


@scenario
async def every_kind_of_item_is_stored_and_listed(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        for each in every_kind_of_item(talk, thread):
            yield done(talk.kit, each)

    talk.answer(respond)
    await talk.say("Ünïcode \N{ROCKET}", quoted_text="Quote")
    await talk.send_to_thread("items.list")
    await talk.send_to_thread("items.list", limit=3, order="asc")
    await talk.send_to_thread("items.list", limit=3, order="asc", after="item_task")
    await talk.send_to_thread("items.list", limit=0, order="desc", after="item_hidden")
    await talk.send_to_thread("items.list", after="item_unknown")
    await talk.send("items.list", thread_id="thr_unknown")
    await talk.send_to_thread("threads.get_by_id")


@scenario
async def hidden_items_across_pages(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        for number in range(3):
            note = item(talk.kit, "HiddenContextItem", thread, f"hidden_{number}", content="x")
            yield done(talk.kit, note)
        yield done(talk.kit, message(talk.kit, thread, "answer_1", "Hi"))

    talk.answer(respond)
    await talk.say()
    await talk.send_to_thread("items.list", limit=2, order="asc")


@scenario
async def hidden_items_are_announced(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        note = item(talk.kit, "HiddenContextItem", thread, "hidden_1", content="x")
        yield added(talk.kit, note)
        yield done(talk.kit, note)
        yield replaced(talk.kit, note)

    talk.answer(respond)
    await talk.say()


@scenario
async def items_are_replaced_and_removed(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield done(kit, message(kit, thread, "answer_1", "One"))
        yield done(kit, message(kit, thread, "answer_2", "Two"))
        yield replaced(kit, message(kit, thread, "answer_1", "Better"))
        yield removed(kit, "answer_2")
        yield removed(kit, "never_stored")
        yield replaced(kit, message(kit, thread, "answer_3", "New"))

    talk.answer(respond)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def items_are_streamed_by_hand(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit, types = talk.kit, talk.kit.types
        part = types.AssistantMessageContent(text="")
        yield added(kit, message(kit, thread, "answer_1"))
        kind = "AssistantMessageContentPartAdded"
        yield updated(kit, "answer_1", kind, content_index=0, content=part)
        yield text_delta(kit, "answer_1", "Hel")
        yield text_delta(kit, "answer_1", "lo")
        annotation = types.Annotation(
            source=types.EntitySource(id="e", title="Entity", data={"a": None}), index=1
        )
        kind = "AssistantMessageContentPartAnnotationAdded"
        fields = {"content_index": 0, "annotation_index": 0, "annotation": annotation}
        yield updated(kit, "answer_1", kind, **fields)
        whole = types.AssistantMessageContent(text="Hello", annotations=[annotation])
        kind = "AssistantMessageContentPartDone"
        yield updated(kit, "answer_1", kind, content_index=0, content=whole)
        finished = message(kit, thread, "answer_1")
        finished.content.append(whole)
        yield done(kit, finished)

    talk.answer(respond)
    await talk.say()


@scenario
async def effects_and_notices(talk: Talk) -> None:
    types = talk.kit.types
    talk.answer_with(
        types.ClientEffectEvent(name="confetti", data={"a": None, "list": [None]}),
        types.ClientEffectEvent(name="plain"),
        types.NoticeEvent(level="warning", message="**Careful**", title="Title"),
        types.NoticeEvent(level="info", message="Just so"),
        types.ProgressUpdateEvent(text="Working", icon="search"),
        types.StreamOptionsEvent(stream_options=types.StreamOptions(allow_cancel=False)),
        types.ErrorEvent(message="By hand", allow_retry=True),
    )
    await talk.say()
    await talk.say()


@scenario
async def stream_options_of_the_server(talk: Talk) -> None:
    types = talk.kit.types
    answer_with_message(talk)
    talk.override(get_stream_options=lambda thread, context: types.StreamOptions(allow_cancel=False))
    await talk.say()


@scenario
async def items_are_left_unfinished(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield added(kit, message(kit, thread, "answer_1", ""))
        yield text_delta(kit, "answer_1", "Text")
        yield added(kit, message(kit, thread, "answer_2", " "))
        yield added(kit, item(kit, "WidgetItem", thread, "widget_1", widget=card(kit)))

    talk.answer(respond)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def update_with_a_wrong_task_index(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit, types = talk.kit, talk.kit.types
        workflow = types.Workflow(type="custom", tasks=[types.CustomTask(title="One")])
        each = item(kit, "WorkflowItem", thread, "workflow_1", workflow=workflow)
        yield added(kit, each)
        task = types.CustomTask(title="Two")
        yield updated(kit, "workflow_1", "WorkflowTaskUpdated", task_index=7, task=task)
        yield done(kit, each)

    talk.answer(respond)
    await talk.say()


@scenario
async def stored_widget_is_updated(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit, text = talk.kit, talk.kit.widgets.Text
        widget = card(kit, text(id="t", value="a"))
        yield done(kit, item(kit, "WidgetItem", thread, "widget_1", widget=widget))
        component = text(id="t", value="b")
        kind = "WidgetComponentUpdated"
        yield updated(kit, "widget_1", kind, component_id="t", component=component)

    talk.answer(respond)
    await talk.say()


# --- failures ------------------------------------------------------------------------------------


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
    user_input = {"content": [], "attachments": [], "inference_options": {}}
    await talk.send("threads.add_user_message", input=user_input, **missing)
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


# --- retry, feedback, dictation ------------------------------------------------------------------


@scenario
async def answer_is_tried_again(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield done(kit, item(kit, "HiddenContextItem", thread, "hidden", content="x"))
        text = user_message.content[0].text
        yield done(kit, message(kit, thread, talk.store.generate_item_id("message", thread, 1), text))

    talk.answer(respond)
    first = await talk.say("One")
    await talk.say("Two")
    last = await talk.say("Three")
    await talk.send_to_thread("threads.retry_after_item", item_id=done_id(last, "user_message"))
    await talk.send_to_thread("threads.retry_after_item", item_id=done_id(first, "user_message"))
    await talk.send_to_thread("items.list")


@scenario
async def retry_of_an_unknown_item(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("threads.retry_after_item", item_id="msg_unknown")
    await talk.send_to_thread("items.list")


@scenario
async def long_thread_is_retried_and_paged(talk: Talk) -> None:
    answer_with_message(talk)
    first = await talk.say()
    for _ in range(12):
        await talk.say()
    await talk.send_to_thread("threads.get_by_id")
    page = await talk.send_to_thread("items.list")
    await talk.send_to_thread("items.list", after=page["after"])
    await talk.send_to_thread("threads.retry_after_item", item_id=done_id(first, "user_message"))


@scenario
async def feedback_reaches_the_server(talk: Talk) -> None:
    async def add_feedback(thread_id: str, item_ids: list[str], kind: str, context: Any) -> None:
        talk.transcript.note(f"feedback {thread_id} {item_ids} {kind}")

    answer_with_message(talk)
    talk.override(add_feedback=add_feedback)
    await talk.say()
    await talk.send_to_thread("items.feedback", item_ids=["answer_1"], kind="positive")
    await talk.send_to_thread("items.feedback", item_ids=["a", "b"], kind="negative")
    await talk.send("items.feedback", thread_id="thr_unknown", item_ids=[], kind="negative")
    await talk.send_to_thread("items.feedback", item_ids=[], kind="neutral")


@scenario
async def feedback_without_a_handler(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("items.feedback", item_ids=["answer_1"], kind="positive")


@scenario
async def speech_is_transcribed(talk: Talk) -> None:
    async def transcribe(audio: Any, context: Any) -> Any:
        text = f"{audio.data!r} {audio.mime_type} {audio.media_type}"
        return talk.kit.types.TranscriptionResult(text=text)

    talk.override(transcribe=transcribe)
    audio = {"audio_base64": "aGVsbG8=", "mime_type": "audio/webm;codecs=opus"}
    await talk.send("input.transcribe", **audio)
    await talk.send("input.transcribe", audio_base64="", mime_type="audio/mp4")
    await talk.send("input.transcribe", audio_base64="a", mime_type="audio/mp4")


@scenario
async def speech_that_is_no_base64(talk: Talk) -> None:
    async def transcribe(audio: Any, context: Any) -> Any:
        return talk.kit.types.TranscriptionResult(text="noise")

    talk.override(transcribe=transcribe)
    await talk.send("input.transcribe", audio_base64="aGVs*bG8=", mime_type="audio/mp4")


@scenario
async def speech_without_a_handler(talk: Talk) -> None:
    await talk.send("input.transcribe", audio_base64="aGVsbG8=", mime_type="audio/mp4")


# --- attachments ---------------------------------------------------------------------------------


@scenario
async def attachments_are_created_sent_and_deleted(talk: Talk) -> None:
    answer_with_message(talk)
    file = {"name": "a.pdf", "size": 3, "mime_type": "application/pdf"}
    one = await talk.send("attachments.create", **file)
    two = await talk.send("attachments.create", **{**file, "name": "b.pdf"})
    await talk.say(attachments=[one["id"]])
    await talk.say(attachments=[two["id"]])
    await talk.send_to_thread("items.list")
    await talk.send("attachments.delete", attachment_id=one["id"])
    await talk.send("attachments.delete", attachment_id=one["id"])
    await talk.send("attachments.delete", attachment_id="atc_unknown")


@scenario
async def images_are_attached(talk: Talk) -> None:
    answer_with_message(talk)
    picture = talk.kit.types.ImageAttachment(
        id="atc_image",
        name="a.png",
        mime_type="image/png",
        preview_url="https://files.example/a?b=ü",
        metadata={"secret": 1},
    )
    await talk.store.save_attachment(picture, None if not talk.kit.is_ours else _context())
    await talk.say(attachments=["atc_image"])
    await talk.send_to_thread("threads.get_by_id")


def _context() -> Any:
    from tests.conformance.harness import CONTEXT

    return CONTEXT


@scenario
async def attachment_of_another_thread(talk: Talk) -> None:
    answer_with_message(talk)
    file = {"name": "a.pdf", "size": 3, "mime_type": "application/pdf"}
    attachment = await talk.send("attachments.create", **file)
    await talk.say(attachments=[attachment["id"]])
    talk.thread_id = ""
    await talk.say(attachments=[attachment["id"]])


@scenario
async def attachment_that_is_named_twice(talk: Talk) -> None:
    answer_with_message(talk)
    file = {"name": "a.pdf", "size": 3, "mime_type": "application/pdf"}
    attachment = await talk.send("attachments.create", **file)
    await talk.say(attachments=[attachment["id"], attachment["id"]])


@scenario
async def attachments_without_an_attachment_store(talk: Talk) -> None:
    talk.has_uploads = False
    await talk.send("attachments.create", name="a", size=1, mime_type="text/plain")
    await talk.send("attachments.delete", attachment_id="atc_1")


# --- actions -------------------------------------------------------------------------------------


def describe(action: Any, sender: Any) -> str:
    return f"{action.type} {action.payload} {sender.id if sender else None}"


def show_widget(talk: Talk) -> None:
    """Let the first turn show a widget, and actions answer with what they got."""
    kit, types = talk.kit, talk.kit.types

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        button = kit.widgets.Button(label="Go", onClickAction=kit.actions.ActionConfig(type="go"))
        widget = card(kit, button)
        yield done(kit, item(kit, "WidgetItem", thread, "widget_1", widget=widget))
        yield done(kit, message(kit, thread, "answer_1", "Press it"))

    async def action(thread: Any, action: Any, sender: Any, context: Any) -> Events:
        thread.title = action.type
        yield done(kit, message(kit, thread, f"after_{action.type}", describe(action, sender)))

    async def sync_action(thread: Any, action: Any, sender: Any, context: Any) -> Any:
        if action.type == "nothing":
            return types.SyncCustomActionResponse()
        text = describe(action, sender)
        return types.SyncCustomActionResponse(updated_item=message(kit, thread, "new", text))

    talk.answer(respond)
    talk.override(action=action, sync_action=sync_action)


@scenario
async def actions_of_a_widget_and_of_the_page(talk: Talk) -> None:
    show_widget(talk)
    await talk.say()
    for action in (
        {"type": "go"},
        {"type": "deep", "payload": {"a": [None, {"b": None}]}},
        {"type": "extra", "payload": "text", "handler": "server"},
    ):
        await talk.send_to_thread("threads.custom_action", item_id="widget_1", action=action)
    await talk.send_to_thread("threads.custom_action", action={"type": "page"})
    await talk.send_to_thread("threads.custom_action", item_id=None, action={"type": "none"})


@scenario
async def synchronous_actions(talk: Talk) -> None:
    show_widget(talk)
    await talk.say()
    action = {"type": "go", "payload": {"a": None}}
    await talk.send_to_thread("threads.sync_custom_action", item_id="widget_1", action=action)
    await talk.send_to_thread("threads.sync_custom_action", action={"type": "page"})
    await talk.send_to_thread("threads.sync_custom_action", action={"type": "nothing"})
    await talk.send_to_thread("items.list")


@scenario
async def action_of_an_item_that_is_no_widget(talk: Talk) -> None:
    show_widget(talk)
    await talk.say()
    action = {"type": "go"}
    await talk.send_to_thread("threads.custom_action", item_id="answer_1", action=action)


@scenario
async def actions_without_a_handler(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("threads.custom_action", action={"type": "go"})
    await talk.send_to_thread("threads.sync_custom_action", action={"type": "go"})


@scenario
async def failing_actions(talk: Talk) -> None:
    async def action(thread: Any, action: Any, sender: Any, context: Any) -> Events:
        yield talk.kit.types.ProgressUpdateEvent(text="Working")
        raise talk.kit.errors.CustomStreamError("Refused")

    async def sync_action(thread: Any, action: Any, sender: Any, context: Any) -> Any:
        raise ValueError("Refused")

    answer_with_message(talk)
    talk.override(action=action, sync_action=sync_action)
    await talk.say()
    await talk.send_to_thread("threads.custom_action", action={"type": "go"})
    await talk.send_to_thread("threads.sync_custom_action", action={"type": "go"})


# --- structured input ----------------------------------------------------------------------------


def ask(talk: Talk) -> None:
    """Let the first turn ask three questions, and the next ones answer with a message."""
    kit, types = talk.kit, talk.kit.types
    options = [types.StructuredInputMultipleChoiceOption(value=each) for each in "abc"]
    choice = types.StructuredInputMultipleChoice

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        inputs = [
            choice(id="one", question="One?", options=options),
            choice(id="many", question="Many?", options=options, multiple=True),
            types.StructuredInputFreeform(id="free", question="Free?"),
        ]
        yield done(kit, item(kit, "StructuredInputItem", thread, "form", inputs=inputs))

    async def go_on(thread: Any, user_message: Any, context: Any) -> Events:
        yield done(kit, message(kit, thread, "answer_1", f"Got it: {user_message}"))

    talk.answer(respond, go_on)


async def submit(talk: Talk, **submission: Any) -> None:
    await talk.send_to_thread("threads.add_structured_input", item_id="form", input=submission)


@scenario
async def questions_are_answered(talk: Talk) -> None:
    ask(talk)
    await talk.say()
    answers = {
        "one": {"values": ["b", "a"]},
        "many": {"values": ["a", "own words"]},
        "free": {"values": ["x", "y"]},
        "unknown": {"values": ["z"]},
    }
    await submit(talk, answers=answers)
    await talk.send_to_thread("items.list")


@scenario
async def questions_are_partly_skipped(talk: Talk) -> None:
    ask(talk)
    await talk.say()
    answers = {"one": {"skipped": True, "values": ["a"]}, "many": {"values": []}}
    await submit(talk, answers=answers, status="answered")


@scenario
async def questions_are_skipped_altogether(talk: Talk) -> None:
    ask(talk)
    await talk.say()
    await submit(talk, answers={"one": {"values": ["a"]}}, status="skipped")


@scenario
async def questions_are_answered_twice(talk: Talk) -> None:
    ask(talk)
    await talk.say()
    await submit(talk, answers={})
    await submit(talk, answers={"one": {"values": ["a"]}})


# --- widgets -------------------------------------------------------------------------------------


def show(talk: Talk, *states: Any, copy_text: str | None = None) -> None:
    """Let every turn stream a widget's states; a single one is shown as it is."""

    async def stream() -> AsyncIterator[Any]:
        for state in states:
            yield state

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        widget = states[0] if len(states) == 1 else stream()
        async for event in talk.kit.server.stream_widget(thread, widget, copy_text):
            yield event

    talk.answer(respond)


@scenario
async def static_widgets(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets
    action = kit.actions.ActionConfig(type="go", payload={"a": 1}, loadingBehavior="self")
    row = widgets.Row(children=[widgets.Text(value="a"), widgets.Badge(label="b", color="info")])
    button = widgets.Button(label="Go", onClickAction=action, disabled=None)
    show(talk, card(kit, row, button, size="sm", padding=2), copy_text="Copy")
    await talk.say()
    items = [widgets.ListViewItem(children=[widgets.Title(value=each)]) for each in "ab"]
    show(talk, widgets.ListView(children=items, limit="auto", status={"text": "Two"}))
    await talk.say()
    basic = {"type": "Basic", "children": [{"type": "Text", "value": "x", "own": [1]}]}
    show(talk, widgets.DynamicWidgetRoot.model_validate(basic))
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def widget_text_is_streamed(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets

    def state(first: str, second: str, *, streaming: bool) -> Any:
        markdown = widgets.Markdown(id="second", value=second, streaming=streaming)
        return card(kit, widgets.Text(id="first", value=first, streaming=True), markdown)

    show(
        talk,
        state("", "", streaming=True),
        state("a", "", streaming=True),
        state("ab", "x", streaming=True),
        state("ab", "x", streaming=True),
        state("abc", "xy", streaming=True),
    )
    await talk.say()


@scenario
async def widget_is_replaced_while_it_streams(talk: Talk) -> None:
    kit, text = talk.kit, talk.kit.widgets.Text
    show(
        talk,
        card(kit, text(id="a", value="One")),
        card(kit, text(id="a", value="Two")),
        card(kit, text(id="a", value="Two"), text(value="More")),
        card(kit, text(id="a", value="Two"), text(value="More"), size="lg"),
    )
    await talk.say()


@scenario
async def widget_text_ends_with_streaming_off(talk: Talk) -> None:
    kit, text = talk.kit, talk.kit.widgets.Text
    show(
        talk,
        card(kit, text(id="a", value="", streaming=True)),
        card(kit, text(id="a", value="One", streaming=True)),
        card(kit, text(id="a", value="One more", streaming=False)),
    )
    await talk.say()


@scenario
async def widget_text_without_an_id_grows(talk: Talk) -> None:
    kit, text = talk.kit, talk.kit.widgets.Text
    show(talk, card(kit, text(value="a")), card(kit, text(value="ab")))
    await talk.say()


@scenario
async def widget_stream_without_a_state(talk: Talk) -> None:
    show(talk)
    await talk.say()


@scenario
async def widget_with_nulls_in_an_action(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets
    payload = {"a": None, "list": [None, 1]}
    action = kit.actions.ActionConfig(type="go", payload=payload)
    show(talk, card(kit, widgets.Button(label="Go", onClickAction=action)))
    await talk.say()


@scenario
async def widget_from_a_template(talk: Talk) -> None:
    template = '{"type": "Card", "children": [{"type": "Text", "value": {{ name | tojson }}}]}'
    definition = {"version": "1.0", "name": "hello", "template": template, "jsonSchema": {}}
    widget = talk.kit.widgets.WidgetTemplate(definition).build({"name": 'A "quoted" name'})
    show(talk, widget)
    await talk.say()
    await talk.send_to_thread("items.list")


# --- broken connections --------------------------------------------------------------------------


def answer_until(talk: Talk, gate: Gate, *, blank: bool = False) -> dict[str, Any]:
    """Let the answer stop at ``gate`` after half a text; return the request's parameters."""

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield added(kit, message(kit, thread, "answer_1", ""))
        if not blank:
            yield text_delta(kit, "answer_1", "Half a ")
            yield text_delta(kit, "answer_1", "text")
        yield added(kit, item(kit, "WidgetItem", thread, "widget_1", widget=card(kit)))
        await gate.hold()

    talk.answer(respond)
    content = [{"type": "input_text", "text": "Hello"}]
    return {"input": {"content": content, "attachments": [], "inference_options": {}}}


@scenario
async def reader_is_cancelled(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate)
    await talk.cancel_at(gate, "threads.create", **params)
    await talk.send_to_thread("items.list")


@scenario
async def reader_is_cancelled_before_any_text(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate, blank=True)
    await talk.cancel_at(gate, "threads.create", **params)


@scenario
async def reader_is_cancelled_with_a_handler_of_its_own(talk: Talk) -> None:
    async def handle(thread: Any, pending_items: list[Any], context: Any) -> None:
        seen = [(each.type, each.id) for each in pending_items]
        talk.transcript.note(f"cancelled with {seen}")

    gate = Gate()
    params = answer_until(talk, gate)
    talk.override(handle_stream_cancelled=handle)
    await talk.cancel_at(gate, "threads.create", **params)


@scenario
async def reader_disconnects(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate)
    await talk.disconnect_at(gate, "threads.create", **params)


@scenario
async def stream_is_closed(talk: Talk) -> None:
    params = answer_until(talk, Gate())
    await talk.close_after(6, "threads.create", **params)


@scenario
async def title_is_set_before_a_cancel(talk: Talk) -> None:
    gate = Gate()

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        thread.title = "Kept"
        await gate.hold()
        yield

    params = answer_until(talk, gate)
    talk.answer(respond)
    await talk.cancel_at(gate, "threads.create", **params)
