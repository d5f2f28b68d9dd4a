"""What a library has made of the official package's classes is taken as what it says on the wire.

Each of the official classes of events, items, tasks and widgets is yielded once, and once as one of
ours and as plain data: the stream and the store must be the same.
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest

from app.chatkit.agents import AgentContext, ThreadItemConverter
from app.chatkit.protocol.items import ThreadItem
from app.chatkit.protocol.own_classes import to_own_event
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.server import stream_widget
from app.chatkit.store import AttachmentStore
from app.chatkit.types import (
    FileAttachment,
    StreamOptions,
    SyncCustomActionResponse,
    ThreadItemDoneEvent,
    ThreadMetadata,
    TranscriptionResult,
    WidgetItem,
    Workflow,
)
from app.chatkit.widgets import Button, Text
from tests.chatkit.agents.agent_runs import create_context
from tests.chatkit.scripted_server import (
    ADA,
    ActingServer,
    ScriptedServer,
    ask,
    body,
    say,
    store_with,
    stream,
    types,
    visible,
)
from tests.chatkit.turn_requests import act
from tests.chatkit.turn_requests import widget as offering_widget
from tests.conformance.official_surface import official
from tests.support.memory_store import MemoryStore
from tests.support.samples import ITEMS, MOMENT, THREAD_ID, answer

theirs: Any = official("types")
their_widgets: Any = official("widgets")
their_errors: Any = official("errors")

pytestmark = [  # what the official classes say when they are used
    pytest.mark.filterwarnings("ignore:Direct usage of named widget:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]


def as_official(item: ThreadItem) -> Any:
    """Return an item as one of the official class."""
    return getattr(theirs, type(item).__name__).model_validate(item.model_dump())


def update(item_id: str, name: str, **fields: Any) -> Any:
    return theirs.ThreadItemUpdatedEvent(item_id=item_id, update=getattr(theirs, name)(**fields))


BASE = {"id": "m", "thread_id": THREAD_ID, "created_at": datetime.now()}  # noqa: DTZ005
MESSAGE = theirs.AssistantMessageItem(**BASE, content=[])
PART = theirs.AssistantMessageContent(
    text="", annotations=[theirs.Annotation(source=theirs.EntitySource(title="T", id="e"))]
)
WORKFLOW = theirs.WorkflowItem(
    **BASE | {"id": "w"}, workflow=theirs.Workflow(type="custom", tasks=[])
)
EVENTS: dict[str, list[Any]] = {
    "message": [
        theirs.ThreadItemAddedEvent(item=MESSAGE),
        update("m", "AssistantMessageContentPartAdded", content_index=0, content=PART),
        update("m", "AssistantMessageContentPartTextDelta", content_index=0, delta="Hi"),
        update(
            "m",
            "AssistantMessageContentPartAnnotationAdded",
            content_index=0,
            annotation_index=1,
            annotation=theirs.Annotation(source=theirs.URLSource(title="U", url="https://u")),
        ),
        theirs.ThreadItemDoneEvent(
            item=theirs.AssistantMessageItem(**BASE, content=[{"text": "Hi"}])
        ),
    ],
    "workflow": [
        theirs.ThreadItemAddedEvent(item=WORKFLOW),
        update("w", "WorkflowTaskAdded", task_index=0, task=theirs.ThoughtTask(content="Hm")),
        update("w", "WorkflowTaskUpdated", task_index=0, task=theirs.SearchTask(title="S")),
        theirs.ThreadItemReplacedEvent(item=WORKFLOW),
        theirs.ThreadItemRemovedEvent(item_id="w"),
    ],
    "others": [
        theirs.ProgressUpdateEvent(text="Wait", icon="bolt"),
        theirs.NoticeEvent(level="info", message="N"),
        theirs.ClientEffectEvent(name="e", data={"a": None}),
        theirs.ErrorEvent(message="E"),
    ],
}


def as_data(event: Any) -> Any:
    return event.model_dump()


@pytest.fixture
def events() -> dict[str, list[Any]]:
    """Official events of all kinds, by what they are about."""
    items = [theirs.ThreadItemDoneEvent(item=as_official(each)) for each in ITEMS]
    return {"items": items, **EVENTS}


@pytest.mark.parametrize("name", ["items", *EVENTS])
@pytest.mark.parametrize("convert", [to_own_event, as_data], ids=["ours", "data"])
async def test_events_say_the_same_when_they_are_of_official_classes(
    events: dict[str, list[Any]], name: str, convert: Callable[[Any], Any]
) -> None:
    told: list[Any] = []
    for script in (events[name], [convert(each) for each in events[name]]):
        server = ScriptedServer(script, await store_with())
        streamed = (await stream(server, say()))[2:]  # behind the user's message and the options
        told.append((streamed, (await visible(server.store))[1:]))
    assert told[0] == told[1]
    assert told[0][0][-1]["type"] != "error" or name == "others"


async def test_official_classes_inside_our_own_are_taken() -> None:
    item = ThreadItemDoneEvent(item=as_official(answer("a", "Hi"))).item
    assert type(item) is type(answer("a", "Hi"))
    widget = WidgetItem(
        **{**BASE, "id": "x"},
        widget=their_widgets.Card(children=[their_widgets.Text(value="v", id="t")]),
    )
    assert json.loads(dump_wire(widget))["widget"] == {
        "type": "Card",
        "children": [{"type": "Text", "id": "t", "value": "v"}],
    }
    assert Workflow(type="custom", tasks=[theirs.FileTask(title="F")]).tasks[0].title == "F"


@pytest.mark.parametrize("wrong", [answer("a", "no event"), object(), {"type": "nothing"}, None])
async def test_what_is_no_event_ends_the_stream_with_an_error(wrong: Any) -> None:
    events = await stream(ScriptedServer([wrong], await store_with()), say())
    assert types(events)[-1] == "error"


# --- widgets -------------------------------------------------------------------------------------


def official_card(text: str, **fields: Any) -> Any:
    return their_widgets.Card(children=[their_widgets.Text(id="t", value=text, **fields)])


async def states() -> AsyncIterator[Any]:
    yield official_card("", streaming=True)
    yield official_card("Hel", streaming=True)
    yield official_card("Hello", streaming=False)


async def test_official_widget_streams_as_ours_does() -> None:
    thread = ThreadMetadata(id=THREAD_ID, created_at=MOMENT)
    events = [dump_wire(each) async for each in stream_widget(thread, states())]
    shown = [json.loads(each) for each in events]
    assert [each.get("update", each)["type"] for each in shown] == [
        "thread.item.added",
        "widget.streaming_text.value_delta",
        "widget.streaming_text.value_delta",
        "thread.item.done",
    ]
    assert shown[-1]["item"]["widget"]["children"][0]["value"] == "Hello"


async def test_official_action_in_our_button_and_our_text_in_an_official_card() -> None:
    button = Button(label="Go", onClickAction=their_widgets.ActionConfig(type="go", payload={}))
    card = their_widgets.DynamicWidgetRoot(type="Card", children=[], footer=Text(value="ours"))
    assert button.onClickAction is not None
    assert button.onClickAction.type == "go"
    thread = ThreadMetadata(id=THREAD_ID, created_at=MOMENT)
    (event,) = [dump_wire(each) async for each in stream_widget(thread, card)]
    assert json.loads(event)["item"]["widget"]["footer"] == {"type": "Text", "value": "ours"}


# --- tools, models, endings ----------------------------------------------------------------------


async def test_official_classes_are_taken_from_tools() -> None:
    context: AgentContext[Any] = await create_context()
    await context.stream(theirs.ProgressUpdateEvent(text="Wait"))
    await context.add_workflow_task(theirs.CustomTask(title="One"))
    await context.update_workflow_task(theirs.CustomTask(title="Uno"), 0)
    await context.start_workflow(theirs.Workflow(type="custom", tasks=[theirs.ImageTask()]))
    await context.stream_widget(official_card("x"))
    events = context.chatkit_outbox.take_all()
    assert {type(each).__module__ for each in events} == {"app.chatkit.protocol.events"}
    assert [each.type.removeprefix("thread.") for each in events] == [
        "progress_update",
        "item.added",
        "item.updated",
        "item.done",
        "item.added",
        "item.done",
        "item.done",
    ]


async def test_official_items_are_converted_for_the_model() -> None:
    converter = ThreadItemConverter()
    # The official classes lose the nulls of a payload, and so their widget is another one.
    items = [each for each in ITEMS if each.type != "widget"]
    given = await converter.to_agent_input([as_official(each) for each in items])
    assert given == await converter.to_agent_input(items)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (
            their_errors.CustomStreamError("Told", allow_retry=True),
            {"code": "custom", "message": "Told", "allow_retry": True},
        ),
        (
            their_errors.StreamError(their_errors.ErrorCode.STREAM_ERROR, allow_retry=False),
            {"code": "stream.error", "allow_retry": False},
        ),
    ],
    ids=["custom", "code"],
)
async def test_official_errors_end_a_stream_as_ours_do(error: Exception, event: Any) -> None:
    async def respond(*_: Any) -> AsyncIterator[Any]:
        raise error
        yield

    events = await stream(ScriptedServer(respond, await store_with()), say())
    assert events[-1] == {"type": "error", **event}


class OfficialAnswers(ActingServer):
    """Everything that it returns is of official classes."""

    def get_stream_options(self, thread: Any, context: Any) -> StreamOptions:
        return theirs.StreamOptions(allow_cancel=False)

    async def sync_action(self, *args: Any) -> SyncCustomActionResponse:
        return theirs.SyncCustomActionResponse(updated_item=as_official(offering_widget()))

    async def transcribe(self, audio_input: Any, context: Any) -> TranscriptionResult:
        return theirs.TranscriptionResult(text="said")


async def test_answers_of_official_classes_are_sent() -> None:
    server = OfficialAnswers([], await store_with(offering_widget()))
    action = {"type": "a", "payload": 1}
    answered = await ask(
        server,
        body("threads.sync_custom_action", thread_id=THREAD_ID, item_id="widget", action=action),
    )
    assert answered["updated_item"]["created_at"].endswith("Z")
    audio = body("input.transcribe", audio_base64="AAAA", mime_type="audio/webm")
    assert await ask(server, audio) == {"text": "said"}
    events = await stream(server, act("widget"))
    assert events[0]["stream_options"] == {"allow_cancel": False}


async def test_official_attachment_is_stored_as_ours() -> None:
    class Files(AttachmentStore[Any]):
        async def create_attachment(self, input: Any, context: Any) -> Any:
            return theirs.FileAttachment(
                id="atc", name=input.name, mime_type=input.mime_type, metadata={"secret": 1}
            )

        async def delete_attachment(self, attachment_id: str, context: Any) -> None: ...

    store = MemoryStore()
    server = ScriptedServer([], store, Files())
    created = await ask(
        server, body("attachments.create", name="n", size=1, mime_type="text/plain")
    )
    assert created == {"id": "atc", "name": "n", "mime_type": "text/plain", "type": "file"}
    assert type(await store.load_attachment("atc", ADA)) is FileAttachment
