"""A model that passes everything on to another one, but for what it does to its events."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from agents import (
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    TResponseInputItem,
)
from agents.items import TResponseStreamEvent
from agents.retry import ModelRetryAdvice, ModelRetryAdviceRequest
from openai.types.responses import ResponsePromptParam

ModelInput = str | list[TResponseInputItem]


class ModelWrapper(Model):
    """Wraps ``model``, which stays reachable as ``inner``."""

    def __init__(self, model: Model) -> None:
        self.inner = model

    def __getattr__(self, name: str) -> Any:
        # What is asked for by name only (``model``, say) is the inner model's.
        return getattr(self.inner, name)

    async def close(self) -> None:
        """Release what the model holds."""
        await self.inner.close()

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        """Return what the model knows of a failed request."""
        return self.inner.get_retry_advice(request)

    async def get_response(
        self,
        system_instructions: str | None,
        input: ModelInput,
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
        """Return the model's whole response."""
        return await self.inner.get_response(
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            tracing,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
        )

    def stream_response(
        self,
        system_instructions: str | None,
        input: ModelInput,
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
        """Stream the model's response, through ``pass_on``."""
        events = self.inner.stream_response(
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            tracing,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
        )
        return self.pass_on(events, input)

    @abstractmethod
    def pass_on(
        self, events: AsyncIterator[TResponseStreamEvent], model_input: ModelInput
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Yield what comes of the model's ``events`` in answer to ``model_input``."""
