"""Whatever a handler yields, the stream and the store tell the same story.

A client that has applied every event holds what a client that reloads gets: the same items, in the
same order, with the same content.
"""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.chatkit.context import RequestContext
from app.chatkit.errors import CustomStreamError, StreamError
from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    ClientEffectEvent,
    ErrorCode,
    ErrorEvent,
    GeneratedImageUpdated,
    NoticeEvent,
    ProgressUpdateEvent,
    StreamOptions,
    StreamOptionsEvent,
    ThreadCreatedEvent,
    ThreadStreamEvent,
    ThreadUpdatedEvent,
    WidgetComponentUpdated,
    WidgetRootUpdated,
    WidgetStreamingTextValueDelta,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageItem,
    ClientToolCallItem,
    CustomTask,
    EndOfTurnItem,
    GeneratedImage,
    GeneratedImageItem,
    HiddenContextItem,
    Page,
    SDKHiddenContextItem,
    StructuredInputFreeform,
    StructuredInputItem,
    TaskItem,
    ThoughtTask,
    Thread,
    ThreadItem,
    URLSource,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from app.chatkit.store import Store
from app.chatkit.widgets import Button, Card, Markdown, Row, Text
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.store import PostgresStore
from tests.chatkit.reference_client import ReferenceClient
from tests.chatkit.scripted_server import (
    ADA,
    ScriptedServer,
    added,
    delta,
    done,
    fill,
    open_stream,
    read_frame,
    removed,
    replaced,
    say,
    updated,
    visible,
)
from tests.support.memory_store import MemoryStore
from tests.support.samples import MOMENT, THREAD_ID, answer, base, hidden, question

text = st.text(st.sampled_from("ab \n\x00\ud800\udc00ä🎈"), max_size=4)
item_ids = st.sampled_from(["a", "b", "c", "d", "stored", "stored_widget"])
hidden_ids = st.sampled_from(["h1", "h2", "stored_hidden"])
indexes = st.integers(-1, 3)

annotations = st.builds(
    Annotation,
    source=st.builds(URLSource, title=text, url=st.just("https://example.org")),
    index=st.none() | indexes,
)
parts = st.builds(AssistantMessageContent, text=text, annotations=st.lists(annotations, max_size=1))
tasks = st.builds(CustomTask, title=text) | st.builds(ThoughtTask, content=text)
images = st.builds(GeneratedImage, id=text, url=text)
leaves = st.builds(
    Text, id=st.sampled_from(["t", "u", None]), value=text, streaming=st.sampled_from([None, True])
) | st.builds(Markdown, id=st.sampled_from(["t", "u", None]), value=text)
components = leaves | st.builds(Row, children=st.lists(leaves, max_size=2)) | st.just(Button())
cards = st.builds(Card, children=st.lists(components, max_size=3))


def of_kind(kind: Any, ids: st.SearchStrategy[str], **fields: Any) -> st.SearchStrategy[Any]:
    return st.builds(lambda item_id, **rest: kind(**base(item_id), **rest), ids, **fields)


visible_items: st.SearchStrategy[ThreadItem] = st.one_of(
    of_kind(AssistantMessageItem, item_ids, content=st.lists(parts, max_size=2)),
    of_kind(WidgetItem, item_ids, widget=cards, copy_text=st.none() | text),
    of_kind(
        WorkflowItem,
        item_ids,
        workflow=st.builds(
            Workflow,
            type=st.sampled_from(["custom", "reasoning"]),
            tasks=st.lists(tasks, max_size=2),
        ),
    ),
    of_kind(GeneratedImageItem, item_ids, image=st.none() | images),
    of_kind(TaskItem, item_ids, task=tasks),
    of_kind(EndOfTurnItem, item_ids),
    of_kind(
        ClientToolCallItem,
        item_ids,
        call_id=text,
        name=text,
        arguments=st.dictionaries(text, st.none() | text, max_size=2),
        status=st.sampled_from(["pending", "completed"]),
    ),
    of_kind(
        StructuredInputItem,
        item_ids,
        inputs=st.lists(st.builds(StructuredInputFreeform, id=text, question=text), max_size=1),
    ),
)
hidden_items = of_kind(HiddenContextItem, hidden_ids, content=st.none() | text) | of_kind(
    SDKHiddenContextItem, hidden_ids, content=text
)
message_updates = st.one_of(
    st.builds(AssistantMessageContentPartAdded, content_index=indexes, content=parts),
    st.builds(AssistantMessageContentPartTextDelta, content_index=indexes, delta=text),
    st.builds(
        AssistantMessageContentPartAnnotationAdded,
        content_index=indexes,
        annotation_index=indexes,
        annotation=annotations,
    ),
    st.builds(AssistantMessageContentPartDone, content_index=indexes, content=parts),
)
widget_updates = st.one_of(
    st.builds(
        WidgetStreamingTextValueDelta,
        component_id=st.sampled_from("tux"),
        delta=text,
        done=st.booleans(),
    ),
    st.builds(WidgetRootUpdated, widget=cards),
    st.builds(WidgetComponentUpdated, component_id=st.sampled_from("tux"), component=components),
)
other_updates = st.one_of(
    st.builds(WorkflowTaskAdded, task_index=indexes, task=tasks),
    st.builds(WorkflowTaskUpdated, task_index=indexes, task=tasks),
    st.builds(GeneratedImageUpdated, image=images, progress=st.none()),
)
thread = Thread(id=THREAD_ID, created_at=MOMENT, items=Page(data=[hidden("h1"), answer("x")]))
events: st.SearchStrategy[ThreadStreamEvent] = st.one_of(
    visible_items.map(added),
    visible_items.map(added),
    visible_items.map(done),
    visible_items.map(done),
    visible_items.map(replaced),
    hidden_items.map(added) | hidden_items.map(done) | hidden_items.map(replaced),
    (item_ids | hidden_ids | st.just("unknown")).map(removed),
    st.builds(updated, item_ids, message_updates),
    st.builds(updated, item_ids, widget_updates),
    st.builds(updated, item_ids, other_updates),
    st.builds(
        updated,
        hidden_ids | st.just("unknown"),
        message_updates | widget_updates | other_updates,
    ),
    st.sampled_from(
        [
            ProgressUpdateEvent(text="…"),
            ClientEffectEvent(name="x", data={"a": None}),
            NoticeEvent(level="info", message="m"),
            ErrorEvent(message="own"),
            StreamOptionsEvent(stream_options=StreamOptions(allow_cancel=False)),
            ThreadUpdatedEvent(thread=thread),
            ThreadCreatedEvent(thread=thread),
        ]
    ),
)
endings = st.sampled_from(
    [None, None, ValueError("x"), CustomStreamError("y"), StreamError(ErrorCode.STREAM_ERROR)]
)


