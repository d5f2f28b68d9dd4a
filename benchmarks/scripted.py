"""The model and the agent that all peers share: the same answer, event for event.

Imports nothing of any peer, so that none pays for the modules of another.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, get_args
from uuid import uuid4

from agents import Agent, Model, ModelResponse
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)

from benchmarks.answer import ANSWER, DELTAS

Pace = Literal["step", "burst", "paced"]
"""How the model hands out its deltas: letting others run, all at once, or one every 5 ms."""

PACE_VARIABLE = "BENCHMARK_PACE"
DELTA_SECONDS = 0.005


def read_pace() -> Pace:
    """Return the pace that the environment asks for."""
    pace = os.environ.get(PACE_VARIABLE, "step")
    for known in get_args(Pace):
        if pace == known:
            return known
    raise ValueError(f"{PACE_VARIABLE}={pace}: not one of {', '.join(get_args(Pace))}")


def create_agent(pace: Pace) -> Agent[Any]:
    """Return an agent without tools that answers with the script."""
    return Agent(name="Scripted", instructions="Answer briefly.", model=ScriptedModel(pace))


class ScriptedModel(Model):
    """Streams the same answer every time, as new events with an item id of its own."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Is not part of the benchmark."""
        raise NotImplementedError

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream the answer; every event is made anew, as one parsed from the wire would be."""
        item_id = f"msg_{uuid4().hex}"
        for event in _begin(item_id):
            yield event
        for delta in DELTAS:
            if self._pace == "step":
                await asyncio.sleep(0)
            elif self._pace == "paced":
                await asyncio.sleep(DELTA_SECONDS)
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta",
                item_id=item_id,
                output_index=0,
                content_index=0,
                delta=delta,
                logprobs=[],
                sequence_number=0,
            )
        for event in _end(item_id):
            yield event


def _begin(item_id: str) -> Iterator[Any]:
    yield ResponseCreatedEvent(type="response.created", response=_response([]), sequence_number=0)
    yield ResponseOutputItemAddedEvent(
        type="response.output_item.added",
        item=_message(item_id, [], "in_progress"),
        output_index=0,
        sequence_number=0,
    )
    yield ResponseContentPartAddedEvent(
        type="response.content_part.added",
        item_id=item_id,
        output_index=0,
        content_index=0,
        part=_text(""),
        sequence_number=0,
    )


def _end(item_id: str) -> Iterator[Any]:
    where: dict[str, Any] = {"item_id": item_id, "output_index": 0, "content_index": 0}
    message = _message(item_id, [_text(ANSWER)], "completed")
    yield ResponseTextDoneEvent(
        type="response.output_text.done", text=ANSWER, logprobs=[], sequence_number=0, **where
    )
    yield ResponseContentPartDoneEvent(
        type="response.content_part.done", part=_text(ANSWER), sequence_number=0, **where
    )
    yield ResponseOutputItemDoneEvent(
        type="response.output_item.done", item=message, output_index=0, sequence_number=0
    )
    yield ResponseCompletedEvent(
        type="response.completed", response=_response([message]), sequence_number=0
    )


def _text(text: str) -> ResponseOutputText:
    return ResponseOutputText(type="output_text", text=text, annotations=[])


def _message(
    item_id: str, content: list[Any], status: Literal["in_progress", "completed"]
) -> ResponseOutputMessage:
    return ResponseOutputMessage(
        id=item_id, type="message", role="assistant", status=status, content=content
    )


def _response(output: list[Any]) -> Response:
    return Response(
        id=f"resp_{uuid4().hex}",
        created_at=0,
        model="scripted",
        object="response",
        output=output,
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
    )
