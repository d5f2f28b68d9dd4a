"""Actions that are declared once: what a widget carries, and what a handler gets and does."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from enum import StrEnum
from typing import Any, Literal, cast
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, field_validator

from app.chatkit.action_routing.router import ActionCall, ActionRouter, StreamingAction
from app.chatkit.actions import ActionConfig
from app.chatkit.agents.item_converter import ThreadItemConverter
from app.chatkit.context import RequestContext
from app.chatkit.errors import UnprocessableError
from app.chatkit.protocol.events import (
    SyncCustomActionResponse,
    ThreadItemDoneEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.items import ThreadItem, WidgetItem
from app.chatkit.server import ChatKitServer
from app.chatkit.widgets import Button, Card, Form, Input, Text
from tests.chatkit.store_rooms import WIDGET_ID, Room
from tests.support.samples import THREAD_ID, answer, hidden

Context = RequestContext
Events = AsyncIterator[ThreadStreamEvent]


class Level(StrEnum):
    LOW = "low"


class Ticket(BaseModel):
    """Fields of the kinds that JSON has no types for."""

    ticket_id: UUID
    due: date | None = None
    level: Level = Level.LOW
    count: int = Field(default=0, ge=0)
    name: str = Field(default="", alias="display.name")

    @field_validator("count")
    @classmethod
    def check_count(cls, count: int) -> int:
        if count == 13:
            raise ValueError("13 is unlucky")
        return count


TICKET = UUID("12345678-1234-5678-1234-567812345678")


class Server(ChatKitServer[Context]):
    """Answers with one message, and has a router to fill."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.actions: ActionRouter[Context] = ActionRouter()

    async def respond(self, thread: Any, message: Any, context: Any) -> Events:
        assert message is None
        yield ThreadItemDoneEvent(item=answer("new", "Hi"))


@pytest.fixture
def actions() -> ActionRouter[Context]:
    return ActionRouter()


@pytest.fixture
def close(actions: ActionRouter[Context]) -> StreamingAction[Ticket, Context]:
    @actions.on("ticket.close", Ticket)
    async def close(call: ActionCall[Ticket, Context]) -> Events:
        yield call.replace(consumed=True)

    return close


# --- the configuration ---------------------------------------------------------------------------


def test_config_is_that_of_the_declared_action_when_fields_are_fixed(close: Any) -> None:
    config = close.config(
        ticket_id=TICKET, due=date(2030, 1, 2), name="A", loading_behavior="container"
    )
    assert config == ActionConfig(
        type="ticket.close",
        payload={"ticket_id": str(TICKET), "due": "2030-01-02", "display.name": "A"},
        loadingBehavior="container",
    )


def test_config_is_synchronous_when_the_handler_is(actions: ActionRouter[Context]) -> None:
    @actions.sync("star")
    async def star(call: Any) -> None: ...

    assert star.config() == ActionConfig(type="star", streaming=False)
    assert star.config(handler="client").handler == "client"


