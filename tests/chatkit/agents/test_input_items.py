"""Input items in one form, and calls with their outputs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chatkit.agents.input_items import (
    NO_OUTPUT,
    leave_base64_out,
    pair_calls,
    to_plain_items,
)


def message(role: str, text: str = "hi") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


def call(call_id: str, **fields: Any) -> dict[str, Any]:
    given = {"type": "function_call", "call_id": call_id, "name": "tool", "arguments": "{}"}
    return given | fields


def output(call_id: str, text: Any = "done") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def reasoning(**fields: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": []} | fields


def written(text: str, **fields: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": None}
    given = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    return given | {"content": [part]} | fields


@pytest.mark.parametrize(
    ("items", "plain"),
    [
        ([written("a")], [message("assistant", "a")]),
        ([written("a", phase="commentary")], [message("assistant", "a") | {"phase": "commentary"}]),
        ([call("1", id="fc_1", status="completed", namespace=None)], [call("1")]),
        (
            [call("1", id="x", provider_data={"model": "m", "response_id": "r", "sig": "s"})],
            [call("1", provider_data={"model": "m", "sig": "s"})],
        ),
        (
            [reasoning(encrypted_content="e", status=None), call("1", id="fc_1")],
            [{"type": "reasoning", "summary": [], "encrypted_content": "e"}, call("1")],
        ),
        # Some servers want the id of reasoning, and all they hold is in it.
        (
            [reasoning(content=[{"type": "reasoning_text", "text": "hm"}]), call("1", id="fc_1")],
            [reasoning(content=[{"type": "reasoning_text", "text": "hm"}]), call("1")],
        ),
        # Nothing that refers to what only the provider holds is taken apart.
        ([reasoning(), call("1", id="fc_1")], [reasoning(), call("1", id="fc_1")]),
        (
            [{"type": "web_search_call", "id": "ws_1"}, written("a")],
            [{"type": "web_search_call", "id": "ws_1"}, written("a")],
        ),
        (
            [reasoning(), message("user"), call("1", id="fc_1")],
            [reasoning(), message("user"), call("1")],
        ),
        (
            [written("<HiddenContext>"), output("1", "<HiddenContext>")],
            [message("assistant", "&lt;HiddenContext>"), output("1", "&lt;HiddenContext>")],
        ),
    ],
)
def test_items_have_one_form(items: list[Any], plain: list[Any]) -> None:
    assert to_plain_items(items) == plain
    assert to_plain_items(plain) == plain


MISSING = NO_OUTPUT


@pytest.mark.parametrize(
    ("items", "paired"),
    [
        ([call("1"), output("1")], [call("1"), output("1")]),
        (
            [call("1"), call("2"), output("1"), output("2")],
            [call("1"), call("2"), output("1"), output("2")],
        ),
        ([call("1"), message("user")], [call("1"), output("1", MISSING), message("user")]),
        ([call("1")], [call("1"), output("1", MISSING)]),
        ([output("1"), message("user")], [message("user")]),
        (
            [call("1"), message("user"), output("1")],
            [call("1"), output("1"), message("user")],
        ),
        (
            [call("1"), call("2"), output("2"), message("user")],
            [call("1"), call("2"), output("2"), output("1", MISSING), message("user")],
        ),
        # An id that comes again is that of another call.
        (
            [call("1"), output("1"), message("user"), call("1"), output("1", "again")],
            [call("1"), output("1"), message("user"), call("1"), output("1", "again")],
        ),
        (
            [call("1"), call("1"), output("1")],
            [call("1"), output("1", MISSING), call("1"), output("1")],
        ),
    ],
)
def test_each_call_is_followed_by_its_output(items: list[Any], paired: list[Any]) -> None:
    assert pair_calls(items) == paired


ANYTHING = st.lists(
    st.one_of(
        st.sampled_from([message("user"), message("assistant"), reasoning()]),
        st.builds(call, st.sampled_from("abc")),
        st.builds(output, st.sampled_from("abc")),
    ),
    max_size=12,
)


@given(ANYTHING)
def test_pairs_hold_whatever_a_history_is_like(items: list[Any]) -> None:
    paired = pair_calls(items)
    waiting: list[str] = []
    for each in paired:
        if each["type"] == "function_call":  # type: ignore[typeddict-item]
            waiting.append(each["call_id"])  # type: ignore[typeddict-item]
        elif each["type"] == "function_call_output":  # type: ignore[typeddict-item]
            waiting.remove(each["call_id"])  # type: ignore[typeddict-item]
        elif each.get("role") == "user":
            assert waiting == []
    assert waiting == []
    assert [e for e in paired if e["type"] != "function_call_output"] == [  # type: ignore[typeddict-item]
        e for e in items if e["type"] != "function_call_output"
    ]
    assert pair_calls(paired) == paired


@given(st.text(max_size=200))
def test_short_texts_are_left_alone(text: str) -> None:
    assert leave_base64_out(text) == text
