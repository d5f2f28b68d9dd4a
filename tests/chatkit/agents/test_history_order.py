"""The order in which a model is told what a thread holds: that in which it saw it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.chatkit.agents.history_order import order_as_told
from app.chatkit.agents.tool_memory import MESSAGE_REFERENCE, RememberedResponse, create_memory
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    HiddenContextItem,
    InferenceOptions,
    ThreadItem,
    UserMessageItem,
    UserMessageTextContent,
    WidgetItem,
)
from app.chatkit.widgets import Card

PLACE: dict[str, Any] = {"thread_id": "thr_1", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}


def user(name: str) -> ThreadItem:
    content = [UserMessageTextContent(text=name)]
    return UserMessageItem(id=name, content=content, inference_options=InferenceOptions(), **PLACE)


def answer(name: str) -> ThreadItem:
    return AssistantMessageItem(id=name, content=[AssistantMessageContent(text=name)], **PLACE)


def card(name: str) -> ThreadItem:
    return WidgetItem(id=name, widget=Card(children=[]), **PLACE)


def note(name: str) -> ThreadItem:
    return HiddenContextItem(id=name, content=name, **PLACE)


def memory(
    name: str, after: str | None, *, is_last: bool = False, quotes: str | None = None
) -> ThreadItem:
    call = {"type": "function_call", "call_id": name, "name": "tool", "arguments": "{}"}
    quoted = [{"type": MESSAGE_REFERENCE, "item_id": quotes}] if quotes else []
    response = RememberedResponse([*quoted, call], after, is_last)
    return create_memory("thr_1", response, f"call_{name}")


@pytest.mark.parametrize(
    ("thread", "told"),
    [
        ([user("u1"), answer("a1"), user("u2")], "u1 a1 u2"),
        # The card was shown by the tool; the model hears of it behind its own answer.
        ([user("u1"), card("w"), memory("1", "u1"), answer("a1"), user("u2")], "u1 1 a1 w u2"),
        # Two responses, of which the first has said something (and tells it itself).
        (
            [
                *(user("u1"), answer("a0"), card("w1"), memory("1", "u1", quotes="a0")),
                *(card("w2"), memory("2", "u1"), answer("a1"), user("u2")),
            ],
            "u1 1 2 a1 a0 w1 w2 u2",
        ),
        # A note that came while the answer was written.
        ([user("u1"), memory("1", "u1"), note("n"), answer("a1"), user("u2")], "u1 1 a1 n u2"),
        ([user("u1"), note("n"), memory("1", "u1"), answer("a1"), user("u2")], "u1 1 a1 n u2"),
        # The tool has ended the run, and an action has begun the next.
        (
            [
                *(user("u1"), card("form"), memory("1", "u1", is_last=True), note("filled in")),
                answer("a1"),
            ],
            "u1 1 form filled in a1",
        ),
        (
            [
                *(user("u1"), card("form"), memory("1", "u1", is_last=True)),
                *(memory("2", "form"), answer("a1"), user("u2")),
            ],
            "u1 1 form 2 a1 u2",
        ),
        # A run that was told of the answer of another one.
        (
            [
                user("u1"),
                memory("1", "u1"),
                answer("a1"),
                note("n"),
                memory("2", "a1"),
                answer("a2"),
            ],
            "u1 1 a1 2 a2 n",
        ),
        # It failed behind its tool; what follows answers another message.
        ([user("u1"), memory("1", "u1"), user("u2"), answer("a2")], "u1 1 u2 a2"),
        # The beginning of the thread was left out.
        ([card("w"), memory("1", "u0"), answer("a0"), user("u1")], "1 a0 w u1"),
        # One of the first version says nothing of its place.
        ([user("u1"), card("w"), memory("1", None), answer("a1")], "u1 w 1 a1"),
        ([memory("1", None), answer("a1")], "1 a1"),
        # One that names itself, as no run would have it.
        ([user("u1"), memory("1", "call_1"), answer("a1")], "u1 1 a1"),
    ],
)
def test_thread_is_told_in_the_order_that_the_model_saw(
    thread: list[ThreadItem], told: str
) -> None:
    ordered = order_as_told(thread)
    assert len({each.item.id for each in ordered}) == len(ordered)
    names = [each.item.id.removeprefix("call_") for each in ordered]
    assert " ".join(names) == told


def test_each_turn_begins_with_what_the_last_one_was_told() -> None:
    """Play a thread in which a run is told everything so far, and stores as the engine does."""
    thread: list[ThreadItem] = []
    seen: list[str] = []

    def told() -> list[str]:
        return [each.item.id for each in order_as_told(thread)]

    for turn in range(6):
        thread.append(user(f"u{turn}"))
        before = told()
        assert before[: len(seen)] == seen
        after, said = before[-1], list(before)
        for step in range(turn % 3):
            thread += [
                card(f"w{turn}{step}"),
                memory(f"{turn}{step}", after),
                note(f"n{turn}{step}"),
            ]
            said.append(f"call_{turn}{step}")
        thread.append(answer(f"a{turn}"))
        seen = said
        assert told()[: len(seen)] == seen
