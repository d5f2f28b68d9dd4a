"""A model whose events come in steps instead of tokens: the cheapest place to save work.

The Agents SDK spends some ten times as much CPU on passing a delta on as a model spends on making
it, and each event that comes by itself wakes half a dozen tasks up to the socket. So events that
come faster than anybody reads are passed on together, and deltas of one part as one event. The
first text after a pause and the end of a response go on at once, with all that is before them; what
else there is goes on within ``interval``. Nothing is reordered or lost.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from operator import itemgetter
from typing import Any

from agents import Model
from agents.items import TResponseStreamEvent

from app.chatkit.closing import closing
from app.chatkit.wakeup import Wakeup
from app.providers.model_wrapper import ModelInput, ModelWrapper

TEXT_INTERVAL = 0.025
"""Seconds between two steps of what comes faster: forty a second look smooth."""

_PART = itemgetter("item_id", "output_index", "content_index")
_PLACES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "response.output_text.delta": _PART,
    "response.refusal.delta": _PART,
    "response.reasoning_text.delta": _PART,
    "response.reasoning_summary_text.delta": itemgetter("item_id", "output_index", "summary_index"),
    "response.function_call_arguments.delta": itemgetter("item_id", "output_index"),
}
"""What deltas must have in common to be joined, by their type."""

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
"""Events that nothing follows."""


class PacedModel(ModelWrapper):
    """Passes everything on to ``model``, and joins the deltas of what it streams.

    ``interval`` is in seconds; with 0 nothing is joined.
    """

    def __init__(self, model: Model, *, interval: float | None = None) -> None:
        super().__init__(model)
        self._interval = interval

    async def pass_on(
        self, events: AsyncIterator[TResponseStreamEvent], model_input: ModelInput
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Yield the events in steps; closing this ends the model's stream first."""
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
            intake.rest()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # retrieved, also where nobody reads on


class _Text:
    """Deltas of one text that were not passed on yet."""

    __slots__ = ("last", "pieces", "place")

    def __init__(self, event: Any, place: Any) -> None:
        self.last = event
        self.place = place
        self.pieces: list[str] = [event.delta]

    def join(self, event: Any, place: Any, values: dict[str, Any]) -> bool:
        """Take a delta in, if it continues this text."""
        if (
            place != self.place
            or values["type"] != self.last.__dict__["type"]
            or values.get("logprobs")
        ):
            return False
        self.last = event
        self.pieces.append(values["delta"])
        return True

    def to_event(self) -> Any:
        """Return the text as one event."""
        if len(self.pieces) == 1:
            return self.last
        return self.last.model_copy(update={"delta": "".join(self.pieces)})


class _Intake:
    """What a model has said and the SDK has not taken yet; one writer, one reader.

    Entries wait for others to join them, until one of them is due: then all of them go on.
    """

    def __init__(self, interval: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._entries: deque[Any] = deque()
        self._ready = 0  # how many entries go on now
        self._text_due = 0.0
        self._next_due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._wakeup = Wakeup()

    async def fill(self, events: AsyncIterator[TResponseStreamEvent]) -> None:
        """Read the model's stream to its end; raises what the model raises."""
        try:
            async with closing(events):
                async for event in events:
                    self._put(event)
        finally:
            self._is_over = True
            self._pass_on()

    def _put(self, event: Any) -> None:
        entries = self._entries
        # Its dictionary, since a pydantic model is slow to say that it lacks an attribute.
        values = event.__dict__
        get_place = _PLACES.get(event.type)
        try:
            place = None if get_place is None else get_place(values)
        except KeyError:  # not all providers fill in everything
            place = None
        if place is None:
            entries.append(event)
            self._expect(self._loop.time() + self._interval if event.type not in _LAST else 0.0)
        elif not (
            entries and type(entries[-1]) is _Text and entries[-1].join(event, place, values)
        ):
            entries.append(_Text(event, place))
            self._expect(self._text_due)

    def _expect(self, due: float) -> None:
        """Make sure that everything goes on by that time."""
        if due >= self._next_due:
            return
        if due <= self._loop.time():
            self._pass_on()
            return
        self._next_due = due
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._pass_on)

    def _pass_on(self) -> None:
        self._ready = len(self._entries)
        self.rest()
        self._wakeup.notify()

    def rest(self) -> None:
        """Forget what is due, without passing anything on."""
        self._next_due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def has_more(self) -> bool:
        """Wait until something is to be passed on; return False where nothing will be."""
        while not self._ready:
            if self._is_over:
                return False
            await self._wakeup.wait()
        return True

    def take(self) -> Any:
        """Return the oldest event."""
        entry = self._entries.popleft()
        self._ready -= 1
        if type(entry) is not _Text:
            return entry
        self._text_due = self._loop.time() + self._interval
        return entry.to_event()
