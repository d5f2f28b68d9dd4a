"""A provider's model that is asked again, with less, where it refuses what it was sent.

Not every model sees images, reads files or remembers as much as it is told, and none says so before
it is asked. What was refused before anything was answered is sent once more without the files, or
with less history; the run goes on as if nothing had been.
"""

import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from agents import Model, ModelResponse, ModelSettings, TResponseInputItem
from agents.items import TResponseStreamEvent
from agents.retry import ModelRetryAdvice, ModelRetryAdviceRequest

from app.chatkit.agents.input_items import Item, pair_calls, to_plain_items
from app.chatkit.agents.provider_errors import (
    ProviderErrorKind,
    Refusal,
    read_failed_event,
    read_refusal,
)
from app.chatkit.agents.refusals import (
    find_setup_fault,
    is_for_good,
    refuses_files,
    refuses_images,
    refuses_parts,
)
from app.chatkit.closing import closing
from app.chatkit.untyped import get_field
from app.providers.advice import log_refusal
from app.providers.chat_messages import (
    CAME_WITH,
    find_came_with,
    read_tool_images,
    show_tool_files,
)
from app.providers.smaller_input import PartKind, find_parts, with_less_history, without_parts

Kind = ProviderErrorKind
Input = str | list[TResponseInputItem]

REMEMBERED = 600.0
"""Seconds for which a model that takes no images (or files) is sent none: it may get better."""

_OPENING = frozenset({"response.created", "response.queued", "response.in_progress"})
_FAILING = frozenset({"response.failed", "response.error", "error"})
_VAGUE_STATUSES = frozenset({400, 413, 415, 422})
"""With which files are refused in words that nobody knows."""

_MAX_TOKENS = re.compile(r"max_(completion_|output_)?tokens")
"""Limits of an answer, which servers know by different names."""

logger = logging.getLogger(__name__)


@dataclass
class RefusedParts:
    """What the models of a provider took none of lately, by their names.

    ``without_reasoning`` are those that do not want their reasoning back, ``without_include`` those
    that have none to give back.
    """

    until: dict[tuple[str, PartKind], float] = field(
        default_factory=dict[tuple[str, PartKind], float]
    )
    without_reasoning: set[str] = field(default_factory=set[str])
    without_include: set[str] = field(default_factory=set[str])

    def note(self, model: str, kinds: frozenset[PartKind]) -> None:
        """Remember what a model refused."""
        self.until.update({(model, kind): time.monotonic() + REMEMBERED for kind in kinds})

    def recall(self, model: str) -> frozenset[PartKind]:
        """Return what a model has refused lately."""
        now = time.monotonic()
        return frozenset(
            kind for (name, kind), until in self.until.items() if name == model and until > now
        )


@dataclass(frozen=True)
class _Request:
    """What is sent; ``is_shorter`` where some of the history was left out."""

    input: Input
    settings: ModelSettings
    is_shorter: bool = False


class _AskAgainError(Exception):
    """A request was refused before anything was answered, and a smaller one may be taken."""

    def __init__(self, request: _Request) -> None:
        super().__init__()
        self.request = request


