"""The events of one streamed response, in the order in which the Responses API sends them.

The offline model speaks through this, so that everything behind it meets what a provider sends:
every item is added, filled piece by piece, and done; every event has its sequence number; the last
one carries the whole response with its usage.
"""

import base64
import json
import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any, Literal, TypeVar, get_args

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseError,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseImageGenCallCompletedEvent,
    ResponseImageGenCallGeneratingEvent,
    ResponseImageGenCallInProgressEvent,
    ResponseImageGenCallPartialImageEvent,
    ResponseInProgressEvent,
    ResponseOutputItem,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.response_output_item import ImageGenerationCall
from openai.types.responses.response_reasoning_item import Summary
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from pydantic import BaseModel

from app.chatkit.protocol.ids import create_id

Events = Iterator[ResponseStreamEvent]
EventT = TypeVar("EventT", bound=BaseModel)
Part = ResponseOutputText | ResponseOutputRefusal


def split_words(text: str) -> list[str]:
    """Return ``text`` in pieces of a word and the space behind it; joined they are ``text``."""
    return re.findall(r"\S+\s*|\s+", text)


class ResponseWriter:
    """Writes one response. ``output`` is what has been finished so far; a word is a token."""

    def __init__(self, *, model: str, input_tokens: int) -> None:
        self.id = create_id("resp")
        self.output: list[ResponseOutputItem] = []
        self._model = model
        self._created_at = time.time()
        self._input_tokens = input_tokens
        self._output_tokens = 0
        self._sequence = count()

    @property
    def usage(self) -> ResponseUsage:
        """The tokens used so far."""
        return ResponseUsage(
            input_tokens=self._input_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
            output_tokens=self._output_tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
            total_tokens=self._input_tokens + self._output_tokens,
        )

    # --- the response ----------------------------------------------------------------------------

    def begin(self) -> Events:
        """Yield what comes before any output."""
        yield self._event(ResponseCreatedEvent, response=self._response("in_progress"))
        yield self._event(ResponseInProgressEvent, response=self._response("in_progress"))

    def complete(self) -> Events:
        """Yield the end of a response that went well."""
        yield self._event(ResponseCompletedEvent, response=self._response("completed"))

    def fail(self, message: str) -> Events:
        """Yield the end of a response that the provider gave up."""
        response = self._response("failed")
        response.error = ResponseError(code="server_error", message=message)
        yield self._event(ResponseFailedEvent, response=response)

    # --- its items -------------------------------------------------------------------------------

    def message(self, text: str) -> Events:
        """Yield a message with one text part."""
        message_id = create_id("msg")
        place = self._part_place(message_id)
        yield from self._stream_text(message_id, text)
        yield self._event(ResponseTextDoneEvent, text=text, logprobs=[], **place)
        yield from self._end_message(message_id, _text_part(text))

    def unfinished_message(self, text: str) -> Events:
        """Yield a message that breaks off after ``text``."""
        yield from self._stream_text(create_id("msg"), text)

    def refusal(self, text: str) -> Events:
        """Yield a message that refuses."""
        message_id = create_id("msg")
        place = self._part_place(message_id)
        yield from self._begin_message(message_id, _refusal_part(""))
        for piece in self._count(split_words(text)):
            yield self._event(ResponseRefusalDeltaEvent, delta=piece, **place)
        yield self._event(ResponseRefusalDoneEvent, refusal=text, **place)
        yield from self._end_message(message_id, _refusal_part(text))

    def reasoning(self, thoughts: list[str]) -> Events:
        """Yield a reasoning item with one summary part for each thought."""
        reasoning_id = create_id("rs")
        yield self._added(ResponseReasoningItem(id=reasoning_id, type="reasoning", summary=[]))
        for index, thought in enumerate(thoughts):
            yield from self._summary_part(reasoning_id, index, thought)
        summary = [Summary(type="summary_text", text=thought) for thought in thoughts]
        yield self._done(ResponseReasoningItem(id=reasoning_id, type="reasoning", summary=summary))

    def function_call(self, name: str, arguments: dict[str, Any]) -> Events:
        """Yield a function call."""
        text = json.dumps(arguments, ensure_ascii=False)
        item_id, call_id = create_id("fc"), create_id("call")
        place = self._place(item_id)
        yield self._added(_call(item_id, call_id, name, "", "in_progress"))
        for piece in self._count(split_words(text)):
            yield self._event(ResponseFunctionCallArgumentsDeltaEvent, delta=piece, **place)
        done = ResponseFunctionCallArgumentsDoneEvent
        yield self._event(done, name=name, arguments=text, **place)
        yield self._done(_call(item_id, call_id, name, text, "completed"))

    def image(self, pictures: list[bytes]) -> Events:
        """Yield an image in PNG: the last of ``pictures``; those before it are its previews."""
        item_id = create_id("ig")
        place = self._place(item_id)
        *previews, picture = [base64.b64encode(each).decode() for each in pictures]
        yield self._added(_image(item_id, None, "in_progress"))
        yield self._event(ResponseImageGenCallInProgressEvent, **place)
        yield self._event(ResponseImageGenCallGeneratingEvent, **place)
        for index, data in enumerate(previews):
            part = {"partial_image_b64": data, "partial_image_index": index}
            yield self._event(ResponseImageGenCallPartialImageEvent, **part, **place)
        yield self._event(ResponseImageGenCallCompletedEvent, **place)
        yield self._done(_image(item_id, picture, "completed"))

    # --- parts of the above ----------------------------------------------------------------------

    def _stream_text(self, message_id: str, text: str) -> Events:
        place = self._part_place(message_id)
        yield from self._begin_message(message_id, _text_part(""))
        for piece in self._count(split_words(text)):
            yield self._event(ResponseTextDeltaEvent, delta=piece, logprobs=[], **place)

    def _begin_message(self, message_id: str, empty: Part) -> Events:
        yield self._added(_message(message_id, [], "in_progress"))
        yield self._event(ResponseContentPartAddedEvent, part=empty, **self._part_place(message_id))

    def _end_message(self, message_id: str, part: Part) -> Events:
        yield self._event(ResponseContentPartDoneEvent, part=part, **self._part_place(message_id))
        yield self._done(_message(message_id, [part], "completed"))

    def _summary_part(self, reasoning_id: str, index: int, thought: str) -> Events:
        place = {**self._place(reasoning_id), "summary_index": index}
        empty, full = ({"type": "summary_text", "text": text} for text in ("", thought))
        yield self._event(ResponseReasoningSummaryPartAddedEvent, part=empty, **place)
        for piece in self._count(split_words(thought)):
            yield self._event(ResponseReasoningSummaryTextDeltaEvent, delta=piece, **place)
        yield self._event(ResponseReasoningSummaryTextDoneEvent, text=thought, **place)
        yield self._event(ResponseReasoningSummaryPartDoneEvent, part=full, **place)

    def _added(self, item: ResponseOutputItem) -> ResponseStreamEvent:
        index = len(self.output)
        return self._event(ResponseOutputItemAddedEvent, item=item, output_index=index)

    def _done(self, item: ResponseOutputItem) -> ResponseStreamEvent:
        index = len(self.output)
        self.output.append(item)
        return self._event(ResponseOutputItemDoneEvent, item=item, output_index=index)

    def _event(self, kind: type[EventT], **fields: Any) -> EventT:
        number = next(self._sequence)
        return kind.model_validate({"type": _type_of(kind), "sequence_number": number, **fields})

    def _response(self, status: Literal["in_progress", "completed", "failed"]) -> Response:
        return Response(
            id=self.id,
            object="response",
            created_at=self._created_at,
            model=self._model,
            status=status,
            output=list(self.output),
            usage=self.usage if status == "completed" else None,
            parallel_tool_calls=False,
            tool_choice="auto",
            tools=[],
        )

    def _place(self, item_id: str) -> dict[str, Any]:
        return {"item_id": item_id, "output_index": len(self.output)}

    def _part_place(self, message_id: str) -> dict[str, Any]:
        return {**self._place(message_id), "content_index": 0}

    def _count(self, pieces: list[str]) -> list[str]:
        self._output_tokens += len(pieces)
        return pieces


@cache
def _type_of(kind: type[BaseModel]) -> str:
    return get_args(kind.model_fields["type"].annotation)[0]


def _text_part(text: str) -> ResponseOutputText:
    return ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])


def _refusal_part(refusal: str) -> ResponseOutputRefusal:
    return ResponseOutputRefusal(type="refusal", refusal=refusal)


def _message(
    message_id: str, content: list[Part], status: Literal["in_progress", "completed"]
) -> ResponseOutputMessage:
    return ResponseOutputMessage(
        id=message_id, type="message", role="assistant", status=status, content=[*content]
    )


def _image(
    item_id: str, result: str | None, status: Literal["in_progress", "completed"]
) -> ImageGenerationCall:
    return ImageGenerationCall(
        id=item_id, type="image_generation_call", result=result, status=status
    )


def _call(
    item_id: str,
    call_id: str,
    name: str,
    arguments: str,
    status: Literal["in_progress", "completed"],
) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        id=item_id,
        call_id=call_id,
        type="function_call",
        name=name,
        arguments=arguments,
        status=status,
    )
