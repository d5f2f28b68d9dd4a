"""A model whose text comes in steps instead of tokens: the cheapest place to save work.

The Agents SDK spends some ten times as much CPU on passing a delta on as a model spends on making
it. So deltas of one part that come faster than anybody reads are joined before the SDK sees them:
the first one after a pause goes on at once, what follows within ``interval`` goes on as one event.
Nothing is reordered or lost, and every other event goes on at once, behind the text before it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext
from typing import Any, cast

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

TEXT_INTERVAL = 0.025
"""Seconds between two events of one text while it comes faster: forty a second look smooth."""

_JOINED = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
    }
)


class PacedModel(Model):
    """Passes everything on to ``model``, and joins the deltas of what it streams.

    ``interval`` is in seconds; with 0 nothing is joined.
    """

    def __init__(self, model: Model, *, interval: float | None = None) -> None:
        self.inner = model
        self._interval = interval

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
        """Stream the model's response; closing it ends the model's stream first."""
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
        interval = TEXT_INTERVAL if self._interval is None else self._interval
        if interval <= 0:
            async for event in events:
                yield event
            return
        intake = _Intake(interval)
        # A task, since only so may the model go on while its text waits. It inherits the context
        # that the SDK has set for this request, which a model may read at its first step.
        task = asyncio.create_task(intake.fill(events))
        try:
            while await intake.has_more():
                yield intake.take()
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})


class _Text:
    """Deltas of one text that were not passed on yet."""

    __slots__ = ("last", "pieces")

    def __init__(self, event: Any) -> None:
        self.last = event
        self.pieces: list[str] = [event.delta]

    def join(self, event: Any) -> bool:
        """Take a delta in, if it continues this text."""
        # Their dictionaries, since a pydantic model is slow to say that it lacks an attribute.
        new, last = event.__dict__, self.last.__dict__
        if (
            new["type"] != last["type"]
            or new.get("item_id") != last.get("item_id")
            or new.get("output_index") != last.get("output_index")
            or new.get("content_index") != last.get("content_index")
            or new.get("summary_index") != last.get("summary_index")
            or new.get("logprobs")
        ):
            return False
        self.last = event
        self.pieces.append(event.delta)
        return True

    def to_event(self) -> Any:
        """Return the text as one event."""
        if len(self.pieces) == 1:
            return self.last
        return self.last.model_copy(update={"delta": "".join(self.pieces)})


class _Intake:
    """What a model has said and the SDK has not taken yet; one writer, one reader."""

    def __init__(self, interval: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._entries: deque[Any] = deque()
        self._due = 0.0
        self._is_over = False
        self._waiter: asyncio.Future[None] | None = None
        self._rests = False

    async def fill(self, events: AsyncIterator[TResponseStreamEvent]) -> None:
        """Read the model's stream to its end; raises what the model raises."""
        try:
            closing = aclosing(cast("Any", events)) if hasattr(events, "aclose") else nullcontext()
            async with closing:
                async for event in events:
                    self._put(event)
        finally:
            self._is_over = True
            self._wake()

    def _put(self, event: Any) -> None:
        entries = self._entries
        if event.type not in _JOINED:
            entries.append(event)
            self._wake()
            return
        if entries and type(entries[-1]) is _Text and entries[-1].join(event):
            return
        entries.append(_Text(event))
        if len(entries) > 1 or not self._rests:
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def has_more(self) -> bool:
        """Wait until something is to be passed on; return False where nothing will be."""
        while True:
            entries = self._entries
            early = 0.0
            if entries:
                if len(entries) > 1 or type(entries[0]) is not _Text or self._is_over:
                    return True
                early = self._due - self._loop.time()
                if early <= 0:
                    return True
            elif self._is_over:
                return False
            await self._wait(early)

    async def _wait(self, seconds: float) -> None:
        """Wait for something new: where text is held already, for that long at most."""
        self._waiter = waiter = self._loop.create_future()
        self._rests = seconds > 0
        timer = self._loop.call_later(seconds, self._wake) if self._rests else None
        try:
            await waiter
        finally:
            self._waiter = None
            self._rests = False
            if timer is not None:
                timer.cancel()

    def take(self) -> Any:
        """Return the oldest event."""
        entry = self._entries.popleft()
        if type(entry) is not _Text:
            return entry
        self._due = self._loop.time() + self._interval
        return entry.to_event()
