"""Every loop over the text of a client or a model takes time linear in that text.

Where a loop sends something, what it sends is counted instead of the time that it takes.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.deps import get_locale
from app.api.files import _is_known, _parse_range
from app.api.server_objects import item_object
from app.assistant.files import _file_name
from app.assistant.titles import clean_title, first_words
from app.auth.identity import AnonymousIdentity
from app.auth.user_ids import accept_user_id
from app.chatkit.action_routing.guard import check_leniently, check_strictly
from app.chatkit.action_routing.widget_edits import consume, fill_in
from app.chatkit.actions import Action, ActionConfig
from app.chatkit.agents import AgentContext, ThreadItemConverter, refusals
from app.chatkit.agents.client_tool_calls import FunctionCall
from app.chatkit.agents.input_items import leave_base64_out
from app.chatkit.agents.messages import MessageStreamer
from app.chatkit.agents.outbox import Outbox
from app.chatkit.agents.reasoning import ReasoningStreamer
from app.chatkit.agents.tool_memory import RememberedResponse, create_memory, read_memory
from app.chatkit.context import RequestContext
from app.chatkit.engine.turn_opener import answer_structured_input
from app.chatkit.errors import InvalidRequestError, RequestRefusedError
from app.chatkit.protocol.events import (
    AssistantMessageContentPartTextDelta,
    WorkflowTaskAdded,
)
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    FileAttachment,
    InferenceOptions,
    StructuredInputFreeform,
    StructuredInputItem,
    TaskItem,
    ThoughtTask,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    WidgetItem,
    Workflow,
    WorkflowItem,
    now,
)
from app.chatkit.protocol.requests import (
    StructuredInputAnswerSubmission,
    StructuredInputSubmission,
)
from app.chatkit.protocol.serialization import (
    clean_json,
    clean_text,
    clean_value,
    dump_value,
    dump_wire,
)
from app.chatkit.protocol.sse import encode_event
from app.chatkit.server import parse_request
from app.chatkit.streaming.pending_items import PendingItems
from app.chatkit.streaming.widget_diff import diff_widget
from app.chatkit.widgets import Button, Card, Form, Input, Text
from app.db import database
from app.db.pending_items import PendingItems as StoredPendingItems
from app.observability import hide_link
from app.providers import title_cleaning
from app.providers.offline.input import read_conversation
from app.providers.offline.script import Conversation, plan_answer
from app.runs.log import RunLog
from app.uploads.file_urls import FileUrls
from app.uploads.previews import BrokenImageError, _check_scans
from app.uploads.receiving import CheckedBytes, clean_name, open_file
from app.uploads.sniffing import check_declared, decode_accepted, decode_text, sniff
from tests.security.linear import MOST, grows_linearly, run_now
from tests.support.memory_store import MemoryStore

Work = Callable[[Any], object]
Make = Callable[[int], Any]

BASE: dict[str, Any] = {"id": "x", "thread_id": "thr_1", "created_at": now()}
URLS = FileUrls(b"s" * 32, upload_ttl=60, view_ttl=60)
LINK = URLS.make("files", "https://chat.example", "user", "atc_1")
IDENTITY = AnonymousIdentity(b"s" * 32)


def refused(work: Work) -> Work:
    """Return the same work, which may refuse what it is given."""

    def run(value: Any) -> None:
        with suppress(RequestRefusedError, BrokenImageError, UnicodeError):
            work(value)

    return run


# --- requests ------------------------------------------------------------------------------------


def body(content: Any, **fields: Any) -> bytes:
    given = {"content": content, "attachments": [], "inference_options": {}, **fields}
    return json.dumps({"type": "threads.create", "params": {"input": given}}).encode()


def part(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


REQUESTS: dict[str, Make] = {
    "long text": lambda n: body([part("x" * n)]),
    "escaped text": lambda n: body([part("\\\x00" * n)]),
    "many parts": lambda n: body([part("x")] * n),
    "many wrong parts": lambda n: body([1] * n),
    "many files": lambda n: body([], attachments=["atc"] * n),
    "many mentions": lambda n: body(
        [{"type": "input_tag", "id": "1", "text": "t", "data": {"url": "attachment:a"}}] * n
    ),
    "deep data": lambda n: (
        b'{"type":"threads.list","params":{},"metadata":{"a":' + b"[" * n + b"]" * n + b"}}"
    ),
    "many keys": lambda n: json.dumps(
        {"type": "threads.list", "params": {}, "metadata": {f"k{i}": i for i in range(n)}}
    ).encode(),
    "long type": lambda n: b'{"type":"' + b"x" * n + b'"}',
    "no json": lambda n: b"\\" * n,
    "no numbers": lambda n: b"[" + b"NaN," * n,
}

# --- model input ---------------------------------------------------------------------------------


def converted(item: Any) -> object:
    return run_now(ThreadItemConverter().to_agent_input([item]))


def user(content: list[Any], **fields: Any) -> UserMessageItem:
    return UserMessageItem(**BASE, content=content, inference_options=InferenceOptions(), **fields)


def words(text: str) -> UserMessageItem:
    return user([UserMessageTextContent(text=text)])


def questions(n: int) -> StructuredInputItem:
    return StructuredInputItem(
        **BASE,
        inputs=[
            StructuredInputFreeform(id=f"q{i}", question="?<HiddenContext" * 2) for i in range(n)
        ],
    )


ITEMS: dict[str, Make] = {
    "text": lambda n: words("<" + " " * n),
    "marks": lambda n: words("< HiddenContext" * (n // 15)),
    "quote": lambda n: user([], quoted_text="</Quote" * (n // 7)),
    "mentions": lambda n: user(
        [UserMessageTagContent(id=f"{i}", text="t" * 9, data={"a": "<"}) for i in range(n // 20)]
    ),
    "data of a mention": lambda n: user(
        [UserMessageTagContent(id="1", text="t", data={"a": "<" * n})]
    ),
    "files": lambda n: user(
        [], attachments=[FileAttachment(id="a", name="<" * n, mime_type="<" * n)]
    ),
    "answers": lambda n: questions(n // 20),
    "widget": lambda n: WidgetItem(**BASE, widget=Card(children=[Text(value="<" * n)])),
    "task": lambda n: TaskItem(**BASE, task={"type": "custom", "content": "</Task" * (n // 6)}),
    "workflow": lambda n: WorkflowItem(
        **BASE,
        workflow=Workflow(type="custom", tasks=[{"type": "custom", "title": "<"}] * (n // 20)),
    ),
}

# --- widgets and actions -------------------------------------------------------------------------


def form(n: int) -> Card:
    inputs = [Input(name=f"f{i}") for i in range(n)]
    buttons = [Button(label="b", onClickAction=ActionConfig(type=f"a{i}")) for i in range(n)]
    return Card(
        children=[Form(onSubmitAction=ActionConfig(type="go"), children=[*inputs, *buttons])]
    )


def values(n: int) -> dict[str, Any]:
    return {f"f{i}": "v" for i in range(n)}


def rows(n: int) -> WidgetItem:
    """Return a list of rows with the same action, each with a value of its own."""
    buttons = [
        Button(label="b", onClickAction=ActionConfig(type="go", payload={"row": i % 7}))
        for i in range(n)
    ]
    return WidgetItem(**BASE, widget=Card(children=[Form(children=buttons)]))


def offers(check: Callable[..., object]) -> Work:
    def work(given: tuple[WidgetItem, dict[str, Any]]) -> None:
        check(given[0], Action[str, Any](type="go", payload=given[1]), streaming=True)

    return refused(work)


# --- streams -------------------------------------------------------------------------------------


def follow(deltas: list[str]) -> object:
    """Follow an answer that comes in deltas, and look at it at the end."""
    pending = PendingItems()
    pending.add(AssistantMessageItem(**BASE, content=[]))
    for each in deltas:
        update = AssistantMessageContentPartTextDelta(content_index=0, delta=each)
        pending.update("x", update)
    return pending.current()


def show_tasks(n: int) -> object:
    pending = PendingItems()
    pending.add(WorkflowItem(**BASE, workflow=Workflow(type="custom", tasks=[])))
    for index in range(n):
        update = WorkflowTaskAdded(task_index=index, task=ThoughtTask(content="x"))
        pending.update("x", update)
    return pending.current()


def pile_up(n: int) -> object:
    outbox = Outbox()
    for _ in range(n):
        outbox.put_text("x", 0, "word ")
    return outbox.take_all()


def full_log(n: int) -> RunLog:
    log = RunLog("run_1", max_bytes=2**40)
    for _ in range(n):
        log.append(b"data: 1\n\n")
    log.close()
    return log


def read_late(log: RunLog) -> object:
    async def read() -> int:
        return sum([len(piece) async for piece in log.read()])

    return run_now(read())


def read_along(n: int) -> object:
    """Read each frame as it comes, behind ``n`` that were read before."""

    async def read() -> None:
        log = RunLog("run_1", max_bytes=2**40)
        reader = log.read()
        for _ in range(n):
            log.append(b"data: 1\n\n")
            log.append(b"data: 2\n\n")
            await anext(reader)

    return run_now(read())


# --- files ---------------------------------------------------------------------------------------


async def _chunks(data: bytes, size: int = 64) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def check(data: bytes) -> object:
    async def read() -> int:
        checked = CheckedBytes(_chunks(data, 1), limit=2**40, check=lambda _: None)
        return sum([len(each) async for each in checked.stream()])

    return run_now(read())


def receive(data: bytes) -> object:
    async def read() -> int:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        file = await open_file(headers, _chunks(data))
        return sum([len(each) async for each in file.chunks])

    return refused(lambda _: run_now(read()))(None)


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--b--\r\n'


def scans(data: bytes) -> object:
    return refused(_check_scans)(io.BytesIO(data))


def request_with(**headers: str) -> Any:
    return SimpleNamespace(headers=headers)


COMPLAINTS = (
    refusals.is_too_long,
    refusals.refuses_images,
    refusals.refuses_files,
    refusals.is_for_good,
    refusals.find_setup_fault,
)


WORK: dict[str, tuple[Work, Make, int]] = {
    **{
        f"request: {name}": (refused(parse_request), make, 1_000) for name, make in REQUESTS.items()
    },
    **{f"model input: {name}": (converted, make, 8_000) for name, make in ITEMS.items()},
    "clean_text": (clean_text, lambda n: "\x00é" * n, 20_000),
    "clean_json": (clean_json, lambda n: b"\\" * n + b"\\u0000", 20_000),
    "clean_value": (clean_value, lambda n: [{"\x00": ["\ud800"] * n}], 2_000),
    "dump_value": (dump_value, lambda n: {"a": ["\ud800"] * n, "b": float("nan")}, 2_000),
    "dump_wire": (dump_wire, lambda n: words("\ud800\\\x00" * n), 5_000),
    "encode_event": (
        encode_event,
        lambda n: AssistantMessageContentPartTextDelta(content_index=0, delta="\ud800\x00" * n),
        5_000,
    ),
    "parameters of statements": (database._clean, lambda n: ["\x00é"] * n, 5_000),
    "titles": (clean_title, lambda n: " #x" * n, 3_000),
    "first words": (first_words, lambda n: user([UserMessageTextContent(text=" ")] * n), 2_000),
    "name for a model": (
        lambda name: _file_name(FileAttachment(id="a", name=name, mime_type="x"), ".pdf"),
        lambda n: "\n.pdf" * n,
        5_000,
    ),
    "answers to questions": (
        lambda given: answer_structured_input(*given),
        lambda n: (
            questions(n),
            StructuredInputSubmission(
                answers={
                    f"q{i}": StructuredInputAnswerSubmission(values=["x"]) for i in range(2 * n)
                }
            ),
        ),
        300,
    ),
    "form with many actions": (
        offers(check_strictly),
        lambda n: (WidgetItem(**BASE, widget=form(n)), values(n)),
        250,
    ),
    "rows with the same action": (
        offers(check_leniently),
        lambda n: (rows(n), {"row": 3, **values(40 * n)}),
        50,
    ),
    "rows that only the page handles": (
        offers(check_leniently),
        lambda n: (rows(n), {"row": 9, **values(40 * n)}),
        50,
    ),
    "values of a form": (lambda given: fill_in(*given), lambda n: (form(n), values(n)), 250),
    "used up widget": (consume, form, 250),
    "differences of widgets": (
        lambda given: diff_widget(*given),
        lambda n: (
            Card(children=[Text(id=f"t{i}", value="a") for i in range(n)]),
            Card(children=[Text(id=f"t{i}", value="ab") for i in range(n)]),
        ),
        100,
    ),
    "deltas of an answer": (follow, lambda n: ["word "] * n, 2_000),
    "tasks of a workflow": (show_tasks, lambda n: n, 500),
    "unread deltas": (pile_up, lambda n: n, 5_000),
    "reader that comes late": (read_late, full_log, 5_000),
    "reader that keeps up": (read_along, lambda n: n, 2_000),
    "remembered call": (
        lambda text: read_memory(
            create_memory(
                "t",
                RememberedResponse(
                    [
                        {"type": "function_call", "call_id": "c", "name": "n", "arguments": text},
                        {"type": "function_call_output", "call_id": "c", "output": [text]},
                    ]
                ),
            )
        ),
        lambda n: '"\\' * n,
        20_000,
    ),
    "files in base64": (
        leave_base64_out,
        lambda n: "data:a/b;base64," + "a" * 59 + "\n" * n,
        20_000,
    ),
    "broken files in base64": (leave_base64_out, lambda n: ("data:a/" + "a" * 59 + " ") * n, 1_000),
    "pages with pending items": (
        lambda given: StoredPendingItems(given, "desc").join([], "i0"),
        lambda n: json.dumps([{"id": f"i{i}", "text": "é"} for i in range(n)]),
        1_000,
    ),
    "item of the server API": (
        item_object,
        lambda n: dump_wire(
            AssistantMessageItem(**BASE, content=[AssistantMessageContent(text="x")] * n)
        ),
        200,
    ),
    "offline model": (
        lambda text: plan_answer(Conversation(user_texts=[text]), ["get_weather"]),
        lambda n: "dark browser trip weather in\n" * n,
        1_000,
    ),
    "what the offline model reads": (
        read_conversation,
        lambda n: [{"role": "user", "content": "The user attached the file (type " * n}] * 2,
        1_000,
    ),
    "complaints of a provider": (
        lambda text: [each(text) for each in COMPLAINTS],
        lambda n: "image_ not exceed" * n,
        200,
    ),
    "links, hidden": (
        lambda data: URLS.hide(data, "user"),
        lambda n: dump_value([{"url": "https://" + "a" * 500 + "/api/files/"}] * n),
        100,
    ),
    "links, shown": (
        lambda data: URLS.show(data, "https://chat.example", "user"),
        lambda n: dump_value({"type": "user_message", "data": [{"url": "attachment:a"}] * n}),
        1_000,
    ),
    "links, read": (URLS.find_attachment_id, lambda n: LINK + "A" * n, 20_000),
    "hidden links": (hide_link, lambda n: "/api/files/" * n, 2_000),
    "sniffing": (
        lambda data: (sniff(data), check_declared("text/plain", "a", data)),
        lambda n: b"<!-- -->" * n,
        2_000,
    ),
    "text of a file": (decode_text, lambda n: b"\xe9 " * n, 5_000),
    "text with mistakes": (decode_accepted, lambda n: b"\xff\x00\x81" * n, 5_000),
    "names of files": (clean_name, lambda n: "\\a\x00" * n, 5_000),
    "bytes one by one": (check, lambda n: b"x" * n, 4_000),
    "multipart: data": (receive, lambda n: PART % (b"a", b"\r\n--" * n), 2_000),
    "multipart: a name": (receive, lambda n: PART % (b'\\"' * n, b""), 1_000),
    "multipart: headers": (receive, lambda n: b"--b\r\n" + b"a: b\r\n" * n, 2_000),
    "scans of a JPEG": (scans, lambda n: b"\xff\xd8" + b"\xff\xda\x00\x02" * n, 20_000),
    "pixels of a JPEG": (scans, lambda n: b"\xff\xd8" + b"\xff\x00" * n, 50_000),
    "ranges": (lambda text: _parse_range(text, 9), lambda n: "bytes=" + "1" * n, 20_000),
    "tags": (lambda text: _is_known(text, '"x"'), lambda n: '"a", W/' * n, 5_000),
    "locale": (get_locale, lambda n: request_with(**{"accept-language": "-a" * n}), 20_000),
    "cookie": (IDENTITY._read, lambda n: ".a" * n, 20_000),
    "user ids": (accept_user_id, lambda n: "a" * n, 20_000),
}


@pytest.mark.parametrize("name", WORK)
def test_work_grows_no_faster_than_its_input(name: str) -> None:
    work, make, n = WORK[name]
    ratio = grows_linearly(work, make, n)
    assert ratio <= MOST, f"{name}: {ratio:.1f}"


# --- what is sent --------------------------------------------------------------------------------


def context() -> AgentContext[RequestContext]:
    return AgentContext(
        thread=ThreadMetadata(id="thr_1", created_at=now()),
        store=MemoryStore(),
        request_context=RequestContext(user_id="user"),
    )


async def think(length: int) -> int:
    """Return the bytes of what is sent of a thought that comes in short deltas, each at once."""
    agent = context()
    thoughts = ReasoningStreamer(agent)
    sent = 0
    for _ in range(length // 10):
        await thoughts.add_summary(SimpleNamespace(output_index=0, summary_index=0, delta="x" * 10))
        sent += sum(len(encode_event(each)) for each in agent.chatkit_outbox.take_all())
    thoughts.begin_response()  # without an end of the thought
    for each in agent.chatkit_outbox.take_all():
        sent += len(encode_event(each))
    item = agent.workflow_item
    assert item is not None
    assert isinstance(item.workflow.tasks[0], ThoughtTask)
    assert len(item.workflow.tasks[0].content) == length
    return sent


async def test_thought_is_sent_in_proportion_to_its_length() -> None:
    small, large = await think(10_000), await think(40_000)
    assert large <= MOST * small
    assert large <= 40 * 40_000


async def test_answer_is_sent_in_proportion_to_its_length() -> None:
    async def say(length: int) -> int:
        agent = context()
        ids = SimpleNamespace(claim=lambda raw, kind: asyncio.sleep(0, "msg_1"))
        messages = MessageStreamer(agent, None, ids)  # type: ignore[arg-type]
        sent = 0
        for _ in range(length // 10):
            event = SimpleNamespace(output_index=0, content_index=0, item_id="", delta="x" * 10)
            if (work := messages.add_text(event)) is not None:
                await work
            sent += sum(len(encode_event(each)) for each in agent.chatkit_outbox.take_all())
        return sent

    assert await say(40_000) <= MOST * await say(10_000)


def test_model_fails_nobody_when_its_json_is_deep() -> None:
    deep = "[" * 100_000
    assert title_cleaning.clean_title(deep) == ""
    assert title_cleaning.clean_title("[" * 900 + "]" * 900) == ""
    assert refusals.read_texts(deep).startswith("[[")
    call = FunctionCall(turn=1, name="n", call_id="c", item_id="i", arguments=deep)
    assert not call.has_arguments({})


def test_wrong_request_is_described_in_few_words() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse_request(b'{"type":"' + b"x" * 100_000 + b'"}')
    assert len(str(refusal.value)) < 2_000
