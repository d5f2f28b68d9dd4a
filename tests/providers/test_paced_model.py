"""Deltas are joined before the Agents SDK sees them: none is lost, reordered or held for long."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from agents import Model, ModelResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import (
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)

from app.providers.paced_model import PacedModel
from tests.support.waiting import PATIENCE

AGES = 3600.0
"""An interval that does not end while a test runs."""

Script = Callable[[], AsyncIterator[Any]]


class ModelOf(Model):
    """Streams what a function yields."""

    model = "scripted"

    def __init__(self, script: Script) -> None:
        self.script = script

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        raise NotImplementedError

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        return self.script()


def text(delta: str, *, item: str = "msg", part: int = 0) -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent(
        type="response.output_text.delta",
        item_id=item,
        output_index=0,
        content_index=part,
        delta=delta,
        logprobs=[],
        sequence_number=0,
    )


def done(words: str) -> ResponseTextDoneEvent:
    return ResponseTextDoneEvent(
        type="response.output_text.done",
        item_id="msg",
        output_index=0,
        content_index=0,
        text=words,
        logprobs=[],
        sequence_number=0,
    )


def script_of(*events: Any) -> Script:
    """Return a model's stream: a float is a pause, an exception is raised, the rest is yielded."""

    async def script() -> AsyncIterator[Any]:
        for event in events:
            if isinstance(event, float):
                await asyncio.sleep(event)
            elif isinstance(event, BaseException):
                raise event
            else:
                yield event

    return script


def stream(script: Script, interval: float) -> AsyncIterator[Any]:
    model = PacedModel(ModelOf(script), interval=interval)
    arguments: dict[str, Any] = {"previous_response_id": None, "conversation_id": None}
    return model.stream_response(None, "", None, [], None, [], None, prompt=None, **arguments)  # type: ignore[arg-type]


async def read(script: Script, interval: float = AGES) -> list[Any]:
    return [event async for event in stream(script, interval)]


def pieces(events: list[Any]) -> list[str]:
    return [event.delta for event in events if event.type.endswith(".delta")]


async def test_deltas_are_joined_when_they_come_faster_than_anybody_reads() -> None:
    events = await read(script_of(text("a"), 0.0, text("b"), 0.0, text("c"), 0.0, done("abc")))
    assert pieces(events) == ["a", "bc"]
    assert events[-1].type == "response.output_text.done"


async def test_deltas_pass_as_they_are_when_there_is_no_interval() -> None:
    events = [text("a"), text("b"), done("ab")]
    assert await read(script_of(*events), 0) == events


async def test_held_text_is_passed_on_when_its_time_has_come() -> None:
    events = stream(script_of(text("a"), text("b"), 30.0), 0.01)
    received: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while "".join(received) != "ab":
            received.append((await anext(events)).delta)
    await events.aclose()  # type: ignore[attr-defined]


def other(kind: str) -> Any:
    return ResponseCreatedEvent.model_construct(type=kind)


async def read_some(events: AsyncIterator[Any], count: int) -> list[str]:
    """Return the types of the next events, which are to come long before the stream ends."""
    async with asyncio.timeout(PATIENCE):
        return [(await anext(events)).type for _ in range(count)]


@pytest.mark.parametrize(
    "last", ["response.completed", "response.incomplete", "response.failed", "error"]
)
async def test_end_of_a_response_goes_on_at_once_with_all_before_it(last: str) -> None:
    script = script_of(text("a"), 0.0, text("b"), 0.0, done("ab"), 0.0, other(last), 30.0)
    events = stream(script, AGES)
    types = await read_some(events, 4)
    assert types == [text("").type, text("").type, done("").type, last]
    await events.aclose()  # type: ignore[attr-defined]


async def test_what_opens_an_answer_goes_on_with_its_first_text_in_one_step() -> None:
    opening = ["response.created", "response.output_item.added", "response.content_part.added"]
    script = script_of(*(each for kind in opening for each in (other(kind), 0.0)), text("a"), 30.0)
    events, turns = stream(script, AGES), 0
    assert await read_some(events, 1) == opening[:1]

    def count() -> None:
        nonlocal turns
        turns += 1

    asyncio.get_running_loop().call_soon(count)
    assert await read_some(events, 3) == [*opening[1:], text("").type]
    assert turns == 0  # nobody was waited for
    await events.aclose()  # type: ignore[attr-defined]


