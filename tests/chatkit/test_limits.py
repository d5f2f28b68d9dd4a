"""What one request may bring in: bounded, and the error says which field is too large."""

import json
from typing import Any

import pytest

from app.chatkit.errors import InvalidRequestError, NotFoundError
from app.chatkit.server import parse_request
from app.chatkit.server.limits import MAX_ID, MAX_VALUES, RequestLimits

DEFAULT = RequestLimits()


def body(request_type: str, **params: Any) -> bytes:
    return json.dumps({"type": request_type, "params": params}).encode()


def text(length: int) -> dict[str, Any]:
    return {"type": "input_text", "text": "ä" * length}


def mention(data: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "input_tag", "id": "1", "text": "t", "data": data or {}} | fields


def create(*content: Any, **fields: Any) -> bytes:
    message = {"content": content, "attachments": [], "inference_options": {}} | fields
    return body("threads.create", input=message)


def add(*content: Any, **fields: Any) -> bytes:
    message = {"content": content, "attachments": [], "inference_options": {}} | fields
    return body("threads.add_user_message", thread_id="thr_1", input=message)


def submit(answers: Any) -> bytes:
    form = {"thread_id": "t", "item_id": "i", "input": {"answers": answers}}
    return body("threads.add_structured_input", **form)


def act(kind: str, payload: Any) -> bytes:
    return body(kind, thread_id="t", item_id="i", action={"type": "go", "payload": payload})


LIMIT = DEFAULT.message_chars
INPUT = "params.input"

TOO_LARGE: list[tuple[bytes, str]] = [
    (create(text(LIMIT + 1)), f"{INPUT}.content.0.text"),
    (create(text(LIMIT), text(1)), f"{INPUT}.content.1.text"),
    (create(text(LIMIT), mention(text="tt")), f"{INPUT}.content.1.text"),
    (add(text(LIMIT + 1)), f"{INPUT}.content.0.text"),
    (add(*[text(1)] * 101), f"{INPUT}.content"),
    (add(*[mention()] * 101), f"{INPUT}.content"),
    (add(mention({"url": "x" * 70_000})), f"{INPUT}.content.0.data"),
    (add(mention({"a": "ä" * 20_000}), mention({"a": "ä" * 20_000})), f"{INPUT}.content.1.data"),
    (add(mention(id="x" * 600)), f"{INPUT}.content.0.id"),
    (add(mention(group="x" * 600)), f"{INPUT}.content.0.group"),
    (add(quoted_text="ä" * (LIMIT + 1)), f"{INPUT}.quoted_text"),
    (add(attachments=[f"atc_{i}" for i in range(101)]), f"{INPUT}.attachments"),
    (add(inference_options={"model": "x" * 600}), f"{INPUT}.inference_options.model"),
    (
        add(inference_options={"tool_choice": {"id": "x" * 600}}),
        f"{INPUT}.inference_options.tool_choice.id",
    ),
    (body("threads.update", thread_id="t", title="ä" * 501), "params.title"),
    (act("threads.custom_action", {"a": "x" * 300_000}), "params.action.payload"),
    (act("threads.sync_custom_action", ["x" * 300_000]), "params.action.payload"),
    (
        body("threads.add_client_tool_output", thread_id="t", result="x" * 1_100_000),
        "params.result",
    ),
    (submit({"q": {"values": ["x" * (LIMIT + 1)]}}), f"{INPUT}.answers.q.values"),
    (submit({"q": {"values": ["x"] * 1001}}), f"{INPUT}.answers.q.values"),
    (submit({f"q{i}": {} for i in range(1001)}), f"{INPUT}.answers"),
    (submit({"x" * 600: {}}), f"{INPUT}.answers"),
    (
        body("items.feedback", thread_id="t", item_ids=["a"] * 1001, kind="positive"),
        "params.item_ids",
    ),
    (
        body("input.transcribe", audio_base64="", mime_type="x" * 600),
        "params.mime_type",
    ),
    (body("attachments.create", name="x" * 5000, size=1, mime_type="a/b"), "params.name"),
    (body("attachments.create", name="x", size=1, mime_type="x" * 600), "params.mime_type"),
]

JUST_RIGHT = [
    create(text(LIMIT)),
    create(*[text(LIMIT // 100)] * 100),
    add(mention({"a": "x" * 65_000}), quoted_text="ä" * LIMIT),
    add(attachments=[f"atc_{i}" for i in range(100)]),
    body("threads.update", thread_id="t", title="ä" * 500),
    act("threads.custom_action", {"a": "x" * 250_000}),
    body("threads.add_client_tool_output", thread_id="t", result="x" * 1_000_000),
    submit({"q": {"values": ["x" * LIMIT]}}),
    body("items.feedback", thread_id="t", item_ids=["a"] * 1000, kind="positive"),
]


@pytest.mark.parametrize(("request_body", "field"), TOO_LARGE, ids=[f for _, f in TOO_LARGE])
def test_field_is_named_when_it_is_too_large(request_body: bytes, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse_request(request_body)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field}: ")
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("request_body", JUST_RIGHT, ids=range(len(JUST_RIGHT)))
def test_request_passes_when_it_is_as_large_as_is_allowed(request_body: bytes) -> None:
    parse_request(request_body)


def test_limit_of_a_message_is_the_operators() -> None:
    limits = RequestLimits(message_chars=10)
    parse_request(create(text(10), quoted_text="x" * 10), limits)
    for wrong in (create(text(11)), create(quoted_text="x" * 11)):
        with pytest.raises(InvalidRequestError, match="more than 10 characters"):
            parse_request(wrong, limits)


@pytest.mark.parametrize(
    "wrong",
    [
        body("threads.get_by_id", thread_id="x" * 100_000),
        body("threads.list", after="x" * 100_000),
        body("items.list", thread_id="t", after="x" * 100_000),
        body("attachments.delete", attachment_id="x" * 100_000),
        body("items.feedback", thread_id="t", item_ids=["x" * 100_000], kind="positive"),
        add(attachments=["x" * 100_000]),
    ],
)
def test_id_that_nothing_can_have_is_not_looked_for_nor_repeated(wrong: bytes) -> None:
    with pytest.raises(NotFoundError) as refusal:
        parse_request(wrong)
    assert len(str(refusal.value)) < MAX_ID


@pytest.mark.parametrize(
    "value", ["[" * 60 + "]" * 60, '{"k":0}', "0", '"a,b"', '[{"a":[]}]'], ids=ascii
)
def test_body_is_not_read_when_it_holds_too_many_values(value: str) -> None:
    metadata = "[" + ",".join([value] * (MAX_VALUES + 1)) + "]"
    wrong = f'{{"type":"threads.list","params":{{}},"metadata":{{"a":{metadata}}}}}'
    with pytest.raises(InvalidRequestError, match="more than 100000 values"):
        parse_request(wrong)


@pytest.mark.parametrize("character", list("[]{},:\"\\'"), ids=ascii)
def test_characters_of_a_text_are_no_values(character: str) -> None:
    parsed: Any = parse_request(create({"type": "input_text", "text": character * LIMIT}))
    assert parsed.params.input.content[0].text == character * LIMIT
