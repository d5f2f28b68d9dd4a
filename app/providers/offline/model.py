"""A model without a provider: deterministic, streaming, able to call tools.

It is a real ``agents.Model`` and sees only what its input holds, so every path of the product can
be tried and tested without a key. What it says is in ``offline_script``.
"""

import asyncio
from collections.abc import AsyncIterator

from agents import (
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelBehaviorError,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    TResponseInputItem,
    Usage,
)
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponsePromptParam

from app.providers.offline.events import Events, ResponseWriter
from app.providers.offline.input import read_conversation
from app.providers.offline.picture import draw_sunset
from app.providers.offline.script import CallTool, Draw, Fail, Refuse, Say, Step, Think, plan_answer

OFFLINE_MODEL_NAME = "offline"
DEFAULT_DELAY = 0.008
"""Seconds between two words: quick, but a person sees that it streams."""

FAILURE = "The server had an error while processing your request."


class OfflineModel(Model):
    """Answers by itself. ``delay`` is the time before each delta, in seconds."""

    model = "offline"
    """Its name, where a run's usage is written down."""

    def __init__(self, *, delay: float = DEFAULT_DELAY) -> None:
        self.delay = delay

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> ModelResponse:
        """Return the whole answer; raises ``ModelBehaviorError`` where it is to fail."""
        writer, events = _answer(input, model_settings, tools)
        for event in events:
            if event.type == "response.failed":
                raise ModelBehaviorError(FAILURE)
        usage = Usage(
            requests=1,
            input_tokens=writer.usage.input_tokens,
            output_tokens=writer.usage.output_tokens,
            total_tokens=writer.usage.total_tokens,
        )
        return ModelResponse(output=writer.output, usage=usage, response_id=writer.id)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Stream the answer; raises ``ModelBehaviorError`` behind ``response.failed``."""
        _, events = _answer(input, model_settings, tools)
        for event in events:
            if event.type.endswith((".delta", ".partial_image")):
                await asyncio.sleep(self.delay)
            yield event
            if event.type == "response.failed":
                raise ModelBehaviorError(FAILURE)


def _answer(
    model_input: str | list[TResponseInputItem], model_settings: ModelSettings, tools: list[Tool]
) -> tuple[ResponseWriter, Events]:
    conversation = read_conversation(model_input)
    choice = model_settings.tool_choice
    names = [] if choice == "none" else [tool.name for tool in tools]
    forced = choice if isinstance(choice, str) and choice in names else None
    writer = ResponseWriter(model=OFFLINE_MODEL_NAME, input_tokens=conversation.words)
    return writer, _write(writer, plan_answer(conversation, names, forced))


def _write(writer: ResponseWriter, steps: list[Step]) -> Events:
    yield from writer.begin()
    for step in steps:
        match step:
            case Say(text):
                yield from writer.message(text)
            case Refuse(text):
                yield from writer.refusal(text)
            case Think(thoughts):
                yield from writer.reasoning(thoughts)
            case CallTool(name, arguments):
                yield from writer.function_call(name, arguments)
            case Draw():
                yield from writer.image([draw_sunset(side) for side in (64, 256, 1024)])
            case Fail(text):
                yield from writer.unfinished_message(text)
                yield from writer.fail(FAILURE)
                return
    yield from writer.complete()
