"""Every example file builds, streams, diffs, is stored and comes back as it was."""

import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.chatkit.action_routing.offers import list_offers
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import (
    SyncCustomActionResponse,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import ThreadItem
from app.chatkit.server import ChatKitServer, diff_widget, stream_widget
from app.chatkit.streaming.updates import apply_update
from app.chatkit.widgets import DynamicWidgetRoot, WidgetRoot
from app.chatkit.widgets.templates import WidgetTemplate
from tests.chatkit.store_rooms import Room
from tests.chatkit.streaming.widget_trees import as_json, widget_item
from tests.chatkit.widgets.examples import FILES, STATES
from tests.conformance.official_surface import official
from tests.support.samples import THREAD_ID

PATHS = sorted(FILES.glob("*.widget"))
ROOT: TypeAdapter[WidgetRoot] = TypeAdapter(WidgetRoot)
ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)

each_file = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def build_states(path: Path) -> list[DynamicWidgetRoot]:
    template = WidgetTemplate.from_file(path)
    return [template.build(data) for data in STATES[path.stem]]


class Showing(ChatKitServer[RequestContext]):
    """Streams the states of a widget for any message, and takes any action."""

    states: list[DynamicWidgetRoot]

    async def respond(self, thread: Any, message: Any, context: Any) -> Any:
        async for event in stream_widget(thread, stream(self.states)):
            yield event

    async def action(self, thread: Any, action: Any, *_: Any) -> AsyncIterator[ThreadStreamEvent]:
        thread.title = action.type
        return
        yield

    async def sync_action(self, *_: Any) -> SyncCustomActionResponse:
        return SyncCustomActionResponse()


async def stream(states: list[DynamicWidgetRoot]) -> AsyncIterator[WidgetRoot]:
    for state in states:
        yield state


def test_examples_are_twelve_when_counted() -> None:
    assert len(PATHS) == 12
    assert {path.stem for path in PATHS} == set(STATES)


@each_file
def test_every_state_differs_when_its_data_does(path: Path) -> None:
    shown = [state.model_dump_json() for state in build_states(path)]
    assert len(set(shown)) == len(STATES[path.stem]) >= 2


@each_file
def test_widget_is_that_of_the_official_package_when_it_is_built(path: Path) -> None:
    template = official("widgets").WidgetTemplate.from_file(str(path))
    if path.stem == "nested_lists":
        with pytest.raises(ValueError):  # there, children in lists of lists are refused
            template.build(STATES[path.stem][-1])
        return
    for data, ours in zip(STATES[path.stem], build_states(path), strict=True):
        theirs = template.build(copy.deepcopy(data))
        assert without_nulls(as_json(ours)) == without_nulls(as_json(theirs))


def without_nulls(value: Any) -> Any:
    """Return a value without its null properties, which the official package loses."""
    if isinstance(value, list):
        return [without_nulls(each) for each in value if each is not None]
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return value


@each_file
def test_updates_lead_from_state_to_state_when_they_are_applied(path: Path) -> None:
    states = build_states(path)
    for before in states:
        for after in states:
            item = widget_item(before.model_copy(deep=True))
            for update in diff_widget(before, after):
                apply_update(item, update)
            assert as_json(item.widget) == as_json(after)
        assert diff_widget(before, before.model_copy(deep=True)) == []


@each_file
async def test_client_sees_the_last_state_when_a_widget_streams(path: Path) -> None:
    states = build_states(path)
    thread: Any = type("Thread", (), {"id": THREAD_ID})
    events = [each async for each in stream_widget(thread, stream(states))]

    shown = events[0].item.model_copy(deep=True)  # type: ignore[union-attr]
    for event in events[1:-1]:
        assert isinstance(event, ThreadItemUpdatedEvent)
        apply_update(shown, event.update)
    assert as_json(shown) == as_json(events[-1].item)  # type: ignore[union-attr]
    assert as_json(shown.widget) == as_json(states[-1])


