"""Deleting a thread whose answer is being written."""

import asyncio

import pytest

from tests.runs.tabs import hold_answer
from tests.support.local_replicas import StartLocal
from tests.support.replica import Page
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-replica", "other-replica"])
async def test_answer_ends_without_an_error_when_its_thread_is_deleted(
    start_local: StartLocal, elsewhere: bool
) -> None:
    # On another replica, the next heartbeat finds out.
    replica = await start_local(run_heartbeat=0.05 if elsewhere else 60, run_takeover=240)
    other = await start_local() if elsewhere else replica
    async with Page(replica.url) as page, Page(other.url) as second_page:
        second_page.secret = page.secret
        first = await hold_answer(replica, page)
        await second_page.ask("threads.delete", thread_id=first.thread_id)
        await asyncio.wait_for(replica.idle(), PATIENCE)
        await first.ended()
    assert replica.assistant.ended == ["cancelled"]
    assert "error" not in {event["type"] for event in first.events}
