"""Names of ours stay out of the way of subclasses that were written for the official package.

What we add to a class that others subclass begins with ``chatkit_``, and so a subclass may use any
other name. Each class is subclassed here with all of those words taken, by something that must not
be touched.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from agents import RunContextWrapper, function_tool

from app.chatkit.agents import (
    AgentContext,
    ClientToolCall,
    ResponseStreamConverter,
    ThreadItemConverter,
)
from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import Attachment, CustomTask, ThreadMetadata
from app.chatkit.server import ChatKitServer
from app.chatkit.store import AttachmentStore, Store
from tests.chatkit.agents.agent_runs import run, shape
from tests.chatkit.scripted_server import (
    ADA,
    ActingServer,
    ask,
    body,
    done,
    fill,
    say,
    stream,
    types,
)
from tests.chatkit.turn_requests import act, pending_call, questions, retry
from tests.chatkit.turn_requests import widget as offering_widget
from tests.conformance.official_surface import official
from tests.support.memory_store import MemoryStore
from tests.support.samples import ITEMS, MOMENT, THREAD_ID, answer, file, question
from tests.support.scripted_model import call, text, turn

PAIRS: list[tuple[type, type]] = [
    (official("store").Store, Store),
    (official("store").AttachmentStore, AttachmentStore),
    (official("server").ChatKitServer, ChatKitServer),
    (official("agents").AgentContext, AgentContext),
    (official("agents").ThreadItemConverter, ThreadItemConverter),
    (official("agents").ResponseStreamConverter, ResponseStreamConverter),
]
PREFIXES = ("chatkit_", "_chatkit_")
NEEDS_NO_PREFIX = {"actions", "stream_progress"}
"""``actions`` counts only where it holds an ``ActionRouter``: nothing else of that name is looked
at. ``stream_progress`` is in the official documentation, and no code of the bridge calls it."""

FORMER_NAMES = {
    Store: "begin_turn add_user_message save_thread_changes load_attachments delete_items_after "
    "save_feedback mark_once remove_mark load_items_json scan_items",
    AttachmentStore: "finish_uploads load_content save_generated_image find_attachment_id",
    ChatKitServer: "actions get_first_title check_action handle open_turn aclose",
    AgentContext: "loaded_history history_is_whole turn outbox emit",
    ThreadItemConverter: "_convert _convert_attachment _convert_tag",
    ResponseStreamConverter: "notice_texts error_texts get_notice hosted_tool_to_task",
}


def own_names(ours: type, theirs: type) -> Iterator[str]:
    """Yield what our class has and the official one has not."""
    names = {
        name
        for base in ours.__mro__
        if base.__module__.startswith("app.")
        for name in base.__dict__
    }
    names |= set(getattr(ours, "model_fields", ()))
    known = set(dir(theirs)) | set(getattr(theirs, "model_fields", ()))
    known |= set(getattr(theirs, "__private_attributes__", ()))
    for name in sorted(names - known):
        is_machinery = name.startswith("__") and name.endswith("__")
        if not is_machinery and not name.startswith(("_abc_", "model_")):
            yield name


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=lambda each: each.__module__)
def test_what_we_add_to_a_class_has_the_prefix(theirs: type, ours: type) -> None:
    names = set(own_names(ours, theirs))
    assert {name for name in names if not name.startswith(PREFIXES)} <= NEEDS_NO_PREFIX


class Taken:
    """Somebody else's: to touch it is an error."""

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self  # looking at the class is harmless
        raise AssertionError("this name belongs to the subclass")


def taken(ours: type) -> dict[str, Taken]:
    """Return every word that we use behind the prefix, and those that we have used without."""
    theirs = next(each for each, of_ours in PAIRS if of_ours is ours)
    words = [name.lstrip("_").removeprefix("chatkit_") for name in own_names(ours, theirs)]
    words += FORMER_NAMES[ours].split()
    names = {each for word in words for each in (word, "_" + word.lstrip("_"))}
    known = set(dir(theirs)) | set(getattr(theirs, "model_fields", ()))
    return {name: Taken() for name in names - known}


class TakenStore(MemoryStore):
    """Has every word of ours for itself."""

    # What the store for tests does by itself is not what is tried here.
    chatkit_save_thread_changes = Store.chatkit_save_thread_changes
    chatkit_save_feedback = Store.chatkit_save_feedback


