"""Outputs of a scripted response: how each is announced, what streams, how it ends."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.items import TResponseStreamEvent
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import (
    ResponseCodeInterpreterToolCall,
    ResponseComputerToolCall,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseFileSearchToolCall,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionToolCall,
    ResponseFunctionWebSearch,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from openai.types.responses.response_image_gen_call_partial_image_event import (
    ResponseImageGenCallPartialImageEvent,
)
from openai.types.responses.response_output_item import (
    ImageGenerationCall,
    McpCall,
    McpListTools,
)
from openai.types.responses.response_output_text_annotation_added_event import (
    ResponseOutputTextAnnotationAddedEvent,
)
from openai.types.responses.response_reasoning_item import Content as ReasoningContent
from openai.types.responses.response_reasoning_item import Summary

Step = TResponseStreamEvent | Exception | Callable[[], Awaitable[None]]


@dataclass
class Output:
    """One output item: as it is announced, what streams, as it is at its end."""

    added: Any
    steps: Callable[[int], Sequence[Step]]
    done: Any


# --- messages ------------------------------------------------------------------------------------


def text(
    *deltas: str,
    id: str = "msg_1",
    annotations: Sequence[Any] = (),
    announced: bool = True,
    parts_announced: bool = True,
    finished: bool = True,
    status: str = "completed",
) -> Output:
    """A message of one text part, streamed in ``deltas``; the annotations follow the text."""
    full = "".join(deltas)
    part = ResponseOutputText.construct(
        type="output_text", text=full, annotations=[each for each in annotations if each]
    )

    def steps(index: int) -> list[Step]:
        where = {"item_id": id, "output_index": index, "content_index": 0, "sequence_number": 0}
        result: list[Step] = []
        if parts_announced:
            empty = ResponseOutputText.construct(type="output_text", text="", annotations=[])
            result.append(
                ResponseContentPartAddedEvent.construct(
                    type="response.content_part.added", part=empty, **where
                )
            )
        result += [
            ResponseTextDeltaEvent.construct(
                type="response.output_text.delta", delta=delta, logprobs=[], **where
            )
            for delta in deltas
        ]
        result += [
            ResponseOutputTextAnnotationAddedEvent.construct(
                type="response.output_text.annotation.added",
                annotation=annotation,
                annotation_index=number,
                **where,
            )
            for number, annotation in enumerate(annotations)
        ]
        if finished:
            result += [
                ResponseTextDoneEvent.construct(
                    type="response.output_text.done", text=full, logprobs=[], **where
                ),
                ResponseContentPartDoneEvent.construct(
                    type="response.content_part.done", part=part, **where
                ),
            ]
        return result

    return Output(
        added=_message(id, [], "in_progress") if announced else None,
        steps=steps,
        done=_message(id, [part], status) if finished else None,
    )


def chat_text(*deltas: str) -> Output:
    """A message as the Chat Completions adapter streams it: a placeholder id, no text.done."""
    output = text(*deltas, id=FAKE_RESPONSES_ID)

    def steps(index: int) -> list[Step]:
        return [
            each
            for each in output.steps(index)
            if getattr(each, "type", "") != "response.output_text.done"
        ]

    return Output(output.added, steps, output.done)


def refusal(*deltas: str, id: str = "msg_1") -> Output:
    """A message that refuses, streamed in ``deltas``."""
    full = "".join(deltas)
    part = ResponseOutputRefusal(type="refusal", refusal=full)

    def steps(index: int) -> list[Step]:
        where = {"item_id": id, "output_index": index, "content_index": 0, "sequence_number": 0}
        return [
            ResponseContentPartAddedEvent.construct(
                type="response.content_part.added",
                part=ResponseOutputRefusal(type="refusal", refusal=""),
                **where,
            ),
            *(
                ResponseRefusalDeltaEvent.construct(
                    type="response.refusal.delta", delta=delta, **where
                )
                for delta in deltas
            ),
            ResponseRefusalDoneEvent.construct(type="response.refusal.done", refusal=full, **where),
        ]

    return Output(_message(id, [], "in_progress"), steps, _message(id, [part], "completed"))


def _message(id: str, content: list[Any], status: str) -> ResponseOutputMessage:
    return ResponseOutputMessage.construct(
        id=id, type="message", role="assistant", content=content, status=status
    )


# --- reasoning -----------------------------------------------------------------------------------


def reasoning(*summaries: Sequence[str], id: str = "rs_1") -> Output:
    """Reasoning with summaries, each streamed in deltas."""

    def steps(index: int) -> list[Step]:
        result: list[Step] = []
        for number, deltas in enumerate(summaries):
            where = {
                "item_id": id,
                "output_index": index,
                "summary_index": number,
                "sequence_number": 0,
            }
            result += [
                ResponseReasoningSummaryTextDeltaEvent.construct(
                    type="response.reasoning_summary_text.delta", delta=delta, **where
                )
                for delta in deltas
            ]
            result.append(
                ResponseReasoningSummaryTextDoneEvent.construct(
                    type="response.reasoning_summary_text.done", text="".join(deltas), **where
                )
            )
        return result

    summary = [Summary(type="summary_text", text="".join(deltas)) for deltas in summaries]
    return Output(
        ResponseReasoningItem(id=id, type="reasoning", summary=[]),
        steps,
        ResponseReasoningItem(id=id, type="reasoning", summary=summary),
    )


def open_reasoning(*deltas: str, id: str = "rs_1") -> Output:
    """Reasoning of an open model: the text itself, no summary."""

    def steps(index: int) -> list[Step]:
        where = {"item_id": id, "output_index": index, "content_index": 0, "sequence_number": 0}
        return [
            *(
                ResponseReasoningTextDeltaEvent.construct(
                    type="response.reasoning_text.delta", delta=delta, **where
                )
                for delta in deltas
            ),
            ResponseReasoningTextDoneEvent.construct(
                type="response.reasoning_text.done", text="".join(deltas), **where
            ),
        ]

    content = [ReasoningContent(type="reasoning_text", text="".join(deltas))]
    return Output(
        ResponseReasoningItem(id=id, type="reasoning", summary=[]),
        steps,
        ResponseReasoningItem(id=id, type="reasoning", summary=[], content=content),
    )


# --- calls ---------------------------------------------------------------------------------------


def call(
    name: str,
    arguments: dict[str, Any] | None = None,
    *,
    call_id: str | None = None,
    id: str | None = None,
) -> Output:
    """A function call; ``id`` is the item's, which some providers leave out."""
    full = json.dumps(arguments or {})
    item = ResponseFunctionToolCall(
        id=id, type="function_call", name=name, arguments=full, call_id=call_id or f"call_{name}"
    )

    def steps(index: int) -> list[Step]:
        return [
            ResponseFunctionCallArgumentsDeltaEvent.construct(
                type="response.function_call_arguments.delta",
                delta=full,
                item_id=id or "",
                output_index=index,
                sequence_number=0,
            )
        ]

    return Output(item.model_copy(update={"arguments": ""}), steps, item)


