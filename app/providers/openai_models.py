"""The Agents SDK's models for both APIs, as servers of all kinds need them.

``ChatCompletionsModel`` reads a stream through ``ChatStreamNormaliser``. Both offer nothing but the
tool that a request forces, where a server cannot be relied on to heed its name.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

from agents import (
    Handoff,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Tool,
)
from openai.types.responses import Response

from app.chatkit.untyped import get_field
from app.providers.chat_stream import ChatStreamNormaliser, fix_completion

_CHOICES = (None, "auto", "required", "none")
"""What a ``tool_choice`` may be besides the name of a tool."""


class NormalisedChunks:
    """A stream of chunks made regular, with what the SDK asks of a client's stream."""

    def __init__(self, stream: Any, normaliser: ChatStreamNormaliser) -> None:
        self.response = get_field(stream, "response")
        self._stream = stream
        self._decoder = _WatchedDecoder.put_into(stream)
        self._chunks = normaliser.read(stream, self._was_ended)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks

    def _was_ended(self) -> bool:
        return self._decoder is None or self._decoder.has_ended

    async def aclose(self) -> None:
        """Close the stream; the connection with it."""
        await self._chunks.aclose()
        await self._stream.close()


class _WatchedDecoder:
    """Decodes as the client does, which keeps the ``[DONE]`` at the end of a stream to itself."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.has_ended = False

    @classmethod
    def put_into(cls, stream: Any) -> "_WatchedDecoder | None":
        """Watch a stream that nobody has read yet; None if it is not the client's."""
        decoder = get_field(stream, "_decoder")
        if decoder is None:
            return None
        stream._decoder = watched = cls(decoder)
        return watched

    async def aiter_bytes(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events in the body of a response."""
        async for event in self._decoder.aiter_bytes(chunks):
            if event.data.startswith("[DONE]"):
                self.has_ended = True
            yield event


class ChatCompletionsModel(OpenAIChatCompletionsModel):
    """Answers through Chat Completions, of OpenAI or of any other server."""

    async def _fetch_response(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: Any,
        handoffs: list[Handoff],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        offered = offer_forced_tool(model_settings, tools, handoffs)
        model_settings, tools, handoffs = offered
        fetch = cast("Any", super()._fetch_response)
        fetched: object = await fetch(
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            *args,
            **kwargs,
        )
        if not isinstance(fetched, tuple):
            return fix_completion(fetched)
        response, stream = cast("tuple[Response, Any]", fetched)
        return response, NormalisedChunks(stream, ChatStreamNormaliser(response, input))


class CompatibleResponsesModel(OpenAIResponsesModel):
    """Answers through the Responses API of a server that is not OpenAI's."""

    async def _fetch_response(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: Any,
        handoffs: list[Handoff],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        offered = offer_forced_tool(model_settings, tools, handoffs)
        model_settings, tools, handoffs = offered
        fetch = cast("Any", super()._fetch_response)
        return await fetch(
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            *args,
            **kwargs,
        )


def offer_forced_tool(
    settings: ModelSettings, tools: list[Tool], handoffs: list[Handoff]
) -> tuple[ModelSettings, list[Tool], list[Handoff]]:
    """Return what to offer so that a tool chosen by name is used.

    llama.cpp and others ignore the name and say so only in their logs; with one tool on offer,
    "required" means the same, and all of them know it.
    """
    name = settings.tool_choice
    if name in _CHOICES or not isinstance(name, str):
        return settings, tools, handoffs
    chosen = [tool for tool in tools if tool.name == name]
    chosen_handoffs = [each for each in handoffs if each.tool_name == name]
    if not chosen and not chosen_handoffs:
        return settings, tools, handoffs
    return replace(settings, tool_choice="required"), chosen, chosen_handoffs
