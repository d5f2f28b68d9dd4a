"""Subclasses as people have written them for the official package: their names, their cursors."""

import json
from typing import Any

import pytest
from agents import RunContextWrapper, function_tool
from pydantic import Field

from app.chatkit.agents import AgentContext, ClientToolCall
from app.chatkit.context import RequestContext
from app.chatkit.errors import UnsupportedError
from app.chatkit.protocol.items import CustomTask, Page, ThreadItem, ThreadMetadata
from app.chatkit.store import SCAN_PAGE_SIZE
from tests.chatkit.agents.agent_runs import THREAD_ID, run, shape
from tests.chatkit.scripted_server import (
    ADA,
    ActingServer,
    ScriptedServer,
    ask,
    body,
    done,
    fill,
    stream,
    types,
)
from tests.chatkit.turn_requests import act, retry
from tests.chatkit.turn_requests import widget as offering_widget
from tests.support.memory_store import MemoryStore
from tests.support.samples import MOMENT, answer, hidden, question
from tests.support.scripted_model import call, text, turn

# --- stores whose cursor is no id ----------------------------------------------------------------


class OffsetStore(MemoryStore):
    """Pages by offset; ``reads`` are the limits that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: RequestContext
    ) -> Page[ThreadItem]:
        self.reads.append(limit)
        items = self.items(thread_id, context)
        rows = items[::-1] if order == "desc" else items
        end = int(after or 0) + limit
        more = end < len(rows)
        return Page(
            data=rows[end - limit : end], has_more=more, after=f"{end:04}" if more else None
        )


async def offset_store(*items: ThreadItem) -> OffsetStore:
    store = OffsetStore()
    await fill(store, ADA, *items)
    return store


async def test_pages_follow_each_other_when_the_cursor_is_no_item_id() -> None:
    store = await offset_store(*[answer(f"a{number}", "x") for number in range(5)])
    shown: list[list[str]] = []
    after: dict[str, Any] = {}
    while len(shown) < 5:
        request = body("items.list", thread_id=THREAD_ID, limit=2, order="asc", **after)
        page = await ask(ScriptedServer([], store), request)
        shown.append([each["id"] for each in page["data"]])
        if not page["has_more"]:
            break
        after = {"after": page["after"]}
    assert shown == [["a0", "a1"], ["a2", "a3"], ["a4"]]
    assert store.reads == [2, 2, 2]


async def test_page_is_full_when_hidden_items_lie_between_and_the_cursor_is_no_item_id() -> None:
    items = [hidden("h1"), answer("a", "1"), hidden("h2"), hidden("h3"), answer("b", "2")]
    store = await offset_store(*items, answer("c", "3"))
    page = json.loads(await store.chatkit_load_items_json(THREAD_ID, None, 2, "asc", ADA))
    assert [each["id"] for each in page["data"]] == ["a", "b"]
    rest = json.loads(await store.chatkit_load_items_json(THREAD_ID, page["after"], 2, "asc", ADA))
    assert [each["id"] for each in rest["data"]] == ["c"]
    assert rest["has_more"] is False


async def test_retry_goes_back_beyond_a_page_when_the_cursor_is_no_item_id() -> None:
    newer = [answer(f"a{number}", "x") for number in range(SCAN_PAGE_SIZE + 1)]
    store = await offset_store(question("q"), *newer)
    events = await stream(ScriptedServer([done(answer("new", "Hi"))], store), retry("q"))
    assert types(events) == ["stream_options", "thread.item.done"]
    assert [each.id for each in store.items(THREAD_ID, ADA)] == ["q", "new"]


# --- names of their own --------------------------------------------------------------------------


class DispatchingServer(ActingServer):
    """Has a table of functions under the name that is an ``ActionRouter`` here."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.actions = {"a": done}  # type: ignore[assignment] - what nobody declared is Any to them
        self._answer = self._list_threads = self._stream_frames = None


async def test_action_is_carried_out_when_actions_is_the_subclasss_own() -> None:
    store = MemoryStore()
    await fill(store, ADA, offering_widget())
    server = DispatchingServer([done(answer("new", "Hi"))], store)
    events = await stream(server, act("widget"))
    assert types(events) == ["stream_options", "thread.item.done"]
    assert (await ask(server, body("threads.list")))["data"]


async def test_actions_are_not_offered_when_actions_is_no_router() -> None:
    server, thread = ScriptedServer(), ThreadMetadata(id=THREAD_ID, created_at=MOMENT)
    server.actions = {"a": done}  # type: ignore[assignment] - as above
    with pytest.raises(UnsupportedError):
        server.action(thread, None, None, ADA)  # type: ignore[arg-type] - not looked at
    with pytest.raises(UnsupportedError):
        await server.sync_action(thread, None, None, ADA)  # type: ignore[arg-type]


class OwnContext(AgentContext[RequestContext]):
    """Counts, remembers and sends in its own ways."""

    turn: int = 0
    history: list[str] = Field(default_factory=list[str])
    outbox: list[str] = Field(default_factory=list[str])

    async def emit(self, text: str) -> None:
        self.outbox.append(text)

    async def _end_workflow(self) -> None:
        raise AssertionError("not the engine's to call")


async def test_run_is_streamed_when_a_context_has_names_of_its_own() -> None:
    @function_tool
    async def work(wrapper: RunContextWrapper[OwnContext]) -> str:
        """Work."""
        context = wrapper.context
        context.turn += 1
        context.history.append("worked")
        await context.emit("mail")
        await context.add_workflow_task(CustomTask(title="Step"))
        return "ok"

    @function_tool
    async def ask_page(wrapper: RunContextWrapper[OwnContext]) -> str:
        """Ask."""
        wrapper.context.client_tool_call = ClientToolCall(name="ask_page", arguments={})
        return "ok"

    store = MemoryStore()
    thread = ThreadMetadata(id=THREAD_ID, created_at=MOMENT)
    await store.save_thread(thread, ADA)
    context = OwnContext(thread=thread, store=store, request_context=ADA)
    turns = [turn(call("work")), turn(text("Hi"), call("ask_page", call_id="c2"))]
    events = await run(turns, context, tools=[work, ask_page], stop_at=["ask_page"])
    assert shape(events)[0:2] == ["added workflow", "done workflow"]
    assert shape(events)[-2:] == ["done message", "done client_tool_call"]
    assert (context.turn, context.history, context.outbox) == (1, ["worked"], ["mail"])
