"""Events as frames: the direct way of a text delta must be the generic one, byte for byte."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.chatkit.protocol.events import (
    AssistantMessageContentPartTextDelta,
    ClientEffectEvent,
    ProgressUpdateEvent,
    ThreadItemUpdatedEvent,
    WidgetStreamingTextValueDelta,
)
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.protocol.sse import encode_event, with_frame_id
from tests.support.samples import ITEMS

any_text = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"]),
        st.sampled_from('\x00\x08\x0b\x1f\x7f"\\/<>&\ud800\udfff\u2028\ufeff'),
    )
)


def text_event(item_id: str, index: int, text: str) -> ThreadItemUpdatedEvent:
    update = AssistantMessageContentPartTextDelta(content_index=index, delta=text)
    return ThreadItemUpdatedEvent(item_id=item_id, update=update)


@settings(deadline=None, max_examples=500)
@given(item_id=any_text, index=st.integers(), text=any_text)
@example(item_id="\x00\ud800", index=0, text="\ud800\x00")
def test_frame_of_a_text_delta_is_the_generic_dump_when_text_is_arbitrary(
    item_id: str, index: int, text: str
) -> None:
    event = text_event(item_id, index, text)
    frame = encode_event(event)
    assert frame == b"data: " + dump_wire(event) + b"\n\n"
    read = json.loads(frame[6:])
    assert "\x00" not in read["update"]["delta"] + read["item_id"]
    assert len(read["update"]["delta"]) == len(text)


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, 0x7F, 0x85, 0x2028, 0xFFFF, 0x1F600])
def test_frame_of_a_text_delta_is_one_line_when_text_holds_a_special_character(code: int) -> None:
    frame = encode_event(text_event("msg_1", 0, f"a{chr(code)}b"))
    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n") == 2
    assert b"\r" not in frame
    text = json.loads(frame[6:])["update"]["delta"]
    assert text == ("a\ufffdb" if code == 0 else f"a{chr(code)}b")


@given(text=any_text, data=st.dictionaries(any_text, any_text))
def test_frame_is_valid_json_when_other_events_carry_arbitrary_text(
    text: str, data: dict[str, str]
) -> None:
    for event in (
        ProgressUpdateEvent(text=text),
        ClientEffectEvent(name=text, data=data),
        ThreadItemUpdatedEvent(
            item_id=text,
            update=WidgetStreamingTextValueDelta(component_id="a", delta=text, done=True),
        ),
    ):
        frame = encode_event(event)
        assert frame.count(b"\n") == 2
        read = json.loads(frame[6:].decode())
        assert "\x00" not in json.dumps(read, ensure_ascii=False)


def test_unicode_is_not_escaped_when_it_is_sent() -> None:
    assert "äöü 🎈".encode() in encode_event(text_event("msg_1", 0, "äöü 🎈"))
    assert "äöü 🎈".encode() in encode_event(ProgressUpdateEvent(text="äöü 🎈"))


def test_frame_has_an_id_line_when_it_is_numbered() -> None:
    assert with_frame_id(b"data: {}\n\n", "run_1:7") == b"id: run_1:7\ndata: {}\n\n"


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_nulls_are_left_out_but_kept_in_free_data_when_an_item_is_dumped(item: object) -> None:
    dumped = json.loads(dump_wire(item))  # type: ignore[arg-type]
    assert "metadata" not in json.dumps(dumped)
    free = ("arguments", "output", "payload", "data", "content")
    for path, value in _walk(dumped):
        assert value is not None or any(name in path for name in free), path
    if dumped["id"] == "call":
        assert dumped["arguments"] == {"z": None, "a": [1, 2.5, "x", {"b": None}]}


def _walk(value: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    found = [(path, value)]
    if isinstance(value, dict):
        for name, each in value.items():
            found += _walk(each, (*path, name))
    elif isinstance(value, list):
        for each in value:
            found += _walk(each, path)
    return found
