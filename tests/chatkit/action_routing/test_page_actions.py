"""What pages do with actions by the official docs: send them back, follow up, change numbers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.chatkit.action_routing.once_marks import payload_mark
from app.chatkit.action_routing.router import ActionCall, ActionRouter
from app.chatkit.actions import Action, ActionConfig
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.ids import create_id
from app.chatkit.server import ChatKitServer
from app.chatkit.widgets import Button, Card, DynamicWidgetRoot, Form, Input, ListView, ListViewItem
from tests.chatkit.action_routing.test_forgery import OfficialServer, StrictServer
from tests.chatkit.store_rooms import WIDGET_ID, Room

Context = RequestContext
EVENTS = AsyncIterator[ThreadStreamEvent]


def row(action_type: str, payload: Any = None, **options: Any) -> ListViewItem:
    """Return a row that is one button."""
    action = ActionConfig(type=action_type, payload=payload, **options)
    return ListViewItem(children=[], onClickAction=action)


NAMES = ListView(
    children=[
        row("name.choose", {"name": "Tom"}, handler="client"),
        row("name.choose", {"name": "Kit"}, handler="client"),
        row("name.save", {"name": "Tom"}),
        row("name.refresh"),
        row("name.refresh", {}, streaming=False),
        row("name.mixed", {"name": "Tom"}, handler="client"),
        row("name.mixed", {"name": "Kit"}),
    ]
)

TAKEN: dict[str, tuple[str, Any]] = {
    "the very action": ("name.choose", {"name": "Tom"}),
    "with what the page has found out": ("name.choose", {"name": "Tom", "rank": 3}),
    "with another payload": ("name.choose", {"name": "Ada"}),
    "with none": ("name.choose", None),
    "a follow-up of another type": ("name.chosen", {"of": [1, None]}),
    "one that is for both": ("name.mixed", {"name": "Ada"}),
    "one that fixes nothing": ("name.refresh", {"now": True}),
    "more than was fixed": ("name.save", {"name": "Tom", "note": "?"}),
}


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(("action_type", "payload"), TAKEN.values(), ids=TAKEN)
async def test_action_reaches_the_handler_when_the_page_sends_it_on(
    room: Room, action_type: str, payload: Any, sync: bool
) -> None:
    if action_type == "name.save" and sync:
        return  # offered as one that streams
    await room.show(NAMES)
    server = OfficialServer(room.store)

    sent = await room.send(server, {"type": action_type, "payload": payload}, sync=sync)

    assert sent.refusal is None
    assert server.got == [(action_type, payload, WIDGET_ID)]


@pytest.mark.parametrize("action_type", ["name.choose", "name.chosen"])
async def test_page_is_refused_when_the_server_has_made_itself_strict(
    room: Room, action_type: str
) -> None:
    await room.show(NAMES)
    server = StrictServer(room.store)

    sent = await room.send(server, {"type": action_type, "payload": {"name": "Tom"}})

    assert sent.refusal is not None
    assert server.got == []


async def test_form_is_taken_when_its_inputs_are_nested_in_a_fixed_value(room: Room) -> None:
    submit = ActionConfig(type="save", payload={"task": {"id": 1}})
    fields = [Input(name="task.title"), Button(submit=True)]
    await room.show(Card(children=[Form(onSubmitAction=submit, children=fields)]))
    server = OfficialServer(room.store)

    for title, task_id in (("Tea", 1), ("Tea", 2)):
        payload = {"task": {"id": task_id, "title": title}, "seen": True}
        await room.send(server, {"type": "save", "payload": payload})

    assert server.got == [
        ("save", {"task": {"id": 1, "title": "Tea"}, "seen": True}, WIDGET_ID),
    ]


# --- numbers -------------------------------------------------------------------------------------

BIG = 2**53 + 1
NUMBERS: dict[str, tuple[Any, Any]] = {
    "a big integer": (BIG, 2**53),
    "a bigger one": (1234567890123456789, 1234567890123456800),
    "one in an exponent": (10**25, 1e25),
    "a negative one": (-BIG, -(2**53)),
    "one beyond a double": (10**400, None),
    "a whole float": (2.0, 2),
    "in a list": ([1.0, [BIG]], [1, [2**53]]),
    "in an object": ({"id": BIG, "x": None}, {"id": 2**53, "x": None}),
}


class AnyPayload(BaseModel):
    """Takes what comes."""

    value: Any


class RoutedServer(ChatKitServer[Context]):
    """Keeps what a router's handlers get."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.got: list[Any] = []
        self.actions: ActionRouter[Context] = ActionRouter()

        @self.actions.on("pick", AnyPayload)
        async def pick(call: ActionCall[AnyPayload, Context]) -> EVENTS:
            self.got.append((call.action.type, call.action.payload, WIDGET_ID))
            assert repr(call.payload.value) == repr(call.action.payload["value"])
            return
            yield

    def respond(self, *_: Any) -> Any:
        raise AssertionError("nobody asked")


