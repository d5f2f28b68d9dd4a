"""Threads, and what the user says in them."""

from typing import Any

from tests.conformance.answering import Events, answer_with_message
from tests.conformance.building import card, done, item, message
from tests.conformance.harness import Talk, user_input
from tests.conformance.registry import scenario

# --- threads --------------------------------------------------------------------------------------


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
        yield done(talk.kit, message(talk.kit, thread, "farewell", "Bye"))

    talk.answer(lock)
    await talk.say()
    answer_with_message(talk)
    await talk.say()


@scenario
async def locked_thread_goes_on_without_a_message(talk: Talk) -> None:
    types = talk.kit.types
    ids = iter(("one", "two", "three"))

    async def ask_and_lock(thread: Any, user_message: Any, context: Any) -> Events:
        button = talk.kit.widgets.Button(
            label="Reopen", onClickAction=talk.kit.actions.ActionConfig(type="reopen")
        )
        shown = card(talk.kit, button)
        yield done(talk.kit, item(talk.kit, "WidgetItem", thread, "widget", widget=shown))
        question = types.StructuredInputFreeform(id="q", question="Why?")
        form = item(talk.kit, "StructuredInputItem", thread, "form", inputs=[question])
        yield done(talk.kit, form)
        call = {"call_id": "call_1", "name": "open", "arguments": {}}
        yield done(talk.kit, item(talk.kit, "ClientToolCallItem", thread, "call", **call))
        thread.status = types.LockedStatus()

    async def go_on(thread: Any, user_message: Any, context: Any) -> Events:
        yield done(talk.kit, message(talk.kit, thread, next(ids), thread.status.type))

    async def reopen(thread: Any, action: Any, sender: Any, context: Any) -> Events:
        thread.status = types.ActiveStatus()
        yield done(talk.kit, message(talk.kit, thread, "reopened", sender.id))

    talk.override(action=reopen)
    talk.answer(ask_and_lock, go_on)
    await talk.say()
    await talk.send_to_thread("threads.add_client_tool_output", result=1)
    answers = {"q": {"values": ["So"]}}
    submitted = {"status": "answered", "answers": answers}
    await talk.send_to_thread("threads.add_structured_input", item_id="form", input=submitted)
    await talk.send_to_thread("threads.custom_action", item_id="widget", action={"type": "reopen"})
    await talk.say("Again")


@scenario
async def handler_is_no_generator(talk: Talk) -> None:
    class Answer:
        def __init__(self, *events: Any) -> None:
            self.events = list(events)

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            if not self.events:
                raise StopAsyncIteration
            return self.events.pop(0)

    def respond(thread: Any, user_message: Any, context: Any) -> Any:
        return Answer(done(talk.kit, message(talk.kit, thread, "answer_1", "Hi")))

    talk.answer(respond)
    await talk.say()


@scenario
async def stream_is_read_from_many_tasks(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.read_from_many_tasks("threads.create", input=user_input())


# --- messages of the user -------------------------------------------------------------------------


@scenario
async def message_has_tags_a_quote_and_options(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        seen = user_message.model_dump_json(exclude={"created_at", "id", "thread_id"})
        yield done(talk.kit, message(talk.kit, thread, "answer_1", seen))

    talk.answer(respond)
    tag = {"type": "input_tag", "id": "t", "text": "Tag", "data": {"a": None}}
    await talk.say(
        content=[
            {"type": "input_text", "text": "Ask "},
            tag,
            {**tag, "group": "g", "interactive": True},
        ],
        quoted_text="Quote",
        inference_options={"model": "m", "tool_choice": {"id": "search"}, "more": 1},
    )


@scenario
async def text_cannot_be_stored(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        yield done(talk.kit, message(talk.kit, thread, "answer_1", "a\x00b"))

    async def respond_with_half_a_character(thread: Any, message_: Any, context: Any) -> Events:
        yield done(talk.kit, message(talk.kit, thread, "answer_2", "a\ud800b"))

    talk.answer(respond, respond_with_half_a_character)
    await talk.say("a\x00b")
    await talk.say()
