"""The bridge from the Agents SDK: a streamed run in, thread events out.

A pump task reads the run's events and turns each into thread events at once, into the outbox that
the tools stream to as well; so the order is that of arrival. The stream drains the outbox, as much
at a time as is ready. It may be read from any task, and leaves none behind.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, cast

from agents import (
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    RunResultStreaming,
)

from app.chatkit.agents.context import AgentContext
from app.chatkit.agents.event_handlers import AgentEventHandlers
from app.chatkit.agents.provider_errors import describe_provider_error
from app.chatkit.agents.response_converter import ResponseStreamConverter
from app.chatkit.agents.usage import record_usage
from app.chatkit.protocol.events import ThreadItemRemovedEvent, ThreadStreamEvent
from app.chatkit.protocol.items import ThreadItem
from app.chatkit.shielding import run_to_completion
from app.chatkit.untyped import get_field

RECENT_ITEMS = 20
"""How many items are read where the caller has given no history: a workflow and calls behind it."""

SHUTDOWN_SECONDS = 5.0
"""How long a cancelled run may take to end before it is left to itself."""

DEFAULT_CONVERTER = ResponseStreamConverter()

logger = logging.getLogger("chatkit")


def stream_agent_response(
    context: AgentContext[Any],
    result: RunResultStreaming,
    *,
    converter: ResponseStreamConverter = DEFAULT_CONVERTER,
) -> AsyncGenerator[ThreadStreamEvent, None]:
    """Yield the thread events of a streamed run, and those that its tools put on ``context``.

    Raises ``CustomStreamError`` for what went wrong at the provider, and everything else as the run
    raises it; when a guardrail trips, what the run produced is removed first. Closing or cancelling
    the generator cancels the run.
    """
    return AgentResponse(context, result, converter)


class AgentResponse(AsyncGenerator[ThreadStreamEvent, None]):
    """An async generator whose ``aclose`` ends the run even where no event was ever asked for."""

    def __init__(
        self,
        context: AgentContext[Any],
        result: RunResultStreaming,
        converter: ResponseStreamConverter,
    ) -> None:
        self._context = context
        self._result = result
        self._converter = converter
        self._is_started = False
        self._events = self._stream()

    def __aiter__(self) -> AsyncGenerator[ThreadStreamEvent, None]:
        return self._events

    async def __anext__(self) -> ThreadStreamEvent:
        return await anext(self._events)

    async def asend(self, value: None) -> ThreadStreamEvent:
        """Return the next event."""
        return await self._events.asend(value)

    async def athrow(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> ThreadStreamEvent:
        """Raise an exception where the generator stands."""
        error = typ if isinstance(typ, BaseException) else val or typ()
        return await self._events.athrow(cast("BaseException", error))

    async def aclose(self) -> None:
        """End the run, and wait until its tasks have ended."""
        await self._events.aclose()
        if not self._is_started:
            await run_to_completion(_shut_down(self._result, None))

    async def _stream(self) -> AsyncGenerator[ThreadStreamEvent, None]:
        self._is_started = True
        context, result, outbox = self._context, self._result, self._context.chatkit_outbox
        pump: asyncio.Task[None] | None = None
        bridge: AgentEventHandlers | None = None
        is_finished = False
        try:
            history, is_whole = await _load_history(context)
            context.chatkit_continue_workflow(history)
            bridge = AgentEventHandlers(context, self._converter, history, is_whole=is_whole)
            pump = asyncio.create_task(bridge.read(result))
            pump.add_done_callback(lambda _: outbox.wake())
            while not (pump.done() and _is_tripped(pump)):
                if (event := outbox.take()) is not None:
                    yield event
                elif pump.done():
                    break
                else:
                    await outbox.next_put()
            if _is_tripped(pump):
                for item_id in list(outbox.produced):
                    yield ThreadItemRemovedEvent(item_id=item_id)
            else:
                bridge.remember_end()
                for event in outbox.take_all():
                    yield event
            _raise_failure(pump, self._converter)
            bridge.finish(result)
            for event in outbox.take_all():
                yield event
            await context.chatkit_keep_open_workflow()
            await bridge.finish_client_tool_calls(result)
            bridge.report_failed_tools()
            for event in outbox.take_all():
                yield event
            is_finished = True
        finally:
            record_usage(context.request_context, result)
            outbox.produced.clear()
            if not is_finished:
                unread = outbox.take_all()
                await run_to_completion(_shut_down(result, pump))
                if bridge is not None and not (pump and pump.done() and _is_tripped(pump)):
                    memories = bridge.take_memories(unread)
                    await run_to_completion(_store_memories(context, memories))


async def _store_memories(context: AgentContext[Any], memories: list[ThreadItem]) -> None:
    """Store what a run that was stopped did with tools: the model must know what has happened."""
    try:
        for each in memories:
            await context.store.add_thread_item(context.thread.id, each, context.request_context)
    except Exception:
        logger.exception("Tool calls not remembered", extra={"thread_id": context.thread.id})


def _is_tripped(pump: asyncio.Task[None]) -> bool:
    """Return whether a guardrail has ended the run: nothing of it is shown any more."""
    return not pump.cancelled() and isinstance(
        pump.exception(), InputGuardrailTripwireTriggered | OutputGuardrailTripwireTriggered
    )


def _raise_failure(pump: asyncio.Task[None], converter: ResponseStreamConverter) -> None:
    """Raise what ended the run, if it failed, in words for the user where there are any."""
    if pump.cancelled():
        # Not by us, and whoever reads is not cancelled: a tool has raised CancelledError.
        raise RuntimeError("The run was cancelled from within")
    error = pump.exception()
    if error is None:
        return
    try:
        described = describe_provider_error(error, converter.chatkit_error_texts)
        if described is not None:
            raise described from error
        raise error
    finally:
        del error  # its traceback holds this frame: a cycle for the garbage collector


async def _shut_down(result: RunResultStreaming, pump: asyncio.Task[None] | None) -> None:
    """Cancel the run, and wait until its tasks have ended."""
    result.cancel()
    tasks: list[asyncio.Task[Any]] = []
    if pump is not None:
        pump.cancel()
        tasks.append(pump)
    run_loop_task = get_field(result, "run_loop_task")
    if isinstance(run_loop_task, asyncio.Task):
        tasks.append(cast("asyncio.Task[Any]", run_loop_task))
    if not tasks:
        return
    done, pending = await asyncio.wait(tasks, timeout=SHUTDOWN_SECONDS)
    for task in done:
        if not task.cancelled():
            task.exception()  # retrieved: it has been raised, or nobody waits for it any more
    if pending:
        logger.warning("A cancelled run has not ended", extra={"seconds": SHUTDOWN_SECONDS})


async def _load_history(context: AgentContext[Any]) -> tuple[list[ThreadItem], bool]:
    """Return the newest items of the thread, ascending, and whether they are all it has."""
    if context.chatkit_loaded_history is not None:
        return context.chatkit_loaded_history, context.chatkit_history_is_whole
    page = await context.store.load_thread_items(
        context.thread.id, None, RECENT_ITEMS, "desc", context.request_context
    )
    return page.data[::-1], not page.has_more