@pytest.mark.parametrize("kind", ["typed", "dynamic"])
@pytest.mark.parametrize("create_server", [OfficialServer, StrictServer, RoutedServer])
@pytest.mark.parametrize(("fixed", "returned"), NUMBERS.values(), ids=NUMBERS)
async def test_handler_gets_the_widgets_own_value_when_a_browser_has_changed_a_number(
    room: Room, create_server: Any, fixed: Any, returned: Any, kind: str
) -> None:
    widget = ListView(children=[row("pick", {"value": fixed})])
    data = widget.model_dump(mode="json")
    await room.show(widget if kind == "typed" else DynamicWidgetRoot.model_validate(data))
    server = create_server(room.store)

    sent = await room.send(server, {"type": "pick", "payload": {"value": returned}})

    assert sent.refusal is None
    (got,) = server.got
    # Not by ==, for which 2.0 is 2.
    assert repr(got) == repr(("pick", {"value": fixed}, WIDGET_ID))


async def test_page_gets_its_own_number_back_when_it_sends_a_client_action_on(room: Room) -> None:
    await room.show(ListView(children=[row("open", {"id": BIG}, handler="client")]))
    server = OfficialServer(room.store)

    await room.send(server, {"type": "open", "payload": {"id": 2**53, "seen": 2.0}})

    assert server.got == [("open", {"id": BIG, "seen": 2.0}, WIDGET_ID)]


@pytest.mark.parametrize("returned", [2**53 + 4, True, "9007199254740992", None, 9.5])
async def test_other_value_is_refused_when_a_number_was_fixed(room: Room, returned: Any) -> None:
    await room.show(ListView(children=[row("pick", {"value": BIG})]))
    server = OfficialServer(room.store)

    sent = await room.send(server, {"type": "pick", "payload": {"value": returned}})

    assert "payload.value is not what the widget fixed" in (sent.refusal or "")
    assert server.got == []


async def test_no_row_is_guessed_when_a_browser_cannot_tell_their_numbers_apart(
    room: Room,
) -> None:
    await room.show(ListView(children=[row("pick", {"value": each}) for each in (2**53, BIG)]))
    server = OfficialServer(room.store)

    from_browser = await room.send(server, {"type": "pick", "payload": {"value": 2**53}})
    from_program = await room.send(server, {"type": "pick", "payload": {"value": BIG}})

    assert "cannot tell apart" in (from_browser.refusal or "")
    assert from_program.refusal is None
    assert server.got == [("pick", {"value": BIG}, WIDGET_ID)]


# --- once ----------------------------------------------------------------------------------------


class Order(BaseModel):
    """A payload with a default, and one that differs every time."""

    id: int
    size: str = "small"
    extras: set[str] = Field(default_factory=set)
    key: str = Field(default_factory=lambda: create_id("key"))