class ProviderModel(Model):
    """Asks ``model``, and asks it once more where a smaller input may help.

    ``refused`` is shared by the models of a provider; ``address`` is for the log, ``is_chat`` tells
    that it speaks Chat Completions.
    """

    def __init__(
        self,
        model: Model,
        *,
        refused: RefusedParts | None = None,
        address: str = "",
        is_chat: bool = False,
    ) -> None:
        self.inner = model
        self._is_chat = is_chat
        self._name = str(get_field(model, "model", ""))
        self._refused = refused or RefusedParts()
        self._address = address

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
        input: Input,
        model_settings: ModelSettings,
        *args: Any,
        **options: Any,
    ) -> ModelResponse:
        """Return the model's whole response."""
        request = self._prepare(input, model_settings)
        while True:
            try:
                return await self.inner.get_response(
                    system_instructions, *self._write(request), *args, **options
                )
            except Exception as error:
                refusal = read_refusal(error)
                smaller = self._find_smaller(request, refusal)
                if smaller is None:
                    self._advise(refusal)
                    raise
                request = smaller

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Input,
        model_settings: ModelSettings,
        *args: Any,
        **options: Any,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Stream the model's response; closing it ends the model's stream first."""
        request: _Request | None = self._prepare(input, model_settings)
        while request is not None:
            events = self.inner.stream_response(
                system_instructions, *self._write(request), *args, **options
            )
            attempt = self._read(request, events)
            request = None
            try:
                async with aclosing(attempt):
                    async for event in attempt:
                        yield event
            except _AskAgainError as error:
                request = error.request

    async def _read(
        self, request: _Request, events: AsyncIterator[TResponseStreamEvent]
    ) -> AsyncGenerator[TResponseStreamEvent]:
        """Yield the events of one attempt; raises ``_AskAgainError`` where it was refused."""
        opening: list[TResponseStreamEvent] | None = []
        try:
            async with closing(events):
                async for event in events:
                    if opening is not None:
                        if event.type in _OPENING:
                            opening.append(event)
                            continue
                        if event.type in _FAILING:
                            self._give_way(request, read_failed_event(event))
                        for each in opening:
                            yield each
                        opening = None
                    yield event
            for each in opening or ():
                yield each
        except _AskAgainError:
            raise
        except Exception as error:
            if opening is not None:
                self._give_way(request, read_refusal(error))
            raise

    def _give_way(self, request: _Request, refusal: Refusal | None) -> None:
        """Raise ``_AskAgainError`` if something smaller can be sent; tell the operator if not."""
        smaller = self._find_smaller(request, refusal)
        if smaller is not None:
            raise _AskAgainError(smaller)
        self._advise(refusal)

    def _advise(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            log_refusal(refusal, model=self._name, address=self._address)

    # --- what is sent ----------------------------------------------------------------------------

    def _prepare(self, input: Input, settings: ModelSettings) -> _Request:
        """Return what is sent first: in one form, without what the model has refused lately."""
        if settings.response_include and self._name in self._refused.without_include:
            settings = replace(settings, response_include=None)
        if isinstance(input, str):
            return _Request(input, settings)
        plain = cast("list[Item]", pair_calls(to_plain_items(input)))
        items = cast("list[TResponseInputItem]", read_tool_images(plain))
        refused = self._refused.recall(self._name)
        return _Request(without_parts(items, refused) if refused else items, settings)

    def _write(self, request: _Request) -> tuple[Input, ModelSettings]:
        """Return an input as the API takes it, and the settings that go with it."""
        if not self._is_chat or isinstance(request.input, str):
            return request.input, request.settings
        shown = show_tool_files(cast("list[Item]", request.input))
        wants_reasoning = self._name not in self._refused.without_reasoning
        came_with = find_came_with(shown, self._name, reasoning=wants_reasoning)
        settings = request.settings
        if came_with:
            extra_args = {**(settings.extra_args or {}), CAME_WITH: came_with}
            settings = replace(settings, extra_args=extra_args)
        return cast("list[TResponseInputItem]", shown), settings

    def _find_smaller(self, request: _Request, refusal: Refusal | None) -> _Request | None:
        """Return what to send instead of what was refused, or None where nothing would help."""
        if refusal is None:
            return None
        if _MAX_TOKENS.search(refusal.text) and (settings := _without_limit(request.settings)):
            return replace(request, settings=settings)
        if "encrypted" in refusal.text and request.settings.response_include:
            self._refused.without_include.add(self._name)
            return replace(request, settings=replace(request.settings, response_include=None))
        if isinstance(request.input, str):
            return None
        if self._is_chat and "reasoning" in refusal.text and self._gives_reasoning_back(request):
            self._refused.without_reasoning.add(self._name)
            return replace(request)
        parts = self._find_refused_parts(refusal, find_parts(request.input))
        if parts:
            if is_for_good(refusal.text):
                self._refused.note(self._name, parts)
            self._log_left_out("files (set MODEL_READS to what it can be given)", refusal)
            return replace(request, input=without_parts(request.input, parts))
        if refusal.kind is not Kind.CONTEXT_TOO_LONG or request.is_shorter:
            return None
        shorter = with_less_history(request.input, refusal.text)
        if shorter is None:
            return None
        self._log_left_out("some of the history (see HISTORY_ITEMS)", refusal)
        return replace(request, input=shorter, is_shorter=True)

    def _gives_reasoning_back(self, request: _Request) -> bool:
        if self._name in self._refused.without_reasoning:
            return False
        came_with = find_came_with(cast("list[Item]", request.input), self._name, reasoning=True)
        return any("reasoning_content" in each for each in came_with.values())

    def _find_refused_parts(
        self, refusal: Refusal, sent: frozenset[PartKind]
    ) -> frozenset[PartKind]:
        """Return which of the parts that were sent are at fault."""
        if not sent or refusal.kind in (Kind.CONTENT_FILTER, Kind.RATE_LIMIT):
            return frozenset()
        text, named = refusal.text, set[PartKind]()
        if refuses_parts(text):
            return sent
        if refuses_images(text):
            named.add("image")
        if refuses_files(text):
            named.add("file")
        if named & sent:
            return frozenset(named & sent)
        # In words that nobody knows: what is out of the ordinary is the likeliest reason.
        is_vague = refusal.status == 413 or (
            refusal.kind is Kind.MISCONFIGURED
            and refusal.status in _VAGUE_STATUSES
            and find_setup_fault(text) is None
        )
        return sent if is_vague else frozenset()

    def _log_left_out(self, what: str, refusal: Refusal) -> None:
        extra = {"model": self._name, "provider": self._address, "status_code": refusal.status}
        logger.warning("The model refused an input; asked again without %s", what, extra=extra)


def _without_limit(settings: ModelSettings) -> ModelSettings | None:
    """Return settings that do not limit the answer's length; None where these do not either."""
    others = {k: v for k, v in (settings.extra_args or {}).items() if k != "max_completion_tokens"}
    without = replace(settings, max_tokens=None, extra_args=others or None)
    return None if without == settings else without
