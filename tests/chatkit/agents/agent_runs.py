"""Runs of a scripted agent through the bridge, for tests."""

import asyncio
from collections.abc import Sequence
from typing import Any

from agents import Agent, RunConfig, Runner, RunResultStreaming
from agents.agent import StopAtTools

from app.chatkit.agents import AgentContext, ResponseStreamConverter, stream_agent_response
from app.chatkit.agents.tool_memory import is_tool_call
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import ThreadItem, ThreadMetadata, now
from tests.support.memory_store import MemoryStore
from tests.support.scripted_model import ScriptedModel, Step

THREAD_ID = "thr_1"


async def create_context(*items: ThreadItem, **fields: Any) -> AgentContext[RequestContext]:
    """Return a context on a thread that holds ``items``."""
    store, request_context = MemoryStore(), RequestContext(user_id="user_1")
    thread = ThreadMetadata(id=THREAD_ID, created_at=now())
    await store.save_thread(thread, request_context)
    for item in items:
        await store.add_thread_item(THREAD_ID, item, request_context)
    return AgentContext(thread=thread, store=store, request_context=request_context, **fields)


def stored(context: AgentContext[Any]) -> list[ThreadItem]:
    """Return what the store holds of the context's thread."""
    return context.store.items(THREAD_ID, context.request_context)


def start(
    turns: list[list[Step]] | ScriptedModel,
    context: AgentContext[Any],
    *,
    tools: Sequence[Any] = (),
    stop_at: Sequence[str] = (),
    max_turns: int = 10,
    **agent_fields: Any,
) -> RunResultStreaming:
    """Start a run of an agent whose model plays ``turns``."""
    model = turns if isinstance(turns, ScriptedModel) else ScriptedModel(turns)
    if stop_at:
        agent_fields["tool_use_behavior"] = StopAtTools(stop_at_tool_names=list(stop_at))
    agent = Agent[Any](name="test", model=model, tools=list(tools), **agent_fields)
    return Runner.run_streamed(
        agent,
        "hi",
        context=context,
        max_turns=max_turns,
        run_config=RunConfig(tracing_disabled=True),
    )


async def run(
    turns: list[list[Step]] | ScriptedModel,
    context: AgentContext[Any] | None = None,
    *,
    converter: ResponseStreamConverter | None = None,
    **fields: Any,
) -> list[ThreadStreamEvent]:
    """Return the thread events of a whole run, without those that remember its tool calls."""
    context = context or await create_context()
    events: list[ThreadStreamEvent] = []
    await collect(events, context, start(turns, context, **fields), converter)
    stored = ("thread.item.done", "thread.item.replaced")
    return [each for each in events if not (each.type in stored and is_tool_call(each.item))]


async def collect(
    events: list[ThreadStreamEvent],
    context: AgentContext[Any],
    result: Any,
    converter: ResponseStreamConverter | None = None,
) -> None:
    """Append the thread events of ``result`` to ``events``, also where the run then fails."""
    options = {"converter": converter} if converter else {}
    async for event in stream_agent_response(context, result, **options):
        events.append(event)


async def run_fake(
    steps: Sequence[Any], context: AgentContext[Any] | None = None
) -> list[ThreadStreamEvent]:
    """Return the thread events of Responses events that no SDK has looked at."""
    events: list[ThreadStreamEvent] = []
    await collect(events, context or await create_context(), FakeRun(steps))
    return events


def shape(events: Sequence[ThreadStreamEvent]) -> list[str]:
    """Return the events in short: ``added message``, ``update text_delta``, ``notice`` …"""
    return [_describe(event) for event in events]


def _describe(event: ThreadStreamEvent) -> str:
    match event.type:
        case "thread.item.added" | "thread.item.done" | "thread.item.replaced":
            kind = event.item.type.removeprefix("assistant_")
            return f"{event.type.removeprefix('thread.item.')} {kind}"
        case "thread.item.updated":
            return f"update {event.update.type.rpartition('.')[2]}"
        case "thread.item.removed":
            return "removed"
        case _:
            return event.type


def items(events: Sequence[ThreadStreamEvent], type: str = "thread.item.done") -> list[Any]:
    """Return the items of the events of one type."""
    return [event.item for event in events if event.type == type]


def updates(events: Sequence[ThreadStreamEvent], suffix: str) -> list[Any]:
    """Return the updates whose type ends in ``suffix``."""
    return [
        event.update
        for event in events
        if event.type == "thread.item.updated" and event.update.type.endswith(suffix)
    ]


def streamed_text(events: Sequence[ThreadStreamEvent]) -> str:
    """Return all text deltas joined."""
    return "".join(update.delta for update in updates(events, "text_delta"))


_earlier_tasks: set[asyncio.Task[Any]] = set()


def note_tasks() -> None:
    """Take note of the tasks there are: those of fixtures that serve the whole session."""
    _earlier_tasks.clear()
    _earlier_tasks.update(asyncio.all_tasks())


def other_tasks() -> set[asyncio.Task[Any]]:
    """Return every pending task that is newer than the test, but the caller's."""
    return asyncio.all_tasks() - {asyncio.current_task()} - _earlier_tasks


class FakeRun:
    """A run result that yields given Responses events: what an SDK version or stub may be."""

    def __init__(self, events: Sequence[Any], **fields: Any) -> None:
        self._events = events
        self.is_cancelled = False
        self.interruptions: list[Any] = []
        self.__dict__.update(fields)

    async def stream_events(self) -> Any:
        for event in self._events:
            if isinstance(event, BaseException):
                raise event
            yield (
                event
                if hasattr(event, "item") and not hasattr(event, "output_index")
                else Raw(event)
            )

    def cancel(self, mode: str = "immediate") -> None:
        self.is_cancelled = True


class Raw:
    """A raw event of the run, told apart by its ``type`` alone."""

    type = "raw_response_event"

    def __init__(self, data: Any) -> None:
        self.data = data
