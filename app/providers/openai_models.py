"""The Agents SDK's models for both APIs, as servers of all kinds need them.

``ChatCompletionsModel`` reads a stream through ``ChatStreamNormaliser``. Both offer nothing but the
tool that a request forces, where a server cannot be relied on to heed its name.
"""

from collections.abc import AsyncGenerator, AsyncIterator
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
from app.providers.final_response import write_final_event

_CHOICES = (None, "auto", "required", "none")
"""What a ``tool_choice`` may be besides the name of a tool."""


class RegularStream:
    """What was made of a client's stream, with what else the SDK asks of one."""

    def __init__(self, stream: Any, events: AsyncGenerator[Any]) -> None:
        self.response = get_field(stream, "response")
        self._stream = stream
        self._events = events

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._events

    async def aclose(self) -> None:
        """Close the stream; the connection with it."""
        await self._events.aclose()
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
        decoder = _WatchedDecoder.put_into(stream)
        chunks = ChatStreamNormaliser(response, input).read(
            stream, was_ended=lambda: decoder is None or decoder.has_ended
        )
        return response, RegularStream(stream, chunks)


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
        if isinstance(fetched, Response):
            return fetched
        return RegularStream(fetched, _with_regular_end(cast("Any", fetched)))


async def _with_regular_end(events: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """Yield ``events``, the last with a response that the SDK can count the cost of."""
    async for event in events:
        fixed = write_final_event(event) if event.type == "response.completed" else None
        for each in fixed or (event,):
            yield each


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