class TakenFiles(AttachmentStore[RequestContext]):
    """Keeps nothing."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def create_attachment(self, input: Any, context: RequestContext) -> Attachment:
        return file("atc_new")

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        self.deleted.append(attachment_id)


class TakenServer(ActingServer):
    """Answers from a script."""


class TakenContext(AgentContext[RequestContext]):
    """Streams as it did."""


class TakenItems(ThreadItemConverter):
    """Converts as it did."""


class TakenEvents(ResponseStreamConverter):
    """Converts as it did."""


SUBCLASSES: dict[type, type] = {
    Store: TakenStore,
    AttachmentStore: TakenFiles,
    ChatKitServer: TakenServer,
    AgentContext: TakenContext,
    ThreadItemConverter: TakenItems,
    ResponseStreamConverter: TakenEvents,
}
for _ours, _subclass in SUBCLASSES.items():
    for _name, _value in taken(_ours).items():
        if _name not in vars(_subclass):
            setattr(_subclass, _name, _value)


@pytest.mark.parametrize("ours", FORMER_NAMES, ids=lambda each: each.__name__)
def test_words_are_taken(ours: type) -> None:
    """The trap itself works: every word raises where an instance is asked for it."""
    words = [word for word in FORMER_NAMES[ours].split() if not word.startswith("__")]
    for word in words:
        assert isinstance(vars(SUBCLASSES[ours])[word], Taken), word


async def create_server(*items: Any) -> TakenServer:
    store = TakenStore()
    await fill(store, ADA, *items)
    await store.save_attachment(file(), ADA)
    return TakenServer([done(answer("new", "Hi"))], store, TakenFiles())


@pytest.mark.parametrize(
    ("request_body", "items"),
    [
        (say(None, attachments=["atc_1"]), []),
        (say(attachments=["atc_1"]), [question("q")]),
        (body("threads.add_client_tool_output", thread_id=THREAD_ID, result=1), [pending_call()]),
        (
            body(
                "threads.add_structured_input",
                thread_id=THREAD_ID,
                item_id="questions",
                input={"status": "skipped", "answers": {}},
            ),
            [questions()],
        ),
        (retry("q"), [question("q"), answer("old", "x")]),
        (act("widget"), [offering_widget()]),
    ],
    ids=["create", "message", "tool output", "structured input", "retry", "action"],
)
async def test_turn_is_answered_when_a_subclass_has_taken_the_words(
    request_body: bytes, items: list[Any]
) -> None:
    events = await stream(await create_server(*items), request_body)
    assert types(events)[-1] == "thread.item.done"
    assert events[-1]["item"]["id"] == "new"


async def test_requests_are_answered_when_a_subclass_has_taken_the_words() -> None:
    server = await create_server(question("q"), answer("a", "x"))
    thread = {"thread_id": THREAD_ID}
    assert (await ask(server, body("threads.get_by_id", **thread)))["items"]["data"]
    assert (await ask(server, body("threads.list")))["data"]
    assert (await ask(server, body("items.list", **thread)))["data"]
    assert (await ask(server, body("threads.update", **thread, title="T")))["title"] == "T"
    feedback = body("items.feedback", **thread, item_ids=["a"], kind="positive")
    assert await ask(server, feedback) == {}
    created = body("attachments.create", name="a", size=1, mime_type="text/plain")
    assert (await ask(server, created))["id"] == "atc_new"
    assert await ask(server, body("attachments.delete", attachment_id="atc_1")) == {}
    assert await ask(server, body("threads.delete", **thread)) == {}


async def test_run_is_streamed_when_a_context_has_taken_the_words() -> None:
    @function_tool
    async def work(wrapper: RunContextWrapper[TakenContext]) -> str:
        """Work."""
        await wrapper.context.add_workflow_task(CustomTask(title="Step"))
        return "ok"

    @function_tool
    async def ask_page(wrapper: RunContextWrapper[TakenContext]) -> str:
        """Ask."""
        wrapper.context.client_tool_call = ClientToolCall(name="ask_page", arguments={})
        return "ok"

    store = TakenStore()
    thread = ThreadMetadata(id=THREAD_ID, created_at=MOMENT)
    await store.save_thread(thread, ADA)
    context = TakenContext(thread=thread, store=store, request_context=ADA)
    turns = [turn(call("work")), turn(text("Hi"), call("ask_page", call_id="c2"))]
    events = await run(
        turns, context, tools=[work, ask_page], stop_at=["ask_page"], converter=TakenEvents()
    )
    assert shape(events)[0:2] == ["added workflow", "done workflow"]
    assert shape(events)[-2:] == ["done message", "done client_tool_call"]


async def test_items_are_converted_when_a_converter_has_taken_the_words() -> None:
    assert json.dumps(await TakenItems().to_agent_input(ITEMS), default=str) == json.dumps(
        await ThreadItemConverter().to_agent_input(ITEMS), default=str
    )
