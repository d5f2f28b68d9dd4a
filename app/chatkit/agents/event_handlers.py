"""One handler for each kind of event of a run.

Events and items are told apart by their ``type``, never by their class: providers and SDK versions
differ. Kinds that nobody handles are left out.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from agents import ModelBehaviorError, RunResultStreaming

from app.chatkit.agents.client_tool_calls import (
    FunctionCall,
    bind_client_tool_calls,
    names_that_stop,
    read_function_call,
)
from app.chatkit.agents.context import AgentContext
from app.chatkit.agents.history_order import order_as_told
from app.chatkit.agents.input_items import OUTPUT_TYPES
from app.chatkit.agents.item_ids import ItemIds, is_own_id
from app.chatkit.agents.messages import MessageStreamer
from app.chatkit.agents.output_guard import OutputGuard
from app.chatkit.agents.output_items import HostedToolTracker, ImageStreamer
from app.chatkit.agents.provider_errors import (
    ProviderErrorKind,
    create_provider_error,
    describe_failure,
)
from app.chatkit.agents.reasoning import ReasoningStreamer
from app.chatkit.agents.response_converter import ResponseStreamConverter
from app.chatkit.agents.sdk_exceptions import ModelRefusalError
from app.chatkit.agents.tool_failures import has_call_failed
from app.chatkit.agents.tool_memory import RunMemory, is_tool_call
from app.chatkit.closing import close_if_possible
from app.chatkit.errors import CustomStreamError
from app.chatkit.protocol.events import (
    NoticeEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.held_calls import hold_calls
from app.chatkit.protocol.items import (
    ClientToolCallItem,
    SDKHiddenContextItem,
    ThreadItem,
    now,
)
from app.chatkit.untyped import get_field, get_list, get_text

_CUT_KINDS = {
    "max_output_tokens": ProviderErrorKind.CUT_SHORT,
    "content_filter": ProviderErrorKind.CONTENT_FILTER,
}
"""Why there is no answer at all, by the reason for an incomplete response."""

logger = logging.getLogger("chatkit")

Handler = Callable[[Any], Awaitable[None] | None]


class AgentEventHandlers:
    """Turns the events of one run into thread events, in the outbox of its context."""

    def __init__(
        self,
        context: AgentContext[Any],
        converter: ResponseStreamConverter,
        history: list[ThreadItem],
        *,
        is_whole: bool,
    ) -> None:
        self._context = context
        self._converter = converter
        self._ids = ItemIds(context, (item.id for item in history), is_whole=is_whole)
        self._messages = MessageStreamer(context, converter, self._ids)
        self._thoughts = ReasoningStreamer(context)
        self._images = ImageStreamer(context, converter)
        self._tools = HostedToolTracker(context, converter)
        self._turn = 0
        self._function_calls: list[FunctionCall] = []
        self._failed_tools: list[str] = []
        self._failure: CustomStreamError | None = None
        self._is_incomplete = False
        self._output = OutputGuard()
        told = order_as_told(history)
        self._memory = RunMemory(context.thread.id, told[-1].item.id if told else None)

    def _handlers(self) -> dict[str, Handler]:
        """Return the handler for each kind of Responses event; other kinds are left out."""
        messages, thoughts = self._messages, self._thoughts
        return {
            "response.created": self._open_response,
            "response.completed": self._complete_response,
            "response.incomplete": self._note_incomplete,
            "response.failed": self._note_failed,
            "response.error": self._note_error,
            "error": self._note_error,
            "response.output_item.added": self._add_item,
            "response.output_item.done": self._finish_item,
            "response.output_item.retracted": messages.retract,
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
                await self._end_thoughts()
                raise self._failure from error
            if not self._is_incomplete:
                raise
        except BaseException:
            # Before its events are closed: closing them waits for the run to end.
            result.cancel()
            raise
        finally:
            await close_if_possible(events)
            self._tools.end_response()
        if self._failure is not None:
            raise self._failure
        if self._output.is_missing:
            await self._end_thoughts()
            raise create_provider_error(
                ProviderErrorKind.SERVER_ERROR, self._converter.chatkit_error_texts
            ) from ModelBehaviorError("The model's stream ended without any output")

    async def _end_thoughts(self) -> None:
        """End the workflow of a response that said nothing else, before its error: it stays."""
        if not self._context.chatkit_outbox.has_shown:
            await self._context.end_workflow()

    def finish(self, result: RunResultStreaming) -> None:
        """Stream what is known only at the end of a run that did not fail."""
        self._images.end_response()
        waiting = [
            str(get_field(each, "name") or "?") for each in get_field(result, "interruptions") or ()
        ]
        if waiting:
            tools = ", ".join(dict.fromkeys(waiting))
            message = self._converter.chatkit_get_notice("approval").format(tools=tools)
            self._context.chatkit_emit(NoticeEvent(level="info", message=message))

    async def finish_client_tool_calls(self, result: RunResultStreaming) -> None:
        """Stream the first client tool call, the last item of a run, and hold the others."""
        calls = self._context.chatkit_take_client_tool_calls()
        if not calls:
            return
        stop_names = names_that_stop(get_field(result, "last_agent"))
        bound = bind_client_tool_calls(calls, self._function_calls, stop_names)
        first, *others = [
            ClientToolCallItem(
                id=await self._ids.claim(match.item_id if match else None, "tool_call"),
                thread_id=self._context.thread.id,
                created_at=now(),
                name=call.name,
                arguments=call.arguments,
                call_id=(match.call_id if match else "") or self._context.generate_id("tool_call"),
            )
            for call, match in zip(calls, bound, strict=True)
        ]
        self._context.chatkit_emit(ThreadItemDoneEvent(item=first))
        if others:
            self._context.chatkit_emit(ThreadItemDoneEvent(item=hold_calls(first, others)))

    def report_failed_tools(self) -> None:
        """Tell the user of tools that failed, where the run has ended and the model has not.

        An agent that stops at a tool says nothing more. Raises ``CustomStreamError`` where there
        would be nothing to see at all.
        """
        if not self._failed_tools:
            return
        tools = ", ".join(dict.fromkeys(self._failed_tools))
        message = self._converter.chatkit_get_notice("tool_failed").format(tools=tools)
        if not self._context.chatkit_outbox.has_shown:
            raise CustomStreamError(message, allow_retry=True)
        self._context.chatkit_emit(NoticeEvent(level="danger", message=message))

    # --- handlers --------------------------------------------------------------------------------

    def _open_response(self, event: Any) -> None:
        self._output.begin_response()
        self._begin_response()

    def _begin_response(self) -> None:
        self._is_incomplete = False
        self._messages.begin_response()
        self._thoughts.begin_response()
        self._tools.end_response()
        self._images.end_response()

    def _complete_response(self, event: Any) -> None:
        self._turn += 1
        self._remember(self._memory.note_response(*self._read_output(event)))
        for item in get_list(get_field(event, "response"), "output"):
            self._output.note(get_text(item, "type"))
        if not self._messages.is_empty:
            self._output.note_message()
            self._failed_tools.clear()
        self._output.end_response(has_shown=self._context.chatkit_outbox.has_shown)
        self._begin_response()

    def _read_output(self, event: Any) -> tuple[list[Any], list[str | None]]:
        """Return the output items of a response, and the ids in the thread of its messages."""
        output = get_list(get_field(event, "response"), "output")
        messages = [
            self._messages.find_item_id(place, get_field(each, "id"))
            for place, each in enumerate(output)
            if get_field(each, "type") == "message"
        ]
        return output, messages

    def _note_incomplete(self, event: Any) -> None:
        self._is_incomplete = True
        reason = get_text(get_field(get_field(event, "response"), "incomplete_details"), "reason")
        if not self._context.chatkit_outbox.has_shown:
            kind = _CUT_KINDS.get(reason, ProviderErrorKind.SERVER_ERROR)
            self._failure = create_provider_error(kind, self._converter.chatkit_error_texts)
            return
        message = self._converter.chatkit_get_notice(reason)
        self._context.chatkit_emit(NoticeEvent(level="warning", message=message))

    def _note_failed(self, event: Any) -> None:
        self._note_error(get_field(get_field(event, "response"), "error"))

    def _note_error(self, event: Any) -> None:
        error = get_field(event, "error") or event
        # Raised at the end of the run, which the SDK brings about next: its error is the cause.
        self._failure = describe_failure(
            get_text(error, "code"), get_text(error, "message"), self._converter.chatkit_error_texts
        )

    async def _add_item(self, event: Any) -> None:
        item = get_field(event, "item")
        self._output.note(get_text(item, "type"))
        match get_field(item, "type"):
            case "message":
                await self._messages.add_item(event, item)
            case "reasoning":
                await self._thoughts.add_item(event, item)
            case "image_generation_call":
                self._images.add_item(event, item)
            case _:
                await self._tools.add_item(event, item)

    async def _finish_item(self, event: Any) -> None:
        item = get_field(event, "item")
        self._output.note(get_text(item, "type"))
        match get_field(item, "type"):
            case "message":
                await self._messages.finish_item(event, item)
            case "image_generation_call":
                await self._images.finish_item(event, item)
            case _:
                await self._tools.finish_item(event, item)

    def _note_run_item(self, item: Any) -> None:
        if get_text(item.raw_item, "type") in OUTPUT_TYPES:
            self._note_failure(item)
            self._remember(self._memory.note_output(item.raw_item))
        if item.type != "tool_call_item":
            return
        self._failed_tools.clear()  # the model tries again, or something else
        call = read_function_call(item.raw_item, self._turn)
        if call is None:
            return
        self._function_calls.append(call)
        if is_own_id(call.item_id):
            self._context.chatkit_outbox.produced[call.item_id] = None

    def _note_failure(self, item: Any) -> None:
        output = item.raw_item
        call_id = get_text(output, "call_id")
        call = next((each for each in self._function_calls if each.call_id == call_id), None)
        if call is None or not call_id:
            return
        if has_call_failed(self._context, call_id, get_field(output, "output"), call.name):
            self._failed_tools.append(call.name)
            # A name that no tool has is the model's own words, which no log repeats.
            tools = get_list(get_field(item, "agent"), "tools")
            is_known = any(get_field(each, "name") == call.name for each in tools)
            # The SDK has the exception, and tells it only to those who ask.
            logger.error(
                "A tool failed; OPENAI_AGENTS_DONT_LOG_TOOL_DATA=false has the Agents SDK log why",
                extra={"tool": call.name if is_known else "unknown", "call_id": call_id},
            )

    def remember_end(self) -> None:
        """Keep what the run leaves pending, and note that its last tools ended it."""
        self._remember(self._memory.close())
        last = self._memory.end()
        if last is not None:
            self._context.chatkit_emit(ThreadItemReplacedEvent(item=last))

    def take_memories(self, unread: Iterable[ThreadStreamEvent]) -> list[ThreadItem]:
        """Return what is to be stored of a run that was stopped, and whose events nobody reads."""
        done = [each.item for each in unread if each.type == "thread.item.done"]
        pending = self._memory.close()
        return [each for each in (*done, pending) if each is not None and is_tool_call(each)]

    def _remember(self, item: SDKHiddenContextItem | None) -> None:
        """Store a response that called tools, for the turns to come."""
        if item is not None:
            self._context.chatkit_emit(ThreadItemDoneEvent(item=item))
