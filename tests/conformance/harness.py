"""The same conversation with a server of the official package and with one of ours.

A scenario is written once, against a ``Talk``. It says how the server answers, in terms of a
``Kit`` (the modules of one of the packages), and sends requests; the ``Talk`` writes down what
comes back, and at the end what the store holds.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import anyio
from agents import Agent, RunConfig, Runner

from app.chatkit.context import RequestContext
from tests.conformance.official_store import OfficialStore
from tests.conformance.official_surface import official, ours
from tests.conformance.transcript import Json, Transcript
from tests.support.memory_store import MemoryStore
from tests.support.scripted_model import ScriptedModel, Step

CONTEXT = RequestContext(user_id="user_1")
MANY_STEPS = 50
"""More turns of the event loop than any event needs on its way to the reader."""

Respond = Callable[..., AsyncIterator[Any]]
Scenario = Callable[["Talk"], Awaitable[None]]


@dataclass(frozen=True)
class Kit:
    """One of the two packages, under the module names that they share."""

    is_ours: bool
    types: ModuleType
    widgets: ModuleType
    actions: ModuleType
    errors: ModuleType
    store: ModuleType
    server: ModuleType
    agents: ModuleType


def _create_kit(module: Callable[[str], ModuleType]) -> Kit:
    names = ("types", "widgets", "actions", "errors", "store", "server", "agents")
    return Kit(is_ours=module is ours, **{name: module(name) for name in names})


OFFICIAL, OURS = _create_kit(official), _create_kit(ours)


async def settle() -> None:
    """Let every other task run until it has to wait for something."""
    for _ in range(MANY_STEPS):
        await asyncio.sleep(0)


class Gate:
    """A place in an answer that never goes on: whoever waits there has to be cancelled."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._never = asyncio.Event()  # held here, or else the tasks that wait could vanish

    async def hold(self) -> None:
        """Say that the place is reached, and stay."""
        self.reached.set()
        await self._never.wait()


@dataclass
class Talk:
    """One user of one server. ``responds`` are the answers to come; the last one repeats."""

    kit: Kit
    responds: list[Respond] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)
    has_uploads: bool = True
    thread_id: str = ""

    def __post_init__(self) -> None:
        self.store: Any = MemoryStore() if self.kit.is_ours else OfficialStore()
        self.transcript = Transcript(aware=self.kit.is_ours)
        self._server: Any = None

    # --- how the server answers ------------------------------------------------------------------

    def answer(self, *responds: Respond) -> None:
        """Set the answers of the next turns."""
        self.responds = list(responds)

    def answer_with(self, *events: Any) -> None:
        """Let every turn yield these events."""

        async def respond(thread: Any, message: Any, context: Any) -> AsyncIterator[Any]:
            for event in events:
                yield event

        self.answer(respond)

    def override(self, **methods: Callable[..., Any]) -> None:
        """Set methods of the server, without ``self``; only before the first request."""
        assert self._server is None
        self.overrides |= {name: staticmethod(method) for name, method in methods.items()}

    def answer_by_model(self, *turns: list[Step], rest: bool = True, **options: Any) -> None:
        """Let a scripted model speak its turns one after another; see ``run_model``.

        It rests behind every event, until the reader has it; without that, what the reader sees
        of an object that goes on changing is a matter of luck with the official package.
        """
        steps = [[each for step in turn for each in (step, settle)] for turn in turns]
        model = ScriptedModel(steps if rest else list(turns))
        self.answer(lambda *args: run_model(self, model, *args, **options))

    # --- requests --------------------------------------------------------------------------------

    async def say(self, text: str = "Hello", **fields: Any) -> list[Json]:
        """Send a message, the first one to a new thread."""
        message = user_input(text, **fields)
        if self.thread_id:
            params = {"thread_id": self.thread_id, "input": message}
            return await self.send("threads.add_user_message", **params)
        return await self.send("threads.create", input=message)

    async def send_to_thread(self, request_type: str, **params: Any) -> Any:
        """Send a request about the thread."""
        return await self.send(request_type, thread_id=self.thread_id, **params)

    async def send(self, request_type: str, **params: Any) -> Any:
        """Send a request and return its events or its JSON, also where it fails in the middle."""
        return await self.send_body(request_type, _body(request_type, params))

    async def send_body(self, label: str, body: str | bytes | bytearray) -> Any:
        """Send a body of any kind."""
        self.transcript.begin(label)
        # A task of its own: what one server leaves behind in its context must not reach the other.
        return await asyncio.create_task(self._exchange(body))

    async def _exchange(self, body: str | bytes | bytearray) -> Any:
        events: list[Json] = []
        try:
            result = await self.server.process(body, CONTEXT)
            if hasattr(result, "json"):
                answer = json.loads(result.json)
                self.transcript.add(answer)
                return answer
            async for frame in result:
                events.append(read_frame(frame))
        except Exception as error:
            self._write(events)
            self.transcript.note(f"raises {self.describe(error)}")
            return events
        except asyncio.CancelledError:
            self._write(events)
            raise
        self._write(events)
        return events

    def _write(self, events: list[Json]) -> None:
        self.transcript.add_events(events)
        if events and events[0]["type"] == "thread.created":
            self.thread_id = events[0]["thread"]["id"]

    def describe(self, error: Exception) -> str:
        """Return what kind of error it is, in words that fit both packages."""
        for cls, kind in (
            (self.kit.store.NotFoundError, "not found"),
            (RuntimeError, "unsupported"),  # NotImplementedError is one
            (ValueError, "refused"),  # a ValidationError is one
        ):
            if isinstance(error, cls):
                return kind
        return type(error).__name__

    # --- broken connections ----------------------------------------------------------------------

    async def cancel_at(self, gate: Gate, request_type: str, **params: Any) -> None:
        """Send a request, and cancel the task that reads it when the answer is at ``gate``."""
        self.transcript.begin(request_type)
        task = asyncio.create_task(self._exchange(_body(request_type, params)))
        await self._wait_for(gate)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self.transcript.note("cancelled")

    async def disconnect_at(self, gate: Gate, request_type: str, **params: Any) -> None:
        """The same, the way web servers do it: by a scope that cancels every further wait."""
        self.transcript.begin(request_type)
        async with anyio.create_task_group() as group:
            group.start_soon(self._exchange, _body(request_type, params))
            await self._wait_for(gate)
            group.cancel_scope.cancel()
        self.transcript.note("disconnected")

    async def close_after(self, count: int, request_type: str, **params: Any) -> None:
        """Send a request, read ``count`` events and close the stream."""
        self.transcript.begin(request_type)
        result = await self.server.process(_body(request_type, params), CONTEXT)
        events = [read_frame(await anext(result.json_events)) for _ in range(count)]
        await result.json_events.aclose()
        self._write(events)
        self.transcript.note("closed")

    async def read_from_many_tasks(self, request_type: str, **params: Any) -> None:
        """Send a request and read every event in a task of its own."""
        self.transcript.begin(request_type)
        result = await self.server.process(_body(request_type, params), CONTEXT)
        events: list[Json] = []
        with suppress(StopAsyncIteration):
            while True:
                step = asyncio.create_task(_next(result.json_events))
                events.append(read_frame(await step))
        self._write(events)

    async def _wait_for(self, gate: Gate) -> None:
        await gate.reached.wait()
        await settle()

    # --- the server ------------------------------------------------------------------------------

    @property
    def server(self) -> Any:
        """The server, built at the first request."""
        if self._server is None:
            uploads = create_uploads(self.kit) if self.has_uploads else None
            self._server = self._create_server_class()(self.store, uploads)
        return self._server

    def _create_server_class(self) -> type:
        talk = self

        class Server(self.kit.server.ChatKitServer):
            def respond(self, thread: Any, input_user_message: Any, context: Any) -> Any:
                respond = talk.responds.pop(0) if len(talk.responds) > 1 else talk.responds[0]
                return respond(thread, input_user_message, context)

        for name, method in self.overrides.items():
            setattr(Server, name, method)
        return Server

    # --- the end ---------------------------------------------------------------------------------

    def finish(self) -> Transcript:
        """Write down what the store holds, and return everything that was written."""
        kept = self.store.rooms[CONTEXT.user_id] if self.kit.is_ours else self.store
        for thread in kept.threads.values():
            self.transcript.add(dump(thread), "thread")
        for items in kept.items.values():
            for item in items.values():
                self.transcript.add(dump(item), item.type)
        for attachment in kept.attachments.values():
            self.transcript.add(dump(attachment), "attachment")
        return self.transcript


