"""The events of a handler, and the items that come of them."""

from typing import Any

from tests.conformance.answering import Events, answer_with_message
from tests.conformance.building import (
    added,
    card,
    done,
    every_kind_of_item,
    item,
    message,
    removed,
    replaced,
    text_delta,
    updated,
)
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario


@scenario
async def every_kind_of_item_is_stored_and_listed(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        for each in every_kind_of_item(talk.kit, thread):
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
async def text_comes_without_a_part(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield added(kit, message(kit, thread, "answer_1"))
        yield text_delta(kit, "answer_1", "Hel")
        yield text_delta(kit, "answer_1", "lo")
        yield done(kit, message(kit, thread, "answer_1", "Hello"))

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
    def get_stream_options(thread: Any, context: Any) -> Any:
        return talk.kit.types.StreamOptions(allow_cancel=bool(thread.title))

    answer_with_message(talk)
    talk.override(get_stream_options=get_stream_options)
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
