"""Widgets as thread events."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.chatkit.agents import accumulate_text, stream_widget
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import ThreadMetadata, now
from app.chatkit.widgets import Card, Markdown, Text, WidgetRoot
from tests.chatkit.agents.agent_runs import FakeRun, items, shape, updates
from tests.support.scripted_model import text, turn

THREAD = ThreadMetadata(id="thr_1", created_at=now())


def card(words: str, *, streaming: bool = True) -> Card:
    return Card(children=[Text(id="text", value=words, streaming=streaming)])


class States:
    """An async iterator that is no generator."""

    def __init__(self, *states: WidgetRoot) -> None:
        self._states = iter(states)
        self.is_closed = False

    def __aiter__(self) -> "States":
        return self

    async def __anext__(self) -> WidgetRoot:
        for state in self._states:
            return state
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True


async def collect(widget: Any, **options: Any) -> list[ThreadStreamEvent]:
    return [event async for event in stream_widget(THREAD, widget, **options)]


async def test_widget_is_done_at_once_when_it_does_not_change() -> None:
    widget = card("hi")
    [event] = await collect(widget, copy_text="hi", generate_id=lambda kind: f"{kind}_1")
    [item] = items([event])
    assert (item.id, item.thread_id, item.copy_text) == ("message_1", "thr_1", "hi")
    assert item.widget is widget


async def test_smallest_updates_are_sent_when_a_generator_yields_states() -> None:
    async def states() -> AsyncIterator[WidgetRoot]:
        for words in ("", "Hel", "Hello"):
            yield card(words)
        yield card("Hello", streaming=False)

    events = await collect(states())
    assert shape(events)[0] == "added widget"
    assert shape(events)[-1] == "done widget"
    text_deltas = updates(events, "streaming_text.value_delta")
    assert "".join(update.delta for update in text_deltas) == "Hello"
    [added], [done] = items(events, "thread.item.added"), items(events)
    assert (added.id, added.created_at) == (done.id, done.created_at)
    assert added.widget == card("")
    assert done.widget == card("Hello", streaming=False)


async def test_states_are_taken_when_the_iterator_is_no_generator() -> None:
    states = States(card("a"), card("ab"))
    assert shape(await collect(states)) == ["added widget", "update value_delta", "done widget"]
    assert states.is_closed


async def test_nothing_is_shown_when_the_iterator_is_empty() -> None:
    assert await collect(States()) == []


async def test_iterator_is_closed_when_the_stream_is_closed() -> None:
    states = States(card("a"), card("ab"))
    stream = stream_widget(THREAD, states)
    await anext(stream)
    await stream.aclose()
    assert states.is_closed


async def test_iterator_is_closed_when_it_fails() -> None:
    closed: list[bool] = []

    async def states() -> AsyncIterator[WidgetRoot]:
        try:
            yield card("a")
            raise ValueError("no more")
        finally:
            closed.append(True)

    with pytest.raises(ValueError, match="no more"):
        await collect(states())
    assert closed == [True]


async def test_text_accumulates_when_a_run_streams_into_a_widget() -> None:
    base = Markdown(id="md", value="", streaming=True)
    run = FakeRun(turn(text("Hel", "lo")))
    states = [state async for state in accumulate_text(run.stream_events(), base)]
    assert [state.value for state in states] == ["", "Hel", "Hello", "Hello"]
    assert [state.streaming for state in states] == [True, True, True, False]
