"""What holds for every turn, whatever a provider sent, and the parts of it that tests look at."""

import json
from typing import Any

from tests.providers.fake_openai import ReceivedRequest
from tests.support.conversation import Conversation, done_items

Event = dict[str, Any]

ANSWERS = {"assistant_message", "widget", "client_tool_call", "structured_input", "generated_image"}


async def check_turn(conversation: Conversation, events: list[Event]) -> None:
    """Assert that a turn ended as one must, and that the thread holds what was shown of it."""
    check_that_items_end(events)
    check_that_it_is_answered(events)
    await check_that_the_thread_is_what_was_shown(conversation, events)


def check_that_items_end(events: list[Event]) -> None:
    """Assert that every item that was announced is finished or taken back, and no other goes on."""
    open_ids: set[str] = set()
    for event in events:
        match event["type"]:
            case "thread.item.added":
                assert event["item"]["id"] not in open_ids
                open_ids.add(event["item"]["id"])
            case "thread.item.done" | "thread.item.replaced":
                open_ids.discard(event["item"]["id"])
            case "thread.item.removed":
                open_ids.discard(event["item_id"])
            case "thread.item.updated":
                assert event["item_id"] in open_ids
    assert not open_ids


def check_that_it_is_answered(events: list[Event]) -> None:
    """Assert that the turn ended in something to see, or in an error that says why."""
    errors = [event for event in events if event["type"] == "error"]
    assert len(errors) <= 1
    assert all(error["message"] for error in errors)
    shown = [e["item"]["type"] for e in events if e["type"] == "thread.item.done"]
    assert errors or ANSWERS & set(shown)


async def check_that_the_thread_is_what_was_shown(
    conversation: Conversation, events: list[Event]
) -> None:
    """Assert that the items of the turn are in the thread as they were shown, and not blank."""
    shown: dict[str, Event] = {}
    for event in events:
        if event["type"] in ("thread.item.done", "thread.item.replaced"):
            shown[event["item"]["id"]] = event["item"]
        elif event["type"] == "thread.item.removed":
            shown.pop(event["item_id"], None)
    stored = {item["id"]: item for item in await conversation.load_items()}
    assert {item_id: stored.get(item_id) for item_id in shown} == shown
    for item in stored.values():
        if item["type"] == "assistant_message":
            assert "".join(part["text"] for part in item["content"]).strip()


def answers(events: list[Event]) -> list[str]:
    """Return the texts of the messages that were finished in these events."""
    messages = done_items(events, "assistant_message")
    return ["".join(part["text"] for part in each["content"]) for each in messages]


def thoughts(events: list[Event]) -> list[str]:
    """Return the thoughts of the workflows that were finished in these events."""
    workflows = done_items(events, "workflow")
    return [task["content"] for each in workflows for task in each["workflow"]["tasks"]]


def notices(events: list[Event]) -> list[str]:
    return [event["message"] for event in events if event["type"] == "notice"]


def the_error(events: list[Event]) -> Event:
    (error,) = [event for event in events if event["type"] == "error"]
    return error


def streamed_text(events: list[Event]) -> str:
    """Return the text as it came in deltas."""
    return "".join(event.get("update", {}).get("delta", "") for event in events)


def calls(request: ReceivedRequest) -> list[tuple[str, str, Any]]:
    """Return id, name and arguments of the function calls that a request tells of."""
    if "input" in request.body:
        items = [each for each in request.body["input"] if each.get("type") == "function_call"]
        return [(each["call_id"], each["name"], json.loads(each["arguments"])) for each in items]
    entries = [call for each in request.body["messages"] for call in each.get("tool_calls") or ()]
    return [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in entries
    ]


def outputs(request: ReceivedRequest) -> dict[str, str]:
    """Return what a request tells that each call has returned, by its id."""
    if "input" in request.body:
        items = [i for i in request.body["input"] if i.get("type") == "function_call_output"]
        return {each["call_id"]: each["output"] for each in items}
    messages = [each for each in request.body["messages"] if each["role"] == "tool"]
    return {each["tool_call_id"]: each["content"] for each in messages}


def check_calls_are_answered(request: ReceivedRequest) -> None:
    """Assert what strict servers demand: each call has an id of its own, and its output."""
    ids = [call_id for call_id, _, _ in calls(request)]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    assert set(outputs(request)) == set(ids)


def said(request: ReceivedRequest) -> list[tuple[str, str]]:
    """Return role and text of the messages in a request, but for the instructions."""
    pairs: list[tuple[str, str]] = []
    for each in request.body.get("input", request.body.get("messages")):
        content = each.get("content")
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        if each.get("role") in ("user", "assistant") and content:
            pairs.append((each["role"], content))
    return pairs
