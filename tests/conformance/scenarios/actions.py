"""Actions of widgets and pages, and answers to questions."""

from typing import Any

from tests.conformance.answering import Events, answer_with_message
from tests.conformance.building import card, done, item, message
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario

# --- actions --------------------------------------------------------------------------------------


def describe(action: Any, sender: Any) -> str:
    return f"{action.type} {action.payload} {sender.id if sender else None}"


def show_widget(talk: Talk) -> None:
    """Let the first turn show a widget, and actions answer with what they got."""
    kit, types = talk.kit, talk.kit.types

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        offered: list[dict[str, Any]] = [
            {"type": "go"},
            {"type": "deep", "payload": {"a": [1, {"b": "c"}]}},
            {"type": "extra", "payload": "text"},
            {"type": "sync", "payload": {"a": 1}, "streaming": False},
            {"type": "page", "payload": {"name": "Tom"}, "handler": "client"},
        ]
        buttons = [
            kit.widgets.Button(label="Go", onClickAction=kit.actions.ActionConfig(**each))
            for each in offered
        ]
        widget = card(kit, *buttons)
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
        {"type": "deep", "payload": {"a": [1, {"b": "c"}]}},
        {"type": "extra", "payload": "text", "handler": "server"},
    ):
        await talk.send_to_thread("threads.custom_action", item_id="widget_1", action=action)
    page_action = {"type": "page", "payload": {"a": [None, {"b": None}]}}
    await talk.send_to_thread("threads.custom_action", action=page_action)
    await talk.send_to_thread("threads.custom_action", item_id=None, action={"type": "none"})


@scenario
async def action_that_the_widget_does_not_offer(talk: Talk) -> None:
    show_widget(talk)
    await talk.say()
    forged = {"type": "extra", "payload": "other"}
    await talk.send_to_thread("threads.custom_action", item_id="widget_1", action=forged)
    await talk.send_to_thread("threads.sync_custom_action", item_id="widget_1", action=forged)


@scenario
async def actions_that_the_page_sends_on(talk: Talk) -> None:
    show_widget(talk)
    await talk.say()
    for action in (
        {"type": "page", "payload": {"name": "Tom"}},
        {"type": "page", "payload": {"name": "Ada", "rank": 1}},
        {"type": "page"},
        {"type": "page.done", "payload": {"name": "Tom"}},
        {"type": "go", "payload": {"more": True}},
        {"type": "deep", "payload": {"a": [1, {"b": "c"}], "more": None}},
    ):
        await talk.send_to_thread("threads.custom_action", item_id="widget_1", action=action)
        await talk.send_to_thread("threads.custom_action", action=action)
    page_action = {"type": "page", "payload": {"name": "Ada"}}
    await talk.send_to_thread("threads.sync_custom_action", item_id="widget_1", action=page_action)


@scenario
async def synchronous_actions(talk: Talk) -> None:
    show_widget(talk)
    await talk.say()
    action = {"type": "sync", "payload": {"a": 1}}
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


# --- structured input -----------------------------------------------------------------------------


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
