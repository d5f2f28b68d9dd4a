"""JSON bytes from models and free data, and what they are cleaned of."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chatkit.protocol.events import ClientEffectEvent
from app.chatkit.protocol.items import ThreadMetadata
from app.chatkit.protocol.serialization import (
    clean_json,
    clean_text,
    clean_value,
    dump_value,
    dump_wire,
    join_page,
)
from tests.support.samples import MOMENT, file

any_text = st.text(st.one_of(st.characters(), st.sampled_from("\x00\ud800\udfff\\u0")))
any_json: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), any_text),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(any_text, inner)),
    max_leaves=8,
)


@given(any_text)
def test_text_is_storable_when_it_was_cleaned(text: str) -> None:
    cleaned = clean_text(text)
    assert "\x00" not in cleaned
    assert len(cleaned) == len(text)
    cleaned.encode()
    for before, after in zip(text, cleaned, strict=True):
        assert after in (before, "\ufffd")


@given(any_json)
def test_json_holds_no_nul_when_it_was_cleaned(value: Any) -> None:
    escaped = json.dumps(_finite(clean_value_of_surrogates(value)))
    cleaned = json.loads(clean_json(escaped.encode()))
    assert cleaned == clean_value(json.loads(escaped))


def clean_value_of_surrogates(value: Any) -> Any:
    """Return ``value`` with surrogates replaced but NUL kept."""
    marked = _map_text(value, lambda text: text.replace("\x00", "\x01"))
    return _map_text(clean_value(marked), lambda text: text.replace("\x01", "\x00"))


def _map_text(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _map_text(each, change) for key, each in value.items()}
    return [_map_text(each, change) for each in value] if isinstance(value, list) else value


def _finite(value: Any) -> Any:
    """Return ``value`` without numbers that JSON does not have."""
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("given_json", "expected"),
    [
        (rb'"\u0000"', '"\ufffd"'),
        (rb'"\\u0000"', r'"\\u0000"'),
        (rb'"\\\u0000"', '"\\\\\ufffd"'),
        (rb'"\u0000\u0000\\\\u0000"', '"\ufffd\ufffd' + r'\\\\u0000"'),
        (rb'{"\u0000":1}', '{"\ufffd":1}'),
    ],
)
def test_only_escaped_nul_is_replaced_when_backslashes_come_first(
    given_json: bytes, expected: str
) -> None:
    assert clean_json(given_json).decode() == expected


def test_cleaning_is_quick_when_a_megabyte_of_backslashes_comes_first() -> None:
    data = b'"' + b"\\" * 1_000_000 + rb'\u0000"'
    assert clean_json(data) == data[:-7] + "\ufffd".encode() + b'"'


@given(any_json)
@example([float("nan"), "\ud800", float("inf")])
def test_free_data_is_json_when_it_holds_anything(value: Any) -> None:
    read = json.loads(dump_value(value), parse_constant=pytest.fail)
    assert read == _finite(clean_value(value))


@given(any_json)
def test_model_is_json_when_it_holds_anything(value: Any) -> None:
    event = ClientEffectEvent(name="x", data={"value": value})
    read = json.loads(dump_wire(event), parse_constant=pytest.fail)
    assert read["data"] == {"value": _finite(clean_value(value))}


def test_dump_is_the_same_but_for_the_text_when_a_surrogate_forces_the_slow_way() -> None:
    fields: dict[str, Any] = {"id": "t", "created_at": datetime(2030, 1, 2, tzinfo=UTC)}
    plain = dump_wire(ThreadMetadata(title="?", metadata={"a": None}, **fields))
    slow = dump_wire(ThreadMetadata(title="\ud800", metadata={"a": None}, **fields))
    assert slow.decode().replace("\ufffd", "?") == plain.decode()
    assert b'"2030-01-02T00:00:00Z"' in slow


def test_dump_fails_when_a_value_is_no_json() -> None:
    with pytest.raises(ValueError, match="serialize"):
        dump_wire(ClientEffectEvent(name="x", data={"value": object()}))


def test_attachment_metadata_is_left_out_when_a_client_gets_it() -> None:
    assert json.loads(dump_wire(file())) == {
        "id": "atc_1",
        "name": "Über.pdf",
        "mime_type": "application/pdf",
        "upload_descriptor": {
            "url": "https://files.example/1?a=b",
            "method": "PUT",
            "headers": {"x-a": "b"},
        },
        "type": "file",
    }


def test_timestamps_say_that_they_are_in_utc_when_dumped() -> None:
    assert b'"2030-01-02T03:04:05.678901Z"' in dump_wire(ThreadMetadata(id="t", created_at=MOMENT))


def test_cursor_is_there_only_when_there_is_more() -> None:
    assert join_page([b"1"], has_more=False, after="a") == b'{"data":[1],"has_more":false}'
    assert join_page([], has_more=False, after=None) == b'{"data":[],"has_more":false}'
    assert join_page([b"1", b"2"], has_more=True, after='q"') == (
        b'{"data":[1,2],"has_more":true,"after":"q\\""}'
    )
