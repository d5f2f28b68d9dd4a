"""Messages of Chat Completions as strict servers take them."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.chat_messages import (
    BEGINNING,
    NO_ANSWER,
    show_tool_files,
    to_strict_messages,
)

SYSTEM = {"role": "system", "content": "Be nice."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def says(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def calls(*ids: str, content: Any = None) -> dict[str, Any]:
    made = [{"id": each, "type": "function", "function": {"name": "f"}} for each in ids]
    return says("assistant", content, tool_calls=made)


def returns(call_id: str, content: Any = "done") -> dict[str, Any]:
    return says("tool", content, tool_call_id=call_id)


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


@pytest.mark.parametrize(
    ("messages", "strict"),
    [
        ([SYSTEM, says("user", [text("a"), text("b")])], [SYSTEM, says("user", "a\n\nb")]),
        ([says("user", "a"), says("user", [text("b")])], [says("user", "a\n\nb")]),
        (
            [says("user", "a"), says("user", [text("b"), IMAGE]), says("user", "c")],
            [says("user", [text("a"), text("b"), IMAGE, text("c")])],
        ),
        ([SYSTEM, SYSTEM], [says("system", "Be nice.\n\nBe nice.")]),
        (
            [says("user", "a"), says("assistant", "b"), calls("1"), returns("1")],
            [says("user", "a"), calls("1", content="b"), returns("1")],
        ),
        (
            [says("user", "a"), calls("1", "2"), returns("1"), returns("2", [text("x")])],
            [says("user", "a"), calls("1", "2"), returns("1"), returns("2", "x")],
        ),
        (
            [says("user", "a"), calls("1"), returns("1"), says("user", "b")],
            [
                says("user", "a"),
                calls("1"),
                returns("1"),
                says("assistant", NO_ANSWER),
                says("user", "b"),
            ],
        ),
        (
            [SYSTEM, says("assistant", "Welcome."), says("user", "a")],
            [SYSTEM, says("user", BEGINNING), says("assistant", "Welcome."), says("user", "a")],
        ),
        (
            [says("user", "a"), says("assistant", "b"), says("assistant", "c")],
            [says("user", "a"), says("assistant", "b\n\nc")],
        ),
        (
            [says("user", [text("a") | {"cache_control": {"type": "ephemeral"}}])],
            [says("user", [text("a") | {"cache_control": {"type": "ephemeral"}}])],
        ),
    ],
)
def test_roles_take_turns(messages: list[Any], strict: list[Any]) -> None:
    assert to_strict_messages(messages) == strict
    assert to_strict_messages(strict) == strict


CONTENT = st.one_of(st.none(), st.text(max_size=5), st.lists(st.just(text("t")), max_size=2))


@given(
    st.lists(
        st.one_of(
            st.builds(says, st.sampled_from(["user", "assistant"]), CONTENT),
            st.just(calls("1")).map(lambda made: [made, returns("1")]),
        ),
        max_size=10,
    )
)
def test_rules_hold_whatever_a_history_is_like(turns: list[Any]) -> None:
    messages = [each for turn in turns for each in (turn if isinstance(turn, list) else [turn])]
    strict = to_strict_messages([SYSTEM, *messages])
    roles = [each["role"] for each in strict]
    for before, after in itertools.pairwise(roles):
        assert before != after
        assert (before, after) not in (("tool", "user"), ("system", "assistant"))
    assert all(not isinstance(each["content"], list) for each in strict)


def test_files_that_a_tool_returned_are_shown_behind_its_output() -> None:
    def output(call_id: str, value: Any) -> dict[str, Any]:
        return {"type": "function_call_output", "call_id": call_id, "output": value}

    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    items = [output("1", [{"type": "input_text", "text": "A cat:"}, image]), output("2", "done")]
    first, second, shown = show_tool_files(items)
    assert first["output"] == "A cat:\n(What it returned is shown below.)"
    assert second == items[1]
    assert shown["role"] == "user"
    assert shown["content"][1:] == [image]
    assert show_tool_files([output("1", "text")]) == [output("1", "text")]