async def test_other_events_wait_for_no_longer_than_the_interval() -> None:
    kinds = ["response.created", "response.web_search_call.searching"]
    events = stream(script_of(other(kinds[0]), 0.0, other(kinds[1]), 30.0), 0.02)
    assert await read_some(events, 2) == kinds
    await events.aclose()  # type: ignore[attr-defined]


async def test_event_that_lacks_its_place_is_passed_on_as_it_is() -> None:
    bare = SimpleNamespace(type="response.output_text.delta", delta="x")
    events = await read(script_of(text("a"), text("b"), bare, bare))
    assert events[-2:] == [bare, bare]


@pytest.mark.parametrize(
    "stranger",
    [
        text("x", item="other"),
        text("x", part=1),
        ResponseRefusalDeltaEvent(
            type="response.refusal.delta",
            item_id="msg",
            output_index=0,
            content_index=0,
            delta="x",
            sequence_number=0,
        ),
        ResponseFunctionCallArgumentsDeltaEvent(
            type="response.function_call_arguments.delta",
            item_id="msg",
            output_index=0,
            delta="x",
            sequence_number=0,
        ),
    ],
    ids=lambda event: event.type,
)
async def test_only_deltas_of_one_text_are_joined(stranger: Any) -> None:
    events = await read(script_of(text("a"), text("b"), stranger, text("c")))
    assert "".join(pieces(events)) == "abxc"
    assert stranger in events


async def test_log_probabilities_are_not_dropped() -> None:
    likely = text("b").model_copy(update={"logprobs": ["something"]})
    events = await read(script_of(text("a"), likely, done("ab")))
    assert likely in events


async def test_error_of_the_model_is_raised_behind_what_it_said() -> None:
    received: list[Any] = []
    with pytest.raises(ValueError, match="broken"):
        async for event in stream(script_of(text("a"), text("b"), ValueError("broken")), AGES):
            received.append(event)
    assert "".join(pieces(received)) == "ab"


async def test_stream_of_the_model_is_closed_when_nobody_reads_on() -> None:
    ended = asyncio.Event()

    async def script() -> AsyncIterator[Any]:
        try:
            yield text("a")
            await asyncio.sleep(AGES)
        finally:
            ended.set()

    events = stream(script, AGES)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    assert ended.is_set()


async def test_error_that_nobody_reads_on_to_is_no_lost_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = stream(script_of(text("a"), ValueError("broken")), AGES)
    await anext(events)
    await asyncio.sleep(0)
    await events.aclose()  # type: ignore[attr-defined]
    gc.collect()
    assert caplog.text == ""


async def test_stream_of_the_model_ends_when_its_reader_is_cancelled() -> None:
    ended = asyncio.Event()

    async def script() -> AsyncIterator[Any]:
        try:
            await asyncio.sleep(AGES)
            yield text("a")
        finally:
            ended.set()

    reader = asyncio.create_task(read(script))
    await asyncio.sleep(0.01)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert ended.is_set()


async def test_what_is_not_streamed_is_the_inner_models() -> None:
    model = PacedModel(ModelOf(script_of()))
    assert model.model == "scripted"
    with pytest.raises(AttributeError):
        _ = model.unknown


parts = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1), st.text(min_size=1, max_size=3))


@given(st.lists(parts | st.just(0.0) | st.just("done")))
def test_text_is_whole_and_in_order_whatever_is_joined(steps: list[Any]) -> None:
    events = [
        done("")
        if step == "done"
        else step
        if step == 0.0
        else text(step[2], item=step[0], part=step[1])
        for step in steps
    ]
    received = asyncio.run(read(script_of(*events)))

    def letters(events: list[Any]) -> list[Any]:
        return [
            (event.item_id, event.content_index, letter)
            for event in events
            if not isinstance(event, float)
            for letter in (event.delta if event.type.endswith(".delta") else ["done"])
        ]

    assert letters(received) == letters(events)