def image(*previews: str, result: str | None = "RklOQUw=", id: str = "ig_1") -> Output:
    """An image generation with base64 previews; without a result it has failed."""

    def steps(index: int) -> list[Step]:
        return [
            ResponseImageGenCallPartialImageEvent.construct(
                type="response.image_generation_call.partial_image",
                item_id=id,
                output_index=index,
                partial_image_b64=preview,
                partial_image_index=number,
                sequence_number=0,
            )
            for number, preview in enumerate(previews)
        ]

    status = "completed" if result else "failed"
    return Output(
        ImageGenerationCall.construct(id=id, type="image_generation_call", status="in_progress"),
        steps,
        ImageGenerationCall.construct(
            id=id, type="image_generation_call", status=status, result=result
        ),
    )


def _hosted(added: Any, done: Any) -> Output:
    return Output(added, lambda _: [], done)


def web_search(
    *queries: str, sources: Sequence[str] = (), id: str = "ws_1", status: str = "completed"
) -> Output:
    action = {
        "type": "search",
        "query": queries[0] if queries else None,
        "queries": list(queries),
        "sources": [{"type": "url", "url": url} for url in sources],
    }
    kind = "web_search_call"
    return _hosted(
        ResponseFunctionWebSearch.construct(id=id, type=kind, status="in_progress"),
        ResponseFunctionWebSearch.construct(id=id, type=kind, status=status, action=action),
    )


def file_search(*queries: str, files: Sequence[str] = (), id: str = "fs_1") -> Output:
    kind = "file_search_call"
    return _hosted(
        ResponseFileSearchToolCall.construct(id=id, type=kind, status="searching", queries=[]),
        ResponseFileSearchToolCall.construct(
            id=id,
            type=kind,
            status="completed",
            queries=list(queries),
            results=[{"filename": name, "file_id": name} for name in files],
        ),
    )


def code_interpreter(code: str = "1 + 1", id: str = "ci_1") -> Output:
    kind = "code_interpreter_call"
    return _hosted(
        ResponseCodeInterpreterToolCall.construct(
            id=id, type=kind, status="in_progress", container_id="c", code=None
        ),
        ResponseCodeInterpreterToolCall.construct(
            id=id, type=kind, status="completed", container_id="c", code=code, outputs=[]
        ),
    )


def mcp_call(
    name: str, server: str = "docs", error: str | None = None, id: str = "mcp_1"
) -> Output:
    fields = {"id": id, "type": "mcp_call", "name": name, "server_label": server, "arguments": "{}"}
    return _hosted(
        McpCall.construct(**fields, status="in_progress"),
        McpCall.construct(**fields, status="failed" if error else "completed", error=error),
    )


def mcp_list_tools(server: str = "docs", id: str = "mcpl_1") -> Output:
    item = McpListTools(id=id, type="mcp_list_tools", server_label=server, tools=[])
    return _hosted(item, item)


def computer_call(id: str = "cu_1") -> Output:
    fields = {"id": id, "type": "computer_call", "call_id": id, "pending_safety_checks": []}
    return _hosted(
        ResponseComputerToolCall.construct(**fields, status="in_progress"),
        ResponseComputerToolCall.construct(**fields, status="completed"),
    )