class Shop(ChatKitServer[Context]):
    """Sells once, to the page."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.sold: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.actions: ActionRouter[Context] = ActionRouter()

        @self.actions.on("buy", Order, client=True, once=True)
        async def buy(call: ActionCall[Order, Context]) -> EVENTS:
            self.sold.append(call.payload.id)
            await self.gate.wait()
            yield call.client_effect("bought")

        @self.actions.sync("buy.now", Order, client=True, once=True)
        async def buy_now(call: ActionCall[Order, Context]) -> None:
            self.sold.append(call.payload.id)

    def respond(self, *_: Any) -> Any:
        raise AssertionError("nobody asked")


SAME_ORDERS: dict[str, tuple[Any, str | None]] = {
    "again": ({"id": 1}, WIDGET_ID),
    "with an ignored key": ({"id": 1, "nonce": "x"}, WIDGET_ID),
    "with a default spelt out": ({"id": 1, "size": "small", "extras": []}, WIDGET_ID),
    "with a number in other digits": ({"id": 1.0}, WIDGET_ID),
    "with a number as text": ({"id": "1"}, WIDGET_ID),
    "from another widget": ({"id": 1}, "widget_2"),
    "from no widget": ({"id": 1}, None),
}


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(("payload", "item_id"), SAME_ORDERS.values(), ids=SAME_ORDERS)
async def test_page_action_runs_once_when_it_comes_in_other_words(
    room: Room, payload: Any, item_id: str | None, sync: bool
) -> None:
    shop = Shop(room.store)
    name = "buy.now" if sync else "buy"
    await room.show(ListView(children=[row(name, {"id": 1}, handler="client")]))
    await room.show(ListView(children=[row(name, {"id": 1}, handler="client")]), "widget_2")

    await room.send(shop, {"type": name, "payload": {"id": 1}}, sync=sync)
    await room.send(shop, {"type": name, "payload": payload}, item_id, sync=sync)

    assert shop.sold == [1]


async def test_page_action_runs_again_when_its_payload_is_another_one(room: Room) -> None:
    shop = Shop(room.store)
    for payload in ({"id": 1}, {"id": 2}, {"id": 2, "size": "big"}, {"id": 2, "key": "mine"}):
        await room.send(shop, {"type": "buy", "payload": payload}, None)
    assert shop.sold == [1, 2, 2, 2]


async def test_page_action_runs_once_when_two_come_at_the_same_time(room: Room) -> None:
    shop = Shop(room.store)
    shop.gate.clear()
    first = asyncio.create_task(room.send(shop, {"type": "buy", "payload": {"id": 1}}, None))
    while not shop.sold:
        await asyncio.sleep(0)
    second = await room.send(shop, {"type": "buy", "payload": {"id": 1, "x": 0}}, None)
    shop.gate.set()
    assert [each["type"] for each in (await first).events] == ["stream_options", "client_effect"]
    assert [each["type"] for each in second.events] == ["stream_options", "notice"]
    assert shop.sold == [1]


class Extra(BaseModel):
    """Keeps what it does not know."""

    model_config = ConfigDict(extra="allow")


class Kinds(BaseModel):
    """Values of kinds whose text is not always the same."""

    tags: frozenset[str] = frozenset()
    at: datetime | None = None
    any: Any = None
    secret: SecretStr | None = None
    order: Order | None = None
    extra: Extra | None = None


SAME_PAYLOADS: dict[str, tuple[Any, Any]] = {
    "sets": ({"tags": ["a", "b", "c", "d"]}, {"tags": ["d", "c", "b", "a", "a"]}),
    "times": ({"at": "2026-01-01T10:00:00Z"}, {"at": "2026-01-01T12:00:00+02:00"}),
    "numbers": ({"any": [2, {"n": 3}]}, {"any": [2.0, {"n": 3.0}]}),
    "models": ({"order": {"id": 1}}, {"order": {"id": 1, "size": "small", "x": 1}}),
}
OTHER_PAYLOADS: dict[str, tuple[Any, Any]] = {
    "numbers": ({"any": 2**53}, {"any": 2**53 + 1}),
    "secrets": ({"secret": "a"}, {"secret": "b"}),
    "kept keys": ({"extra": {"a": 1}}, {"extra": {"a": 2}}),
    "truths": ({"any": [True]}, {"any": [1]}),
}


@pytest.mark.parametrize(("one", "other"), SAME_PAYLOADS.values(), ids=SAME_PAYLOADS)
def test_mark_is_the_same_when_the_payload_is(one: Any, other: Any) -> None:
    assert payload_mark(Kinds.model_validate(one)) == payload_mark(Kinds.model_validate(other))


@pytest.mark.parametrize(("one", "other"), OTHER_PAYLOADS.values(), ids=OTHER_PAYLOADS)
def test_mark_is_another_one_when_the_payload_is(one: Any, other: Any) -> None:
    assert payload_mark(Kinds.model_validate(one)) != payload_mark(Kinds.model_validate(other))


async def test_check_can_be_overridden_when_a_server_knows_better(room: Room) -> None:
    class Own(OfficialServer):
        def chatkit_check_action(self, action: Any, sender: Any, *, streaming: bool) -> Any:
            return Action[str, Any](type=action.type, payload={"checked": streaming})

    await room.show(NAMES)
    server = Own(room.store)
    await room.send(server, {"type": "name.save", "payload": {"name": "other"}})
    assert server.got == [("name.save", {"checked": True}, WIDGET_ID)]
