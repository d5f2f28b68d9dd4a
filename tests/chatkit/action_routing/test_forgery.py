"""Every way to forge an action is refused, says why, runs no handler and leaves nothing behind."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from app.chatkit.action_routing.router import ActionCall, ActionRouter
from app.chatkit.actions import Action, ActionConfig
from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError, UnprocessableError
from app.chatkit.protocol.events import (
    SyncCustomActionResponse,
    ThreadItemDoneEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import WidgetItem
from app.chatkit.server import ChatKitServer
from app.chatkit.widgets import (
    Button,
    Card,
    Checkbox,
    DynamicWidgetRoot,
    Form,
    Input,
    ListView,
    ListViewItem,
    Row,
    Select,
    Text,
    WidgetRoot,
)
from tests.chatkit.store_rooms import WIDGET_ID, Event, Room
from tests.support.samples import answer

Context = RequestContext


class Ticket(BaseModel):
    """A payload with a key that widgets fix, and two that are entered."""

    id: str
    title: str = ""
    todo: dict[str, Any] = {}


def create_router(ran: list[str]) -> ActionRouter[Context]:
    """Return a router whose handlers leave traces in the list, the thread and the store."""
    actions = ActionRouter[Context]()

    @actions.on("ticket.close", Ticket)
    async def close(call: ActionCall[Ticket, Context]) -> AsyncIterator[ThreadStreamEvent]:
        ran.append(call.payload.id)
        call.thread.title = "closed"
        await call.add_hidden_context("closed")
        yield ThreadItemDoneEvent(item=answer("new", "closed"))

    @actions.on("ticket.open", Ticket)
    async def open_(call: ActionCall[Ticket, Context]) -> AsyncIterator[ThreadStreamEvent]:
        ran.append(call.payload.id)
        yield call.replace(consumed=True)

    @actions.sync("ticket.star", Ticket)
    async def star(call: ActionCall[Ticket, Context]) -> WidgetItem:
        ran.append(call.payload.id)
        return call.updated(consumed=True)

    return actions


class RouterServer(ChatKitServer[Context]):
    """A server with a router."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.ran: list[str] = []
        self.actions = create_router(self.ran)

    def respond(self, *_: Any) -> Any:
        raise AssertionError("nobody asked")


