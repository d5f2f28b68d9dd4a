"""Whatever a client sends, the engine answers or refuses it, and says which field is wrong."""

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.chatkit.actions import Action
from app.chatkit.context import RequestContext
from app.chatkit.errors import InvalidRequestError, NotFoundError, RequestRefusedError
from app.chatkit.protocol.events import SyncCustomActionResponse
from app.chatkit.protocol.items import InferenceOptions, UserMessageInput, UserMessageTextContent
from app.chatkit.protocol.requests import (
    REQUEST_ADAPTER,
    NonStreamingReq,
    StreamingReq,
    StructuredInputAnswerSubmission,
    TranscriptionResult,
)
from app.chatkit.server import NonStreamingResult, StreamingResult, parse_request
from app.chatkit.store import Store
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from tests.chatkit.scripted_server import ADA, ActingServer, body, done, fill, message, read_frame
from tests.chatkit.turn_requests import pending_call, questions, submit, widget
from tests.chatkit.uploads import Uploads
from tests.support.memory_store import MemoryStore
from tests.support.samples import THREAD_ID, answer, file, hidden, question

EXPECTED = (NotFoundError, RequestRefusedError)
MEGABYTE = 1_000_000


class Server(ActingServer):
    """Offers everything."""

    def __init__(self, store: Store[RequestContext]) -> None:
        super().__init__([done(answer("new", "Hi"))], store, Uploads([]))

    def chatkit_check_action(self, *args: Any, **kwargs: Any) -> None:
        """Let every action through: which ones are refused is told in test_actions.py."""

    async def sync_action(self, *args: Any) -> SyncCustomActionResponse:
        return SyncCustomActionResponse(updated_item=args[2])

    async def transcribe(self, *args: Any) -> TranscriptionResult:
        return TranscriptionResult(text="x")


async def create_server(
    store: Store[RequestContext] | None = None, context: RequestContext = ADA
) -> Server:
    """Return a server with a thread in which every request has something to refer to."""
    store = store or MemoryStore()
    await store.save_attachment(file(), context)
    items = [question("q"), answer("a", "x"), questions(), widget(), hidden("h"), pending_call()]
    await fill(store, context, *items)
    return Server(store)


async def process(server: Server, request: Any, context: RequestContext = ADA) -> list[Any]:
    """Carry a request out, and check that a stream which has begun ends without a failure."""
    result = await server.process(request, context)
    if isinstance(result, NonStreamingResult):
        return [json.loads(result.json)]
    assert isinstance(result, StreamingResult)
    events: list[Any] = []
    try:
        async for frame in result:
            events.append(read_frame(frame))
    except EXPECTED:
        assert events == []
        raise
    assert not [each for each in events if each["type"] == "error"]
    return events


