"""A model that follows a script: turns of Responses stream events, for the real Agents SDK.

A turn is a list of steps: an event is streamed, an exception is raised, and an ``async`` function
is awaited (to wait for the test, or to pace the stream). ``turn()`` composes the usual ones from
outputs: ``turn(text("Hello"), call("search", {"q": "x"}))``.

    model = ScriptedModel([turn(call("search")), turn(text("Found", " it."))])
    agent = Agent(name="test", model=model, tools=[search])
    result = Runner.run_streamed(agent, "hi", run_config=RunConfig(tracing_disabled=True))
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents import Model, ModelResponse, Usage
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseError,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
)
from openai.types.responses.response import IncompleteDetails

from tests.support.scripted_outputs import (
    Output,
    Step,
    call,
    chat_text,
    code_interpreter,
    computer_call,
    file_search,
    image,
    mcp_call,
    mcp_list_tools,
    open_reasoning,
    reasoning,
    refusal,
    text,
    web_search,
)

__all__ = [
    "ModelCall",
    "Output",
    "ScriptedModel",
    "Step",
    "call",
    "chat_text",
    "code_interpreter",
    "completed",
    "computer_call",
    "created",
    "error_event",
    "failed",
    "file_search",
    "image",
    "incomplete",
    "mcp_call",
    "mcp_list_tools",
    "next_step",
    "open_reasoning",
    "reasoning",
    "refusal",
    "response",
    "text",
    "turn",
    "web_search",
]


def turn(
    *outputs: Output,
    ending: Literal["completed", "none"] | Sequence[Step] = "completed",
    interleaved: bool = False,
) -> list[Step]:
    """Return the steps of a response with ``outputs`` one after the other.

    ``interleaved`` announces all of them first and finishes them last (parallel images, say).
    ``ending`` replaces the final event, as with ``incomplete()`` or an exception.
    """
    added = [
        ResponseOutputItemAddedEvent.construct(
            type="response.output_item.added",
            item=each.added,
            output_index=index,
            sequence_number=0,
        )
        for index, each in enumerate(outputs)
        if each.added is not None
    ]
    done = [
        ResponseOutputItemDoneEvent.construct(
            type="response.output_item.done", item=each.done, output_index=index, sequence_number=0
        )
        for index, each in enumerate(outputs)
        if each.done is not None
    ]
    streamed = [list(each.steps(index)) for index, each in enumerate(outputs)]
    steps: list[Step] = [created()]
    if interleaved:
        steps += [*added, *(step for part in streamed for step in part), *done]
    else:
        for index, part in enumerate(streamed):
            steps += [event for event in added if event.output_index == index]
            steps += part
            steps += [event for event in done if event.output_index == index]
    if ending == "completed":
        steps.append(completed([each.done for each in outputs if each.done is not None]))
    elif ending != "none":
        steps += ending
    return steps


# --- whole responses -----------------------------------------------------------------------------


def response(output: Iterable[Any] = (), **fields: Any) -> Response:
    """Return a response object."""
    return Response.construct(
        id="resp_1",
        created_at=0,
        model="scripted",
        object="response",
        output=list(output),
        tool_choice="auto",
        tools=[],
        parallel_tool_calls=True,
        **fields,
    )


def created() -> ResponseCreatedEvent:
    return ResponseCreatedEvent.construct(
        type="response.created", response=response(), sequence_number=0
    )


def completed(output: Iterable[Any]) -> ResponseCompletedEvent:
    return ResponseCompletedEvent.construct(
        type="response.completed", response=response(output, status="completed"), sequence_number=0
    )


def incomplete(reason: str | None) -> list[Step]:
    """An ending: the answer is cut off."""
    details = IncompleteDetails.construct(reason=reason)
    return [
        ResponseIncompleteEvent.construct(
            type="response.incomplete",
            response=response(status="incomplete", incomplete_details=details),
            sequence_number=0,
        )
    ]


def failed(code: str, message: str = "secret details") -> list[Step]:
    """An ending: the provider gives up."""
    error = ResponseError.construct(code=code, message=message)
    return [
        ResponseFailedEvent.construct(
            type="response.failed",
            response=response(status="failed", error=error),
            sequence_number=0,
        )
    ]


def error_event(code: str | None, message: str = "secret details") -> list[Step]:
    """An ending: the stream itself reports an error."""
    return [
        ResponseErrorEvent.construct(type="error", code=code, message=message, sequence_number=0)
    ]


# --- the model -----------------------------------------------------------------------------------


async def next_step() -> None:
    """A step that lets every other task run."""
    await asyncio.sleep(0)


@dataclass
class ModelCall:
    """What the model was asked."""

    input: Any
    instructions: str | None
    tools: list[str]


class ScriptedModel(Model):
    """Plays one turn for each call. ``paced`` lets other tasks run before every event.

    ``calls`` is what it was asked; ``closed`` counts the streams that were left, by their end or
    otherwise. No dataclass: the SDK would serialise the whole script with every run.
    """

    def __init__(self, turns: list[list[Step]], *, paced: bool = False) -> None:
        self.turns = turns
        self.paced = paced
        self.calls: list[ModelCall] = []
        self.closed = 0

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        output: list[Any] = []
        async for event in self.stream_response(*args, **kwargs):
            if event.type == "response.completed":
                output = list(event.response.output)
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        *args: Any,
        **kwargs: Any,
    ) -> AsyncIterator[TResponseStreamEvent]:
        if len(self.calls) >= len(self.turns):
            raise AssertionError("the script is over, but the model is called again")
        steps = self.turns[len(self.calls)]
        self.calls.append(ModelCall(input, system_instructions, [tool.name for tool in tools]))
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if callable(step):
                    await step()
                    continue
                if self.paced:
                    await asyncio.sleep(0)
                yield step
        finally:
            self.closed += 1