async def check_story(
    store: Store[RequestContext],
    context: RequestContext,
    script: list[ThreadStreamEvent],
    ending: Exception | None,
) -> None:
    """Play ``script`` in a thread that holds a few items, and compare the two stories."""
    card = Card(children=[Text(id="t", value="stored")])
    await fill(
        store,
        context,
        question("first"),
        answer("stored", "stored"),
        hidden("stored_hidden"),
        WidgetItem(**base("stored_widget"), widget=card),
    )

    async def respond(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        for event in script:
            yield event
        if ending is not None:
            raise ending

    client = ReferenceClient(await visible(store, context))
    result = await open_stream(ScriptedServer(respond, store), say(), context)
    async for frame in result:
        event = read_frame(frame)
        client.apply(event)
        item = event.get("item", {})
        assert item.get("type") not in ("hidden_context_item", "sdk_hidden_context")
        for each in event.get("thread", {}).get("items", {}).get("data", []):
            assert each["type"] != "hidden_context_item"
    assert client.items == await visible(store, context)
    failures = [each for each in client.events if each["type"] == "error"]
    own = sum(isinstance(each, ErrorEvent) for each in script)
    assert len(failures) == own + (ending is not None)
    if ending is not None:
        assert client.pending == set()


stories = given(script=st.lists(events, max_size=12), ending=endings)


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@stories
@example([added(answer("a")), added(answer("b")), done(answer("b", "B")), delta("a", "A")], None)
@example([added(answer("stored", "new")), delta("stored", "er")], ValueError("x"))
@example([added(answer("a")), done(answer("b", "B")), removed("a")], None)
@example([delta("a", "early"), done(answer("a", "A")), delta("a", "late")], None)
@example(
    [added(GeneratedImageItem(**base("a"))), done(answer("b", "B")), done(answer("c", "C"))],
    ValueError("x"),
)
async def test_store_and_stream_tell_the_same_story_when_anything_is_yielded(
    script: list[ThreadStreamEvent], ending: Exception | None
) -> None:
    await check_story(MemoryStore(), ADA, script, ending)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@stories
async def test_store_and_stream_tell_the_same_story_when_the_store_is_postgres(
    pool: ConnectionPool, script: list[ThreadStreamEvent], ending: Exception | None
) -> None:
    context = RequestContext(user_id=uuid.uuid4().hex)
    await check_story(PostgresStore(Database(pool)), context, script, ending)


def finished_out_of_order() -> list[ThreadStreamEvent]:
    return [
        added(answer("a")),
        added(answer("b")),
        delta("a", "A1"),
        delta("b", "B"),
        done(answer("b", "B")),
        delta("a", "A2"),
    ]


@pytest.mark.parametrize(
    ("rest", "ending", "expected"),
    [
        ([done(answer("a", "A"))], None, ["a", "b"]),
        ([], None, ["a", "b"]),
        ([], ValueError("x"), ["a", "b"]),
        ([removed("a")], None, ["b"]),
        ([replaced(answer("a", "A"))], None, ["a", "b"]),
    ],
)
async def test_items_keep_the_order_they_were_announced_in_when_a_later_one_ends_first(
    rest: list[ThreadStreamEvent], ending: Exception | None, expected: list[str]
) -> None:
    store = MemoryStore()
    await check_story(store, ADA, [*finished_out_of_order(), *rest], ending)
    ids = [each["id"] for each in await visible(store) if each["id"] in "ab"]
    assert ids == expected