def refuse(request: str | bytes) -> InvalidRequestError:
    """Return the error with which a body is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(request)
    assert len(str(caught.value)) < 2000
    return caught.value


# --- not JSON ------------------------------------------------------------------------------------

LIST = '{"type":"threads.list","params":{"after":"%s"}}'


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"threads.list"',
        b"1",
        b"nonsense",
        body("threads.list")[:-1],
        body("threads.list") + b"x",
        body("threads.list") * 2,
        b"\xef\xbb\xbf" + body("threads.list"),
        "\ufeff" + body("threads.list").decode(),
        body("threads.list").decode().encode("utf-16"),
        body("threads.list").replace(b'"', b"'"),
        b'{"type":"threads.list","params":{},}',
        b'{"type":"threads.list","params":{} /* a comment */}',
        (LIST % "a\x00b").encode(),
        (LIST % "a\nb").encode(),
        b'{"type":"threads.list","params":{"limit":' + b"9" * 5000 + b"}}",
    ],
)
def test_body_is_refused_when_it_is_not_a_json_object(request_body: str | bytes) -> None:
    refuse(request_body)


@pytest.mark.parametrize(
    "text",
    [
        b"\\ud800",
        b"\\udc00",
        b"\\ud800\\ud800",
        b"\\udc00\\ud800",
        b"\\ud800x",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xf5\x80\x80\x80",
    ],
)
def test_body_is_refused_when_its_text_is_not_unicode(text: bytes) -> None:
    refuse(LIST.encode().replace(b"%s", text))


def test_body_is_refused_when_it_is_text_with_a_lone_surrogate() -> None:
    refuse(LIST % "\ud800")


def test_characters_beyond_the_first_plane_are_kept_when_they_are_escaped() -> None:
    request: Any = parse_request(LIST % "\\ud83c\\udf88")
    assert request.params.after == "🎈"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    "template",
    [
        '{"type":"threads.list","params":{"limit":%s}}',
        '{"type":"threads.list","params":{},"metadata":{"a":%s}}',
        '{"type":"threads.add_client_tool_output","params":{"thread_id":"t","result":[%s]}}',
        '{"type":"threads.custom_action","params":{"thread_id":"t","action":'
        '{"type":"a","payload":{"a":%s}}}}',
        '{"type":"threads.list","params":{},"unknown":%s}',
    ],
)
def test_body_is_refused_when_it_holds_numbers_that_json_does_not_have(
    template: str, number: str
) -> None:
    refuse(template % number)


def test_words_for_odd_numbers_are_kept_when_they_are_text() -> None:
    assert parse_request(LIST % "NaN Infinity").params.after == "NaN Infinity"  # type: ignore[union-attr]


DEEP = 10_000


@pytest.mark.parametrize(
    "value",
    ["[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "[" * DEEP, "[{" * DEEP],
)
@pytest.mark.parametrize(
    "template",
    [
        "%s",
        '{"type":"threads.list","params":{},"metadata":{"a":%s}}',
        '{"type":"threads.list","params":{},"unknown":%s}',
        '{"type":"threads.add_client_tool_output","params":{"thread_id":"t","result":%s}}',
    ],
)
def test_body_is_refused_when_it_is_thousands_of_levels_deep(template: str, value: str) -> None:
    refuse(template % value)


async def test_output_comes_back_when_it_is_as_deep_as_the_parser_allows() -> None:
    value = "[" * 150 + "]" * 150
    server = await create_server()
    request = body("threads.add_client_tool_output", thread_id=THREAD_ID, result="?")
    await process(server, request.replace(b'"?"', value.encode()))
    page = json.loads(await server.store.chatkit_load_items_json(THREAD_ID, None, 100, "asc", ADA))
    assert json.dumps(page["data"][-2]["output"], separators=(",", ":")) == value


# --- JSON, but not a request ---------------------------------------------------------------------

CREATE = {"input": message()}


@pytest.mark.parametrize(
    ("request_json", "field"),
    [
        ({}, "type"),
        ({"params": {}}, "type"),
        ({"type": "threads.unknown", "params": {}}, "type"),
        ({"type": None, "params": {}}, "type"),
        ({"type": 5, "params": {}}, "type"),
        ({"type": ["threads.list"], "params": {}}, "type"),
        ({"type": "x" * MEGABYTE, "params": {}}, "type"),
        ({"type": "threads.list"}, "params"),
        ({"type": "threads.list", "params": None}, "params"),
        ({"type": "threads.list", "params": []}, "params"),
        ({"type": "threads.list", "params": {}, "metadata": None}, "metadata"),
        ({"type": "threads.list", "params": {}, "metadata": [1]}, "metadata"),
        ({"type": "threads.list", "params": {"limit": "x"}}, "params.limit"),
        ({"type": "threads.list", "params": {"limit": 1.5}}, "params.limit"),
        ({"type": "threads.list", "params": {"limit": [1]}}, "params.limit"),
        ({"type": "threads.list", "params": {"order": "up"}}, "params.order"),
        ({"type": "threads.list", "params": {"order": None}}, "params.order"),
        ({"type": "threads.list", "params": {"after": 1}}, "params.after"),
        ({"type": "threads.get_by_id", "params": {}}, "params.thread_id"),
        ({"type": "threads.get_by_id", "params": {"thread_id": None}}, "params.thread_id"),
        ({"type": "threads.get_by_id", "params": {"thread_id": 1}}, "params.thread_id"),
        ({"type": "threads.get_by_id", "params": {"thread_id": {}}}, "params.thread_id"),
        ({"type": "threads.create", "params": {}}, "params.input"),
        ({"type": "threads.create", "params": {"input": {}}}, "params.input.content"),
        (
            {"type": "threads.create", "params": {"input": message(attachments=None)}},
            "params.input.attachments",
        ),
        (
            {"type": "threads.create", "params": {"input": message(attachments=[1])}},
            "params.input.attachments.0",
        ),
        (
            {"type": "threads.create", "params": {"input": message(inference_options=None)}},
            "params.input.inference_options",
        ),
        (
            {"type": "threads.create", "params": {"input": message(content="Hello")}},
            "params.input.content",
        ),
        (
            {"type": "threads.create", "params": {"input": message(content=[{}])}},
            "params.input.content.0.type",
        ),
        (
            {"type": "threads.create", "params": {"input": message(content=[{"type": "x"}])}},
            "params.input.content.0.type",
        ),
        (
            {
                "type": "threads.custom_action",
                "params": {"thread_id": "t", "action": {"payload": 1}},
            },
            "params.action.type",
        ),
        (
            {"type": "threads.custom_action", "params": {"thread_id": "t", "action": None}},
            "params.action",
        ),
        (
            {"type": "items.feedback", "params": {"thread_id": "t", "item_ids": "a", "kind": "x"}},
            "params.item_ids",
        ),
        (
            {"type": "items.feedback", "params": {"thread_id": "t", "item_ids": [], "kind": "x"}},
            "params.kind",
        ),
        (
            {
                "type": "threads.add_structured_input",
                "params": {"thread_id": "t", "item_id": "i", "input": {"answers": {"a.b": 5}}},
            },
            "params.input.answers.a.b",
        ),
        ({"type": "threads.add_client_tool_output", "params": {"thread_id": "t"}}, "params.result"),
        (
            {"type": "attachments.create", "params": {"name": "a", "mime_type": "b", "size": "?"}},
            "params.size",
        ),
    ],
)
def test_field_is_named_when_it_is_missing_or_of_a_wrong_type(
    request_json: Any, field: str
) -> None:
    error = refuse(json.dumps(request_json))
    assert error.field == field
    assert field in str(error)


def test_field_is_named_inside_a_part_of_the_message_when_it_is_missing() -> None:
    params = {
        "input": message(content=[{"type": "input_text", "text": "a"}, {"type": "input_tag"}])
    }
    error = refuse(json.dumps({"type": "threads.create", "params": params}))
    assert error.field is not None
    assert error.field.startswith("params.input.content.1.")
    assert error.field.endswith(".id")


def test_message_is_short_when_what_is_wrong_is_long() -> None:
    answers = {"x" * MEGABYTE: 5}
    params = {"thread_id": "t", "item_id": "i", "input": {"answers": answers}}
    refuse(json.dumps({"type": "threads.add_structured_input", "params": params}))


@pytest.mark.parametrize(
    "request_body",
    [
        body("items.feedback", thread_id="t", kind="positive", item_ids=[0] * 1000),
        body("threads.create", input=message(content=[0] * 1000)),
        body("threads.create", input=message(attachments=[0] * 1000)),
        submit(answers={"one": {"values": [0] * 1000}}),
    ],
)
def test_one_error_is_collected_when_a_long_list_is_wrong_throughout(request_body: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        REQUEST_ADAPTER.validate_json(request_body)
    assert caught.value.error_count() == 1


async def test_limit_is_refused_by_name_when_it_is_negative() -> None:
    server = await create_server()
    for request_type, params in (("threads.list", {}), ("items.list", {"thread_id": THREAD_ID})):
        for limit in (-1, -(10**30)):
            with pytest.raises(InvalidRequestError) as caught:
                await process(server, body(request_type, limit=limit, **params))
            assert caught.value.field == "params.limit"


# --- accepted, as the official models do ---------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("5", 5),
        (True, 1),
        (2.0, 2),
        ("2.0", 2),
        (None, 5),
        (0, 5),
        (False, 5),
        (10**6, 5),
        (2**63, 5),
        (10**40, 5),
        ("9" * 40, 5),
    ],
)
async def test_limit_is_taken_when_it_is_lax_or_huge(limit: Any, count: int) -> None:
    server = await create_server()
    request = body("items.list", thread_id=THREAD_ID, limit=limit)
    [page] = await process(server, request)
    assert len(page["data"]) == count
    assert page["has_more"] is (count < 5)


def test_unknown_fields_are_ignored_wherever_they_are() -> None:
    def create(**extra: Any) -> str:
        content = [{"type": "input_text", "text": "Hi", **extra}]
        options = {"model": "m", "tool_choice": {"id": "t", **extra}, **extra}
        given = message(content=content, inference_options=options, **extra)
        params = {"input": given, **extra}
        return json.dumps({"type": "threads.create", "params": params, **extra})

    assert parse_request(create(x=[{"y": None}])) == parse_request(create())


@pytest.mark.parametrize(
    ("request_body", "attribute", "value"),
    [
        ('{"type":"threads.delete","type":"threads.list","params":{}}', "type", "threads.list"),
        (
            '{"type":"threads.list","params":{"after":"a"},"params":{"after":"b"}}',
            "params.after",
            "b",
        ),
        ('{"type":"threads.list","params":{"after":"a","after":"b"}}', "params.after", "b"),
        (
            '{"type":"threads.list","params":{},"metadata":{"a":1,"a":2}}',
            "metadata",
            {"a": 2},
        ),
    ],
)
def test_last_of_duplicate_keys_counts(request_body: str, attribute: str, value: Any) -> None:
    found: Any = parse_request(request_body)
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == value


def test_nul_is_replaced_wherever_it_is_escaped() -> None:
    given_json = {
        "type": "threads.custom_action",
        "params": {
            "thread_id": "t\x00",
            "action": {"type": "a\x00", "payload": {"k\x00": ["v\x00", "\\u0000"]}},
        },
        "metadata": {"m\x00": "\x00\x00"},
    }
    request: Any = parse_request(json.dumps(given_json))
    assert request.params.thread_id == "t\ufffd"
    assert request.params.action == Action[str, Any](
        type="a\ufffd", payload={"k\ufffd": ["v\ufffd", "\\u0000"]}
    )
    assert request.metadata == {"m\ufffd": "\ufffd\ufffd"}


async def test_long_text_goes_through_when_it_is_sent() -> None:
    long = "äx" * 100_000
    server = await create_server()
    events = await process(server, body("threads.create", input=message(long, quoted_text=long)))
    assert events[1]["item"]["content"][0]["text"] == long
    thread_id = events[0]["thread"]["id"]
    [page] = await process(server, body("items.list", thread_id=thread_id))
    assert page["data"][-1]["quoted_text"] == long
    title = long[:500]
    [thread] = await process(server, body("threads.update", thread_id=thread_id, title=title))
    assert thread["title"] == title


ID_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("threads.get_by_id", {}, "thread_id"),
    ("threads.list", {}, "after"),
    ("items.list", {}, "thread_id"),
    ("items.list", {"thread_id": THREAD_ID}, "after"),
    ("threads.update", {"title": "t"}, "thread_id"),
    ("threads.delete", {}, "thread_id"),
    ("items.feedback", {"item_ids": ["a"], "kind": "positive"}, "thread_id"),
    ("items.feedback", {"thread_id": THREAD_ID, "kind": "positive"}, "item_ids"),
    ("attachments.delete", {}, "attachment_id"),
    ("threads.add_user_message", {"input": message()}, "thread_id"),
    ("threads.add_user_message", {"thread_id": THREAD_ID}, "attachments"),
    ("threads.create", {}, "attachments"),
    ("threads.add_client_tool_output", {"result": 1}, "thread_id"),
    ("threads.add_structured_input", {"item_id": "questions", "input": {}}, "thread_id"),
    ("threads.add_structured_input", {"thread_id": THREAD_ID, "input": {}}, "item_id"),
    ("threads.retry_after_item", {"item_id": "q"}, "thread_id"),
    ("threads.retry_after_item", {"thread_id": THREAD_ID}, "item_id"),
    ("threads.custom_action", {"action": {"type": "a"}}, "thread_id"),
    ("threads.custom_action", {"thread_id": THREAD_ID, "action": {"type": "a"}}, "item_id"),
    ("threads.sync_custom_action", {"action": {"type": "a"}}, "thread_id"),
    ("threads.sync_custom_action", {"thread_id": THREAD_ID, "action": {"type": "a"}}, "item_id"),
]
INVENTED = ["unknown", "\x00", "'; DROP TABLE threads; --", "%", "x" * MEGABYTE, "🎈"]


def with_id(request_type: str, params: dict[str, Any], field: str, value: str) -> bytes:
    if field == "attachments":
        return body(request_type, input=message(attachments=[value]), **params)
    return body(request_type, **params, **{field: [value] if field == "item_ids" else value})


@pytest.mark.parametrize(("request_type", "params", "field"), ID_FIELDS)
async def test_nothing_is_found_when_an_id_is_invented_or_anothers(
    request_type: str, params: dict[str, Any], field: str
) -> None:
    server = await create_server()
    for value in INVENTED:
        with pytest.raises(NotFoundError):
            await process(server, with_id(request_type, params, field, value))
    mine = {"thread_id": THREAD_ID, "attachments": "atc_1", "attachment_id": "atc_1"}
    value = mine.get(field, "a")
    with pytest.raises(NotFoundError):
        request = with_id(request_type, params, field, value)
        await process(server, request, RequestContext(user_id="bob"))


async def test_nothing_is_found_when_ids_are_invented_on_postgres(
    pool: ConnectionPool, user_id: str
) -> None:
    context = RequestContext(user_id=user_id)
    server = await create_server(PostgresStore(Database(pool)), context)
    for request_type, params, field in ID_FIELDS:
        for value in INVENTED:
            if value == "x" * MEGABYTE and request_type != "threads.get_by_id":
                continue
            with pytest.raises(NotFoundError):
                await process(server, with_id(request_type, params, field, value), context)


# --- any request ---------------------------------------------------------------------------------

REQUEST_CLASSES: list[type[BaseModel]] = [*get_args(StreamingReq), *get_args(NonStreamingReq)]
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
item_ids = st.sampled_from(["q", "a", "questions", "widget", "call"]) | text
# By the name of the field: what is there, most of the time.
references: dict[str, st.SearchStrategy[Any]] = {
    "thread_id": st.just(THREAD_ID) | st.just(THREAD_ID) | text,
    "item_id": item_ids,
    "item_ids": st.lists(item_ids, max_size=2),
    "attachment_id": st.just("atc_1") | text,
    "attachments": st.lists(st.just("atc_1") | text, max_size=2),
    "after": st.none() | st.just(THREAD_ID) | item_ids,
    "audio_base64": st.just("YQ==") | text,
}
any_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
limits = st.none() | st.integers(-2, 200) | st.integers()
answers = st.builds(
    StructuredInputAnswerSubmission, values=st.lists(text, max_size=2), skipped=st.booleans()
)
messages = st.builds(
    UserMessageInput,
    content=st.lists(st.builds(UserMessageTextContent, text=text), max_size=2),
    attachments=references["attachments"],
    quoted_text=st.none() | text,
    inference_options=st.builds(InferenceOptions, model=st.none() | text),
)


def fields_of(cls: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Return models of ``cls`` with texts that may refer to something."""
    given: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        if name in references:
            given[name] = references[name]
        elif name == "limit":
            given[name] = limits
        elif name == "answers":
            given[name] = st.dictionaries(st.just("one") | text, answers, max_size=3)
        elif name == "metadata":
            given[name] = st.dictionaries(text, any_json, max_size=2)
        elif name in ("result", "payload"):
            given[name] = any_json
        elif name == "action":
            given[name] = st.builds(Action[str, Any], type=text, payload=any_json)
        elif field.annotation is str:
            given[name] = text
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            is_message = field.annotation is UserMessageInput
            given[name] = messages if is_message else fields_of(field.annotation)
    return st.builds(cls, **given)