def _body(request_type: str, params: Json) -> str:
    return json.dumps({"type": request_type, "params": params})


async def _next(frames: AsyncIterator[bytes]) -> bytes:
    return await anext(frames)


def dump(model: Any) -> Json:
    """Return a model as a store would write it down, if it could."""
    try:
        return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
    except ValueError:
        return {"id": model.id, "fault": "it is no JSON"}


def read_frame(frame: bytes) -> Json:
    """Return the event of one frame, which must be one ``data`` line and a blank one."""
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n") == 2
    return json.loads(frame.removeprefix(b"data: "))


def user_input(text: str = "Hello", **fields: Any) -> Json:
    """Return a message as a client sends it."""
    content = [{"type": "input_text", "text": text}]
    return {"content": content, "attachments": [], "inference_options": {}, **fields}


def create_uploads(kit: Kit) -> Any:
    """Return an attachment store for two-phase uploads."""

    class Uploads(kit.store.AttachmentStore):
        async def create_attachment(self, input: Any, context: Any) -> Any:
            return kit.types.FileAttachment(
                id=self.generate_attachment_id(input.mime_type, context),
                name=input.name,
                mime_type=input.mime_type,
                upload_descriptor=kit.types.AttachmentUploadDescriptor(
                    url="https://files.example/1", method="PUT", headers={"x-a": "b"}
                ),
                metadata={"secret": "path"},
            )

        async def delete_attachment(self, attachment_id: str, context: Any) -> None:
            return None

    return Uploads()


async def run_model(
    talk: Talk,
    model: ScriptedModel,
    thread: Any,
    message: Any,
    context: Any,
    *,
    converter: Any = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """Yield the events of an agent run; ``options`` are the agent's."""
    bridge = talk.kit.agents
    agent_context = bridge.AgentContext(thread=thread, store=talk.store, request_context=context)
    agent = Agent(name="scripted", model=model, **options)
    result = Runner.run_streamed(
        agent, "Hello", context=agent_context, run_config=RunConfig(tracing_disabled=True)
    )
    given = {"converter": converter} if converter else {}
    async for event in bridge.stream_agent_response(agent_context, result, **given):
        yield event


def done_id(events: Sequence[Json], item_type: str) -> str:
    """Return the id of the last item of that type that was done in these events."""
    return [
        event["item"]["id"]
        for event in events
        if event["type"] == "thread.item.done" and event["item"]["type"] == item_type
    ][-1]


async def run(kit: Kit, scenario: Scenario) -> Transcript:
    """Return what happens in a scenario with one of the packages."""
    before = asyncio.all_tasks()
    talk = Talk(kit)
    await scenario(talk)
    await settle()
    talk.transcript.end()
    if left := asyncio.all_tasks() - before:
        talk.transcript.note("tasks are left behind")
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    return talk.finish()
