"""The bridge from the Agents SDK: a streamed run in, thread events out.

A pump task reads the run's events and turns each into thread events at once, into the outbox that
the tools stream to as well; so the order is that of arrival. The generator drains the outbox, as
much at a time as is ready. It may be read from any task, and leaves none behind.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

from agents import (
    InputGuardrailTripwireTriggered,
    ModelBehaviorError,
    ModelRefusalError,
    OutputGuardrailTripwireTriggered,
    RunResultStreaming,
)

from app.chatkit.agent_context import AgentContext
from app.chatkit.client_tool_calls import (
    FunctionCall,
    bind_client_tool_calls,
    names_that_stop,
    read_function_call,
)
from app.chatkit.errors import CustomStreamError
from app.chatkit.events import (
    NoticeEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadStreamEvent,
)
from app.chatkit.item_ids import ItemIds, is_own_id
from app.chatkit.items import ClientToolCallItem, ThreadItem, now
from app.chatkit.loose import peek, peek_text
from app.chatkit.provider_errors import describe_failure, describe_provider_error
from app.chatkit.response_converter import ResponseStreamConverter
from app.chatkit.response_items import HostedTools, Images
from app.chatkit.response_messages import Messages
from app.chatkit.response_reasoning import Thoughts
from app.chatkit.shielding import finish

RECENT_ITEMS = 5
"""How many items are read where the caller has given no history: a workflow and calls behind it."""

SHUTDOWN_SECONDS = 5.0
"""How long a cancelled run may take to end before it is left to itself."""

DEFAULT_CONVERTER = ResponseStreamConverter()

logger = logging.getLogger("chatkit")

Handler = Callable[[Any], Awaitable[None] | None]


class RunBridge:
    """Turns the events of one run into thread events; one handler for each kind of event."""

    def __init__(
        self,
        context: AgentContext[Any],
        converter: ResponseStreamConverter,
        history: list[ThreadItem],
    ) -> None:
        self._context = context
        self._converter = converter
        self._ids = ItemIds(context, (item.id for item in history))
        self._messages = Messages(context, converter, self._ids)
        self._thoughts = Thoughts(context)
        self._images = Images(context, converter)
        self._tools = HostedTools(context, converter)
        self._turn = 0
        self._function_calls: list[FunctionCall] = []
        self._failure: CustomStreamError | None = None
        self._is_incomplete = False

    def _handlers(self) -> dict[str, Handler]:
        """Return the handler for each kind of Responses event; other kinds are left out."""
        messages, thoughts = self._messages, self._thoughts
        return {
            "response.created": self._begin_response,
            "response.completed": self._complete_response,
            "response.incomplete": self._note_incomplete,
            "response.failed": self._note_failed,
            "response.error": self._note_error,
            "error": self._note_error,
            "response.output_item.added": self._add_item,
            "response.output_item.done": self._finish_item,
            "response.content_part.added": messages.add_part,
            "response.output_text.delta": messages.add_text,
            "response.output_text.done": messages.finish_text,
            "response.output_text.annotation.added": messages.add_annotation,
            "response.refusal.delta": messages.add_text,
            "response.refusal.done": messages.finish_text,
            "response.reasoning_summary_text.delta": thoughts.add_summary,
            "response.reasoning_summary_text.done": thoughts.finish_summary,
            "response.reasoning_text.delta": thoughts.add_reasoning,
            "response.reasoning_text.done": thoughts.finish_reasoning,
            "response.image_generation_call.partial_image": self._images.show_preview,
        }

    # --- the run ---------------------------------------------------------------------------------

    async def read(self, result: RunResultStreaming) -> None:
        """Read the run to its end; raises what the run raises, and what the provider reported."""
        events = result.stream_events()
        try:
            find_handler = self._handlers().get
            async for event in events:
                if event.type == "raw_response_event":
                    handler = find_handler(event.data.type)
                    if handler is not None:
                        work = handler(event.data)
                        if work is not None:
                            await work
                elif event.type == "run_item_stream_event":
                    self._note_run_item(event.item)
        except ModelRefusalError:
            # A refusal that the user has read is an answer.
            if not self._messages.has_refused:
                raise
        except ModelBehaviorError as error:
            # The SDK raises this for failed and for incomplete responses alike.
            if self._failure is not None:
                raise self._failure from error
            if not self._is_incomplete:
                raise
        except BaseException:
            # Before its events are closed: closing them waits for the run to end.
            result.cancel()
            raise
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
        if self._failure is not None:
            raise self._failure

    def finish(self, result: RunResultStreaming) -> None:
        """Stream what is known only at the end of a run that did not fail."""
        self._images.end_response()
        waiting = [str(peek(each, "name") or "?") for each in peek(result, "interruptions") or ()]
        if waiting:
            tools = ", ".join(dict.fromkeys(waiting))
            message = self._converter.notice_texts["approval"].format(tools=tools)
            self._context.emit(NoticeEvent(level="info", message=message))

    def finish_client_tool_calls(self, result: RunResultStreaming) -> None:
        """Stream the pending client tool calls, the last items of a run."""
        calls = self._context.take_client_tool_calls()
        if not calls:
            return
        stop_names = names_that_stop(peek(result, "last_agent"))
        bound = bind_client_tool_calls(calls, self._function_calls, stop_names)
        for call, match in zip(calls, bound, strict=True):
            item = ClientToolCallItem(
                id=self._ids.claim(match.item_id if match else None, "tool_call"),
                thread_id=self._context.thread.id,
                created_at=now(),
                name=call.name,
                arguments=call.arguments,
                call_id=(match.call_id if match else "") or self._context.generate_id("tool_call"),
            )
            self._context.emit(ThreadItemDoneEvent(item=item))

    # --- handlers --------------------------------------------------------------------------------

    def _begin_response(self, event: Any) -> None:
        self._is_incomplete = False
        self._messages.begin_response()
        self._thoughts.begin_response()
        self._tools.begin_response()
        self._images.end_response()

    def _complete_response(self, event: Any) -> None:
        self._turn += 1
        self._begin_response(event)

    def _note_incomplete(self, event: Any) -> None:
        self._is_incomplete = True
        reason = peek_text(peek(peek(event, "response"), "incomplete_details"), "reason")
        texts = self._converter.notice_texts
        message = texts.get(reason) or texts["incomplete"]
        self._context.emit(NoticeEvent(level="warning", message=message))

    def _note_failed(self, event: Any) -> None:
        self._note_error(peek(peek(event, "response"), "error"))

    def _note_error(self, error: Any) -> None:
        # Raised at the end of the run, which the SDK brings about next: its error is the cause.
        self._failure = describe_failure(
            peek_text(error, "code"), peek_text(error, "message"), self._converter.error_texts
        )

    async def _add_item(self, event: Any) -> None:
        item = peek(event, "item")
        match peek(item, "type"):
            case "message":
                await self._messages.add_item(event, item)
            case "reasoning":
                await self._thoughts.add_item(event, item)
            case "image_generation_call":
                self._images.add_item(event, item)
            case _:
                await self._tools.add_item(event, item)

    async def _finish_item(self, event: Any) -> None:
        item = peek(event, "item")
        match peek(item, "type"):
            case "message":
                await self._messages.finish_item(event, item)
            case "image_generation_call":
                await self._images.finish_item(event, item)
            case _:
                await self._tools.finish_item(event, item)

    def _note_run_item(self, item: Any) -> None:
        if item.type != "tool_call_item":
            return
        call = read_function_call(item.raw_item, self._turn)
        if call is None:
            return
        self._function_calls.append(call)
        if is_own_id(call.item_id):
            self._context.outbox.produced[call.item_id] = None


async def stream_agent_response(
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
    outbox = context.outbox
    pump: asyncio.Task[None] | None = None
    is_finished = False
    try:
        history = await _load_history(context)
        context.continue_workflow(history)
        bridge = RunBridge(context, converter, history)
        pump = asyncio.create_task(bridge.read(result))
        pump.add_done_callback(lambda _: outbox.wake())
        while not (pump.done() and _is_tripped(pump)):
            if (event := outbox.take()) is not None:
                yield event
            elif pump.done():
                break
            else:
                await outbox.wait()
        if _is_tripped(pump):
            for item_id in list(outbox.produced):
                yield ThreadItemRemovedEvent(item_id=item_id)
        _raise_failure(pump, converter)
        bridge.finish(result)
        for event in outbox.take_all():
            yield event
        await context.keep_open_workflow()
        bridge.finish_client_tool_calls(result)
        for event in outbox.take_all():
            yield event
        is_finished = True
    finally:
        outbox.produced.clear()
        if not is_finished:
            outbox.take_all()
            await finish(_shut_down(result, pump))


def _is_tripped(pump: asyncio.Task[None]) -> bool:
    """Return whether a guardrail has ended the run: nothing of it is shown any more."""
    return not pump.cancelled() and isinstance(
        pump.exception(), InputGuardrailTripwireTriggered | OutputGuardrailTripwireTriggered
    )


def _raise_failure(pump: asyncio.Task[None], converter: ResponseStreamConverter) -> None:
    """Raise what ended the run, if it failed, in words for the user where there are any."""
    error = pump.exception()
    if error is None:
        return
    try:
        described = describe_provider_error(error, converter.error_texts)
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
    run_loop_task = peek(result, "run_loop_task")
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


async def _load_history(context: AgentContext[Any]) -> list[ThreadItem]:
    """Return the newest items of the thread, ascending."""
    if context.history is not None:
        return context.history
    page = await context.store.load_thread_items(
        context.thread.id, None, RECENT_ITEMS, "desc", context.request_context
    )
    return page.data[::-1]