requests = st.sampled_from(REQUEST_CLASSES).flatmap(fields_of)


async def check(server: Server, request: str | bytes, context: RequestContext = ADA) -> bool:
    """Return whether the request was answered; anything but a clean refusal fails."""
    try:
        await process(server, request, context)
    except EXPECTED as error:
        assert str(error)
        return False
    return True


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests)
async def test_request_is_answered_or_refused_when_it_is_well_formed(request: BaseModel) -> None:
    given_json = request.model_dump_json()
    assert parse_request(given_json).model_dump_json() == given_json.replace("\\u0000", "\ufffd")
    await check(await create_server(), given_json)


@settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=requests, user=st.uuids())
async def test_request_is_answered_or_refused_when_the_store_is_postgres(
    pool: ConnectionPool, request: BaseModel, user: Any
) -> None:
    context = RequestContext(user_id=str(user))
    server = await create_server(PostgresStore(Database(pool)), context)
    await check(server, request.model_dump_json(), context)


@st.composite
def mutations(draw: Any) -> str:
    """A request in which one value was exchanged, or a piece of its text."""
    request = json.loads(draw(requests).model_dump_json())
    if draw(st.booleans()):
        node: Any = request
        while True:
            keys = sorted(node) if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(keys))
            if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
                break
            node = node[key]
        if draw(st.booleans()):
            node[key] = draw(any_json)
        else:
            del node[key]
        return json.dumps(request)
    written = json.dumps(request)
    start = draw(st.integers(0, len(written)))
    end = draw(st.integers(start, min(start + 5, len(written))))
    return written[:start] + draw(st.text(max_size=4)) + written[end:]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(request=mutations())
@example('{"type":"threads.list","params":{"limit":1e400}}')
@example('{"type":"threads.add_client_tool_output","params":{"thread_id":"thr_1","result":1e400}}')
async def test_request_is_answered_or_refused_when_it_was_tampered_with(request: str) -> None:
    await check(await create_server(), request)


@settings(deadline=None, max_examples=200)
@given(request=st.binary(max_size=40) | st.text(max_size=40))
async def test_body_is_refused_when_it_is_noise(request: str | bytes) -> None:
    assert not await check(Server(MemoryStore()), request)


def test_every_request_is_generated_when_requests_are_drawn() -> None:
    assert len(set(REQUEST_CLASSES)) == 16


async def test_infinite_number_becomes_null_when_it_is_valid_json_but_too_large() -> None:
    server = await create_server()
    request = body("threads.add_client_tool_output", thread_id=THREAD_ID, result="?")
    await process(server, request.replace(b'"?"', b"[1e400,-1e400]"))
    page = await server.store.chatkit_load_items_json(THREAD_ID, None, 100, "asc", ADA)
    calls = [each for each in json.loads(page)["data"] if each["type"] == "client_tool_call"]
    assert calls[0]["output"] == [None, None]