class OfficialServer(ChatKitServer[Context]):
    """A server that was written for the official SDK: it overrides the two methods."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.got: list[tuple[str, Any, str | None]] = []

    def respond(self, *_: Any) -> Any:
        raise AssertionError("nobody asked")

    async def action(
        self, thread: Any, action: Any, sender: Any, context: Any
    ) -> AsyncIterator[ThreadStreamEvent]:
        self._note(action, sender)
        thread.title = "closed"
        yield ThreadItemDoneEvent(item=answer("new", "closed"))

    async def sync_action(
        self, thread: Any, action: Any, sender: Any, context: Any
    ) -> SyncCustomActionResponse:
        self._note(action, sender)
        return SyncCustomActionResponse()

    def _note(self, action: Any, sender: WidgetItem | None) -> None:
        self.got.append((action.type, action.payload, sender.id if sender else None))

    @property
    def ran(self) -> list[str]:
        return [action_type for action_type, *_ in self.got]


class StrictServer(OfficialServer):
    """The same, as strict as one with a router."""

    chatkit_strict_actions = True


CLOSE, STAR = {"id": "t1"}, {"id": "t1", "stars": [1, {"n": None}]}
WIDGET = Card(
    children=[
        Form(
            onSubmitAction=ActionConfig(type="ticket.close", payload=CLOSE),
            children=[
                Input(name="title"),
                Select(name="todo.kind", options=[]),
                Row(children=[[Checkbox(name="todo.urgent")]]),
                Text(value="note", editable={"name": "note"}),
                Button(label="Save", submit=True),
            ],
        ),
        Input(name="outside"),
        Button(
            label="Star",
            onClickAction=ActionConfig(type="ticket.star", payload=STAR, streaming=False),
        ),
        Button(
            label="Look",
            onClickAction=ActionConfig(type="ticket.look", handler="client", payload=CLOSE),
        ),
        Button(label="Off", disabled=True, onClickAction=ActionConfig(type="ticket.off")),
        [
            [
                ListViewItem(
                    onClickAction=ActionConfig(type="ticket.open", payload={"id": each}),
                    children=[],
                )
                for each in ("a", "b")
            ]
        ],
    ],
    confirm={"label": "OK", "action": ActionConfig(type="ticket.confirm", payload={"id": "card"})},
)
OTHER_WIDGET = ListView(
    children=[
        ListViewItem(
            onClickAction=ActionConfig(type="ticket.other", payload={"id": "t1"}), children=[]
        )
    ]
)


@dataclass(frozen=True)
class Forgery:
    """What a client sends, and a word of the reason for the refusal."""

    action: Event
    reason: str
    item_id: str | None = WIDGET_ID
    sync: bool = False


def close(**payload: Any) -> Event:
    return {"type": "ticket.close", "payload": payload}


FORGERIES = {
    "a type that nobody knows": Forgery({"type": "ticket.delete"}, "Unknown action"),
    "a type in other letters": Forgery({"type": "Ticket.close", "payload": CLOSE}, "Unknown"),
    "an empty type": Forgery({"type": ""}, "Unknown"),
    "a very long type": Forgery({"type": "x" * 10_000}, "xxx…"),
    "another widget's action": Forgery(
        {"type": "ticket.other", "payload": {"id": "t1"}}, "does not offer"
    ),
    "a changed fixed key": Forgery(close(id="t2"), "payload.id is not what"),
    "a fixed key of another type": Forgery(close(id=["t1"]), "payload.id is not what"),
    "a fixed key that is missing": Forgery(close(title="x"), "payload.id is missing"),
    "a null for a fixed key": Forgery(close(id=None), "payload.id is not what"),
    "no payload": Forgery({"type": "ticket.close"}, "payload.id is missing"),
    "a payload of another kind": Forgery(
        {"type": "ticket.open", "payload": ["a"]}, "none of those"
    ),
    "a key that is no input": Forgery(close(id="t1", admin=True), "payload.admin is not asked for"),
    "an input outside the form": Forgery(close(id="t1", outside="x"), "payload.outside"),
    "a key beside nested inputs": Forgery(
        close(id="t1", todo={"kind": "a", "owner": "b"}), "payload.todo.owner is not asked for"
    ),
    "a value where inputs are nested": Forgery(close(id="t1", todo="x"), "payload.todo"),
    "an object as a form value": Forgery(close(id="t1", title={"a": 1}), "no form value"),
    "a dotted name that is not nested": Forgery(
        {"type": "ticket.close", "payload": {"id": "t1", "todo.kind": "a"}}, "not asked for"
    ),
    "form values for a button outside": Forgery(
        {"type": "ticket.star", "payload": {**STAR, "title": "x"}}, "payload.title", sync=True
    ),
    "form values for a card that is no form": Forgery(
        {"type": "ticket.confirm", "payload": {"id": "card", "title": "x"}}, "payload.title"
    ),
    "a changed value deep inside": Forgery(
        {"type": "ticket.star", "payload": {"id": "t1", "stars": [1, {"n": 0}]}},
        "payload.stars",
        sync=True,
    ),
    "a truth for a number": Forgery(
        {"type": "ticket.star", "payload": {"id": "t1", "stars": [True, {"n": None}]}},
        "payload.stars",
        sync=True,
    ),
    "a row that is not in the list": Forgery(
        {"type": "ticket.open", "payload": {"id": "c"}}, "none of those"
    ),
    "a stream for a sync action": Forgery(
        {"type": "ticket.star", "payload": STAR}, "threads.sync_custom_action"
    ),
    "an answer for a streaming action": Forgery(close(id="t1"), "threads.custom_action", sync=True),
    "an action of the page": Forgery({"type": "ticket.look", "payload": CLOSE}, "for the page"),
    "an action of the page, sync": Forgery(
        {"type": "ticket.look", "payload": CLOSE}, "for the page", sync=True
    ),
    "an action of a disabled button": Forgery({"type": "ticket.off"}, "does not offer"),
    "a widget that does not exist": Forgery(close(id="t1"), "not found", item_id="widget_9"),
    "an item that is no widget": Forgery(close(id="t1"), "is no widget", item_id="answer_1"),
}


def as_template(widget: WidgetRoot) -> WidgetRoot:
    """Return the same widget as a template would have built it, with a prop nobody knows."""
    data = widget.model_dump(mode="json")
    data["children"].append({"type": "Gauge", "level": 3})
    return DynamicWidgetRoot.model_validate(data)


async def furnish(room: Room, widget: WidgetRoot = WIDGET) -> None:
    await room.show(widget)
    await room.show(OTHER_WIDGET, "widget_2")
    await room.store.add_thread_item("thr_1", answer("answer_1", "Hi"), room.context)


REFUSED_BY_ALL = {
    "a changed fixed key",
    "a fixed key of another type",
    "a fixed key that is missing",
    "a null for a fixed key",
    "no payload",
    "a payload of another kind",
    "a changed value deep inside",
    "a truth for a number",
    "a row that is not in the list",
    "a stream for a sync action",
    "an answer for a streaming action",
    "a widget that does not exist",
    "an item that is no widget",
}
"""What a server that overrides ``action()`` need not expect either."""


@pytest.mark.parametrize("create_server", [RouterServer, StrictServer])
@pytest.mark.parametrize("build", [lambda widget: widget, as_template], ids=["typed", "dynamic"])
@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_nothing_happens_when_an_action_is_forged(
    room: Room,
    forgery: Forgery,
    build: Callable[[WidgetRoot], WidgetRoot],
    create_server: type[RouterServer],
) -> None:
    await furnish(room, build(WIDGET))
    before = await room.everything()
    server = create_server(room.store)

    sent = await room.send(server, forgery.action, forgery.item_id, sync=forgery.sync)

    assert sent.refusal is not None
    assert forgery.reason in sent.refusal
    assert len(sent.refusal) < 300
    assert server.ran == []
    assert await room.everything() == before


@pytest.mark.parametrize("build", [lambda widget: widget, as_template], ids=["typed", "dynamic"])
@pytest.mark.parametrize("name", FORGERIES)
async def test_only_changed_values_are_refused_when_a_server_overrides_action(
    room: Room, name: str, build: Callable[[WidgetRoot], WidgetRoot]
) -> None:
    forgery = FORGERIES[name]
    await furnish(room, build(WIDGET))
    before = await room.everything()
    server = OfficialServer(room.store)

    sent = await room.send(server, forgery.action, forgery.item_id, sync=forgery.sync)

    if name in REFUSED_BY_ALL:
        assert forgery.reason in (sent.refusal or "")
        assert server.got == []
        assert await room.everything() == before
    else:
        assert sent.refusal is None
        assert server.got == [(forgery.action["type"], forgery.action.get("payload"), WIDGET_ID)]


@pytest.mark.parametrize("sync", [False, True])
async def test_nothing_happens_when_the_widget_is_another_users(room: Room, sync: bool) -> None:
    await furnish(room)
    stranger = Room(room.store, RequestContext(user_id=f"{room.context.user_id}x"))
    server = RouterServer(room.store)
    before = await room.everything()

    without_thread = await stranger.send(server, close(id="t1"), sync=sync)
    await stranger.open()
    without_widget = await stranger.send(server, close(id="t1"), sync=sync)

    assert isinstance(without_thread.error, NotFoundError)
    assert isinstance(without_widget.error, NotFoundError)
    assert server.ran == []
    assert await room.everything() == before
    assert len(await stranger.everything()) == 1


async def test_replay_is_refused_when_the_widget_was_replaced(room: Room) -> None:
    await furnish(room)
    server = RouterServer(room.store)
    row = {"type": "ticket.open", "payload": {"id": "a"}}
    assert (await room.send(server, row)).refusal is None
    before = await room.everything()

    replayed = await room.send(server, row)

    assert "does not offer it (any more)" in (replayed.refusal or "")
    assert server.ran == ["a"]
    assert await room.everything() == before


async def test_replay_is_refused_when_a_sync_action_used_the_widget_up(room: Room) -> None:
    await furnish(room)
    server = RouterServer(room.store)
    first = await room.send(server, {"type": "ticket.star", "payload": STAR}, sync=True)
    assert first.answer is not None
    before = await room.everything()

    replayed = await room.send(server, {"type": "ticket.star", "payload": STAR}, sync=True)

    assert isinstance(replayed.error, UnprocessableError)
    assert server.ran == ["t1"]
    assert await room.everything() == before


@pytest.mark.parametrize("sync", [False, True])
async def test_page_is_refused_when_the_action_is_not_declared_for_it(
    room: Room, sync: bool
) -> None:
    server = RouterServer(room.store)
    for action_type, reason in (("ticket.close", "belongs to a widget"), ("x", "Unknown action")):
        sent = await room.send(server, {"type": action_type, "payload": CLOSE}, None, sync=sync)
        assert reason in (sent.refusal or "")
    assert server.ran == []
    assert len(await room.everything()) == 1


async def test_page_passes_when_the_server_has_no_router(room: Room) -> None:
    server = OfficialServer(room.store)
    assert (await room.send(server, {"type": "x"}, None)).refusal is None
    assert (await room.send(server, {"type": "y"}, None, sync=True)).answer == {}
    assert server.ran == ["x", "y"]


# --- what is not forged --------------------------------------------------------------------------

GENUINE: dict[str, tuple[Event, bool]] = {
    "as the widget fixed it": (close(id="t1"), False),
    "all inputs of the form": (
        close(id="t1", title="x", note="y", todo={"kind": "a", "urgent": True}),
        False,
    ),
    "some inputs, one of them empty": (close(id="t1", title=None, todo={"kind": ""}), False),
    "a list of values": (close(id="t1", title=["a", "b"]), False),
    "the card's own button": ({"type": "ticket.confirm", "payload": {"id": "card"}}, False),
    "one row": ({"type": "ticket.open", "payload": {"id": "a"}}, False),
    "another row": ({"type": "ticket.open", "payload": {"id": "b"}}, False),
    "sync": ({"type": "ticket.star", "payload": STAR}, True),
    "a number as JavaScript writes it": (
        {"type": "ticket.star", "payload": {"id": "t1", "stars": [1.0, {"n": None}]}},
        True,
    ),
    "keys that the protocol ignores": (
        {**close(id="t1"), "handler": "client", "loadingBehavior": "self"},
        False,
    ),
}


@pytest.mark.parametrize("build", [lambda widget: widget, as_template], ids=["typed", "dynamic"])
@pytest.mark.parametrize(("action", "sync"), GENUINE.values(), ids=GENUINE)
async def test_action_is_carried_out_when_the_widget_offers_it(
    room: Room, action: Event, sync: bool, build: Callable[[WidgetRoot], WidgetRoot]
) -> None:
    await furnish(room, build(WIDGET))
    server = OfficialServer(room.store)

    sent = await room.send(server, action, sync=sync)

    assert sent.refusal is None
    assert server.ran == [action["type"]]


async def test_action_is_carried_out_when_it_was_created_from_a_typed_one(room: Room) -> None:
    declared = Action[Literal["ticket.close"], Ticket]
    config = declared.create(Ticket(id="t1", title="x"))
    await room.show(Card(children=[Button(label="Close", onClickAction=config)]))
    server = RouterServer(room.store)

    assert (await room.send(server, config)).refusal is None
    assert server.ran == ["t1"]