@pytest.mark.parametrize(
    ("fixed", "error", "message"),
    [
        ({"tiket_id": TICKET}, TypeError, "Ticket has no field 'tiket_id'"),
        ({"ticket_id": "x"}, ValueError, "ticket.close: payload.ticket_id: "),
        ({"count": -1}, ValueError, "payload.count: Input should be greater"),
        ({"ticket_id": TICKET, "count": 13}, ValueError, "13 is unlucky"),
        ({"level": "high"}, ValueError, "payload.level: "),
    ],
)
def test_config_is_refused_when_a_value_is_wrong(
    close: Any, fixed: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        close.config(**fixed)


def test_declaration_is_refused_when_it_cannot_work(actions: ActionRouter[Context]) -> None:
    class Bad(BaseModel):
        loading_behavior: str

    async def stream(call: Any) -> Events:
        yield call.replace()

    async def answer_at_once(call: Any) -> None: ...

    actions.on("twice")(stream)
    with pytest.raises(ValueError, match='"twice" is declared twice'):
        actions.sync("twice")(answer_at_once)
    with pytest.raises(TypeError, match="has to yield events"):
        actions.on("a")(cast(Any, answer_at_once))
    with pytest.raises(TypeError, match="has to return"):
        actions.sync("a")(cast(Any, stream))
    with pytest.raises(TypeError, match=r"Bad\.loading_behavior: an option"):
        actions.on("a", Bad)(stream)


# --- the payload ---------------------------------------------------------------------------------


async def test_handler_gets_a_parsed_payload_when_it_comes_back(room: Room) -> None:
    server, got = Server(room.store), []

    @server.actions.on("ticket.close", Ticket)
    async def close(call: ActionCall[Ticket, Context]) -> Events:
        got.append(call)
        return
        yield

    config = close.config(ticket_id=TICKET, due=date(2030, 1, 2))
    children = [Input(name="count"), Button(label="Close", onClickAction=config)]
    item = await room.show(Card(asForm=True, children=children))
    action = {"type": "ticket.close", "payload": {**config.payload, "count": "3"}}

    assert (await room.send(server, action)).refusal is None
    (call,) = got
    assert call.payload == Ticket(ticket_id=TICKET, due=date(2030, 1, 2), count=3)
    assert (call.thread.id, call.sender, call.context) == (THREAD_ID, item, room.context)
    assert (call.store, call.action.payload["count"]) == (room.store, "3")

    action["payload"]["count"] = "13"
    sent = await room.send(server, action)
    assert sent.refusal == (
        'The action "ticket.close" was not accepted: payload.count: Value error, 13 is unlucky'
    )


@pytest.mark.parametrize("payload", ["text", ["a"], 5])
async def test_payload_is_refused_when_the_page_sends_no_object(room: Room, payload: Any) -> None:
    server = Server(room.store)

    @server.actions.on("go", client=True)
    async def go(call: Any) -> Events:
        yield call.client_effect("went")

    sent = await room.send(server, {"type": "go", "payload": payload}, None)
    assert "payload: Input should be an object" in (sent.refusal or "")
    assert (await room.send(server, {"type": "go"}, None)).refusal is None


# --- who may send it -----------------------------------------------------------------------------


async def test_page_may_send_an_action_when_it_is_declared_for_it(room: Room) -> None:
    server, got = Server(room.store), []

    @server.actions.on("go", Ticket, client=True)
    async def go(call: ActionCall[Ticket, Context]) -> Events:
        got.append(call.sender)
        yield call.client_effect("went", {"to": str(call.payload.ticket_id)})

    item = await room.show(Card(children=[]))
    action = {"type": "go", "payload": {"ticket_id": str(TICKET)}}
    for item_id in (None, WIDGET_ID):  # after its own work, the page names the widget
        sent = await room.send(server, action, item_id)
        effect = {"type": "client_effect", "name": "went", "data": {"to": str(TICKET)}}
        assert sent.events[1:] == [effect]
    assert got == [None, item]


async def test_kinds_are_told_apart_when_the_page_mixes_them_up(room: Room) -> None:
    server = Server(room.store)

    @server.actions.on("stream", client=True)
    async def stream(call: Any) -> Events:
        yield call.client_effect("x")

    @server.actions.sync("sync", client=True)
    async def sync(call: Any) -> None: ...

    mixed_up = [("stream", True, "with a stream"), ("sync", False, "without a stream")]
    for name, is_sync, reason in mixed_up:
        sent = await room.send(server, {"type": name}, None, sync=is_sync)
        assert reason in (sent.refusal or "")


# --- one-liners ----------------------------------------------------------------------------------


class Note(BaseModel):
    id: str
    text: str = ""


def note_form(config: ActionConfig) -> Form:
    return Form(onSubmitAction=config, children=[Input(name="text"), Button(submit=True)])


async def test_form_keeps_what_was_entered_when_it_is_written_back(room: Room) -> None:
    server = Server(room.store)

    @server.actions.on("save", Note)
    async def save(call: ActionCall[Note, Context]) -> Events:
        yield call.replace(values=call.payload, consumed=True)

    config = save.config(id="n1")
    item = await room.show(Card(children=[note_form(config)]))
    action = {"type": "save", "payload": {"id": "n1", "text": "Hello"}}
    sent = await room.send(server, action)

    form = {
        "type": "Form",
        "children": [
            {"type": "Input", "name": "text", "defaultValue": "Hello", "disabled": True},
            {"type": "Button", "submit": True, "disabled": True},
        ],
    }
    (event,) = sent.events[1:]
    assert event["type"] == "thread.item.replaced"
    assert event["item"]["widget"] == {"type": "Card", "children": [form]}
    stored = await room.store.load_item(THREAD_ID, item.id, room.context)
    assert json.loads(stored.model_dump_json(exclude_none=True)) == event["item"]


async def test_item_is_stored_and_sent_when_a_sync_handler_returns_it(room: Room) -> None:
    server = Server(room.store)

    @server.actions.sync("star", Note)
    async def star(call: ActionCall[Note, Context]) -> WidgetItem:
        return call.updated(Card(children=[Text(value="*")]), copy_text="starred")

    @server.actions.sync("star.official", Note)
    async def star_officially(call: ActionCall[Note, Context]) -> SyncCustomActionResponse:
        return SyncCustomActionResponse(updated_item=call.updated(values={"text": "x"}))

    for declared in (star, star_officially):
        item = await room.show(Card(children=[Button(onClickAction=declared.config(id="1"))]))
        sent = await room.send(server, declared.config(id="1"), sync=True)
        assert sent.answer is not None
        stored = await room.store.load_item(THREAD_ID, item.id, room.context)
        assert json.loads(stored.model_dump_json(exclude_none=True)) == sent.answer["updated_item"]


async def test_hidden_item_stays_hidden_when_a_sync_handler_returns_it(room: Room) -> None:
    server = Server(room.store)

    @server.actions.sync("note", client=True)
    async def note(call: Any) -> Any:
        return SyncCustomActionResponse(updated_item=hidden("h", "secret"))

    assert (await room.send(server, {"type": "note"}, None, sync=True)).answer == {}
    assert "secret" in str(await room.everything())


async def test_handler_can_tell_the_model_and_start_an_answer_when_it_likes(room: Room) -> None:
    server = Server(room.store)

    @server.actions.on("go", client=True)
    async def go(call: ActionCall[Any, Context]) -> Events:
        await call.add_hidden_context("The user went.")
        async for event in call.stream_widget(Card(children=[]), copy_text="Gone"):
            yield event
        async for event in call.respond():
            yield event

    sent = await room.send(server, {"type": "go"}, None)
    items = [each["item"]["type"] for each in sent.events[1:]]
    assert items == ["widget", "assistant_message"]
    page = await room.store.load_thread_items(THREAD_ID, None, 10, "asc", room.context)
    kinds = [each.type for each in page.data]
    assert kinds == ["hidden_context_item", "widget", "assistant_message"]


async def test_page_action_is_refused_when_its_handler_needs_a_widget(room: Room) -> None:
    server = Server(room.store)

    @server.actions.on("go", client=True)
    async def go(call: Any) -> Events:
        yield call.replace(consumed=True)

    sent = await room.send(server, {"type": "go"}, None)
    assert sent.refusal == 'The action "go" came from no widget'


async def test_handler_can_be_called_when_a_test_makes_the_call(close: Any, room: Room) -> None:
    item = await room.show(Card(children=[Button(onClickAction=close.config(ticket_id=TICKET))]))
    thread = await room.store.load_thread(THREAD_ID, room.context)
    call = ActionCall(
        Server(room.store), thread, cast(Any, None), Ticket(ticket_id=TICKET), item, room.context
    )
    (event,) = [each async for each in close(call)]
    assert event.item.widget == Card(children=[Button(disabled=True)])


async def test_handler_is_closed_at_once_when_its_stream_is(room: Room) -> None:
    server, closed = Server(room.store), asyncio.Event()

    @server.actions.on("go", client=True)
    async def go(call: Any) -> Events:
        try:
            yield call.client_effect("a")
        finally:
            closed.set()

    thread = await room.store.load_thread(THREAD_ID, room.context)
    from_client: Any = type("Sent", (), {"type": "go", "payload": None})
    events = server.action(thread, from_client, None, room.context)
    await anext(events)
    await cast(Any, events).aclose()
    assert closed.is_set()


# --- one-shot actions ----------------------------------------------------------------------------


class Order(BaseModel):
    id: Literal["a", "b"]
    comment: str = ""


class Shop(Server):
    """Has one-shot actions, and counts what was bought."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.bought: list[str] = []
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()

        @self.actions.on("buy", Order, once=True)
        async def buy(call: ActionCall[Order, Context]) -> Events:
            await self._sell(call)
            yield call.client_effect("bought")

        @self.actions.sync("buy.now", Order, once=True)
        async def buy_now(call: ActionCall[Order, Context]) -> WidgetItem:
            await self._sell(call)
            return call.updated(copy_text="bought")

        self.buy, self.buy_now = buy, buy_now

    async def _sell(self, call: ActionCall[Order, Context]) -> None:
        self.bought.append(call.payload.id)
        await self.gate.wait()
        if self.fails:
            raise OSError("out of stock")

    def shelf(self) -> Card:
        configs = [each.config(id=id) for each in (self.buy, self.buy_now) for id in ("a", "b")]
        buttons = [Button(label="Buy", onClickAction=each) for each in configs]
        return Card(asForm=True, children=[Input(name="comment"), *buttons])


def order(order_id: str, comment: str = "", *, sync: bool = False) -> dict[str, Any]:
    payload = {"id": order_id, "comment": comment}
    return {"type": "buy.now" if sync else "buy", "payload": payload}


async def test_one_shot_runs_once_when_it_is_clicked_again(room: Room) -> None:
    shop = Shop(room.store)
    await room.show(shop.shelf())
    for comment in ("", "", "and something else entered"):
        sent = await room.send(shop, order("a", comment))
        assert sent.refusal is None
    assert sent.events[1:] == [
        {"type": "notice", "level": "info", "message": "This was done already."}
    ]
    assert (await room.send(shop, order("b"))).events[1]["type"] == "client_effect"
    assert shop.bought == ["a", "b"]


async def test_one_shot_is_another_one_when_it_is_on_another_widget(room: Room) -> None:
    shop = Shop(room.store)
    for item_id in ("widget_1", "widget_2"):
        await room.show(shop.shelf(), item_id)
        await room.send(shop, order("a"), item_id)
    assert shop.bought == ["a", "a"]


@pytest.mark.parametrize("sync", [False, True])
async def test_one_shot_runs_once_when_it_is_clicked_at_the_same_time(
    room: Room, sync: bool
) -> None:
    shop = Shop(room.store)
    await room.show(shop.shelf())
    shop.gate.clear()
    clicks = [
        asyncio.create_task(room.send(shop, order("a", sync=sync), sync=sync)) for _ in range(5)
    ]
    await asyncio.wait(clicks, return_when=asyncio.FIRST_COMPLETED)
    shop.gate.set()
    results = await asyncio.gather(*clicks)
    assert shop.bought == ["a"]
    assert [each.refusal for each in results] == [None] * 5
    if sync:
        texts = [(each.answer or {})["updated_item"].get("copy_text") for each in results]
        assert "bought" in texts  # the others show what there was at that moment


async def test_one_shot_shows_what_became_of_it_when_it_is_sent_again(room: Room) -> None:
    shop = Shop(room.store)
    await room.show(shop.shelf())
    first = await room.send(shop, order("a", sync=True), sync=True)
    again = await room.send(shop, order("a", sync=True), sync=True)
    assert shop.bought == ["a"]
    assert again.answer == first.answer
    assert (again.answer or {})["updated_item"]["copy_text"] == "bought"


@pytest.mark.parametrize("sync", [False, True])
async def test_one_shot_can_run_again_when_its_handler_failed(room: Room, sync: bool) -> None:
    shop = Shop(room.store)
    await room.show(shop.shelf())
    before = await room.everything()
    shop.fails = True
    if sync:
        with pytest.raises(OSError, match="out of stock"):
            await room.send(shop, order("a", sync=True), sync=True)
    else:
        assert (await room.send(shop, order("a"))).events[-1]["code"] == "stream.error"
    assert await room.everything() == before
    shop.fails = False
    assert (await room.send(shop, order("a", sync=sync), sync=sync)).refusal is None
    assert shop.bought == ["a", "a"]


async def test_one_shot_leaves_no_mark_when_it_is_refused(room: Room) -> None:
    shop = Shop(room.store)
    await room.show(shop.shelf())
    before = await room.everything()
    assert (await room.send(shop, order("c"))).refusal is not None
    assert await room.everything() == before


async def test_mark_is_seen_by_nobody_when_a_one_shot_has_run(room: Room) -> None:
    shop = Shop(room.store)
    await room.show(shop.shelf())
    await room.send(shop, order("a"))
    page = await room.store.load_thread_items(THREAD_ID, None, 10, "asc", room.context)
    marks: list[ThreadItem] = [each for each in page.data if each.type == "sdk_hidden_context"]
    assert len(marks) == 1
    assert await ThreadItemConverter().to_agent_input(marks) == []
    visible = json.loads(
        await room.store.chatkit_load_items_json(THREAD_ID, None, 10, "asc", room.context)
    )
    assert [each["type"] for each in visible["data"]] == ["widget"]


async def test_mark_stays_when_a_later_message_is_answered_again(room: Room) -> None:
    store, context = room.store, room.context
    await store.add_thread_item(THREAD_ID, answer("a", "x"), context)
    assert await store.chatkit_mark_once(THREAD_ID, "key", context)
    await store.add_thread_item(THREAD_ID, answer("b", "x"), context)
    await store.chatkit_delete_items_after(THREAD_ID, "a", context)
    assert len(await room.everything()) == 3
    assert not await store.chatkit_mark_once(THREAD_ID, "key", context)
    await store.chatkit_remove_mark(THREAD_ID, "key", context)
    assert await store.chatkit_mark_once(THREAD_ID, "key", context)


async def test_nothing_is_declared_when_a_server_has_no_router(room: Room) -> None:
    class Plain(Server):
        actions = None  # type: ignore[assignment]

        def __init__(self, store: Any) -> None:
            ChatKitServer.__init__(self, store)

    sent = await room.send(Plain(room.store), {"type": "go"}, None)
    assert sent.refusal == "This server does not offer actions"
    with pytest.raises(UnprocessableError):
        ActionRouter[Context]()._find(cast(Any, type("A", (), {"type": "x"})))
