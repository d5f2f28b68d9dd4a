"""The outbox: nothing is lost or reordered, and text that piles up leaves as one event."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.chatkit.agents.outbox import Outbox
from app.chatkit.protocol.events import (
    AssistantMessageContentPartTextDelta,
    ProgressUpdateEvent,
    ThreadItemUpdatedEvent,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import ThoughtTask
from tests.support.waiting import PATIENCE

deltas = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1), st.text(min_size=1))


@given(st.lists(deltas | st.none() | st.just("read")))
def test_text_is_whole_and_in_order_when_it_is_joined(steps: list[Any]) -> None:
    outbox = Outbox()
    read: list[Any] = []
    for step in steps:
        if step == "read":
            read += outbox.take_all()
        elif step is None:
            outbox.put(ProgressUpdateEvent(text="mark"))
        else:
            outbox.put_text(*step)
    read += outbox.take_all()

    seen: list[Any] = []
    for event in read:
        if event.type == "progress_update":
            seen.append(None)
        else:
            key = (event.item_id, event.update.content_index)
            seen += [(*key, letter) for letter in event.update.delta]
    sent: list[Any] = []
    for step in steps:
        if step is None:
            sent.append(None)
        elif step != "read":
            sent += [(step[0], step[1], letter) for letter in step[2]]
    assert seen == sent


def test_text_event_is_like_any_other_when_it_is_built_by_hand() -> None:
    outbox = Outbox()
    outbox.put_text("msg_1", 2, "Hel")
    outbox.put_text("msg_1", 2, "lo")
    expected = ThreadItemUpdatedEvent(
        item_id="msg_1",
        update=AssistantMessageContentPartTextDelta(content_index=2, delta="Hello"),
    )
    event = outbox.take()
    assert event == expected
    assert event.model_dump_json() == expected.model_dump_json()
    assert event.model_copy(deep=True) == expected
    assert repr(event) == repr(expected)


def test_latest_state_counts_when_states_of_a_task_are_unread() -> None:
    outbox = Outbox()
    for item_id, index, words in [("wf", 0, "a"), ("wf", 0, "ab"), ("wf", 1, "x"), ("wf", 0, "c")]:
        update = WorkflowTaskUpdated(task_index=index, task=ThoughtTask(content=words))
        outbox.put_task_state(item_id, update)
    events: list[Any] = outbox.take_all()
    assert [event.update.task.content for event in events] == ["ab", "x", "c"]


async def test_reader_wakes_when_something_is_put() -> None:
    outbox = Outbox()
    outbox.wake()
    ready = asyncio.create_task(outbox.next_put())
    await asyncio.sleep(0)
    assert not ready.done()
    outbox.put_text("a", 0, "x")
    outbox.put_text("a", 0, "y")
    await asyncio.wait_for(ready, PATIENCE)
    assert outbox.take() is not None
    assert outbox.take() is None


async def test_producer_goes_on_when_the_waiting_reader_was_cancelled() -> None:
    outbox = Outbox()
    reader = asyncio.create_task(outbox.next_put())
    await asyncio.sleep(0)
    reader.cancel()
    outbox.put_text("a", 0, "x")
    assert outbox.take() is not None