@pytest.mark.parametrize("loaded", [False, True], ids=["built", "loaded"])
@each_file
async def test_widget_comes_back_as_it_was_when_it_is_stored_and_reloaded(
    path: Path, loaded: bool, room: Room
) -> None:
    for state in build_states(path):
        widget = ROOT.validate_json(state.model_dump_json()) if loaded else state
        await room.show(widget)
        page = await room.store.chatkit_load_items_json(THREAD_ID, None, 10, "asc", room.context)
        item = await room.store.load_item(THREAD_ID, "widget_1", room.context)
        assert json.loads(page)["data"][0]["widget"] == as_json(state)
        assert as_json(item)["widget"] == as_json(state)
        assert diff_widget(item.widget, state) == []  # type: ignore[union-attr]


@each_file
async def test_thread_is_the_same_when_it_is_reloaded_after_a_stream(
    path: Path, room: Room
) -> None:
    server = Showing(room.store)
    server.states = build_states(path)
    message = {"content": [], "attachments": [], "inference_options": {}}
    params = {"thread_id": THREAD_ID, "input": message}
    body = json.dumps({"type": "threads.add_user_message", "params": params})
    frames = [each async for each in (await server.process(body, room.context))]  # type: ignore[union-attr]

    page = await room.store.chatkit_load_items_json(THREAD_ID, None, 10, "asc", room.context)
    assert json.loads(page)["data"][-1] == json.loads(frames[-1].removeprefix(b"data: "))["item"]


@each_file
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
async def test_every_action_is_accepted_when_it_comes_as_offered(
    path: Path, room: Room, strict: bool
) -> None:
    server = Showing(room.store)
    server.chatkit_strict_actions = strict
    for state in build_states(path):
        await room.show(state)
        for offer in list_offers(state):
            action = {"type": offer.type, "payload": offer.payload}
            sent = await room.send(server, action, sync=not offer.streaming)
            if offer.handler == "server" or not strict:
                assert sent.refusal is None
            else:
                assert "is for the page" in (sent.refusal or "")


def test_offers_are_those_of_the_widget_when_they_are_listed() -> None:
    offered = {
        path.stem: sorted({each.type for each in list_offers(build_states(path)[0])})
        for path in PATHS
    }
    assert offered == {
        "article": [],
        "booking": ["booking.price", "booking.request", "map.open"],
        "checklist": ["task.check"],
        "contact_form": ["contact.send"],
        "dashboard": ["dashboard.refresh"],
        "flight_list": [],
        "image_gallery": [],
        "nested_lists": [],
        "order_card": ["order.cancel", "order.pay"],
        "poll": ["poll.preview", "poll.vote"],
        "price_table": [],
        "thermostat": ["heat.preview", "heat.set"],
    }


def test_inputs_are_those_of_the_form_when_their_names_are_dotted() -> None:
    (form,) = list_offers(build_states(FILES / "contact_form.widget")[0])
    assert form.fields == {
        ("person", "name"),
        ("person", "mail"),
        ("topic",),
        ("text",),
        ("copy",),
    }
    slider = list_offers(build_states(FILES / "thermostat.widget")[0])
    assert [each.fields for each in slider] == [{("level",)}, {("level",)}]


def test_only_what_grew_is_sent_when_an_article_is_written() -> None:
    first, second, _ = build_states(FILES / "article.widget")
    (update,) = diff_widget(first, second)
    assert update.model_dump() == {
        "type": "widget.streaming_text.value_delta",
        "component_id": "body",
        "delta": "Tea",
        "done": False,
    }


def test_change_is_sent_alone_when_it_is_in_a_list_of_lists() -> None:
    _, crew, _ = build_states(FILES / "nested_lists.widget")
    data = as_json(crew)
    data["children"][1][0][1][0]["children"][1]["value"] = "ada!"
    (update,) = diff_widget(crew, DynamicWidgetRoot.model_validate(data))
    assert (update.type, update.component_id) == ("widget.streaming_text.value_delta", "name-ada")  # type: ignore[union-attr]
