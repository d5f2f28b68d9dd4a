"""``Wakeup``: who waits is woken once, and nobody who has gone is in the way."""

import asyncio

import pytest

from app.chatkit.wakeup import Wakeup


async def test_everybody_who_waits_is_woken() -> None:
    wakeup = Wakeup()
    waiters = [asyncio.create_task(wakeup.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    wakeup.notify()
    await asyncio.gather(*waiters)


async def test_nobody_is_woken_by_what_came_before() -> None:
    wakeup = Wakeup()
    wakeup.notify()
    waiter = asyncio.create_task(wakeup.wait())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiter.done()
    wakeup.notify()
    await waiter


async def test_cancelled_waiter_harms_nobody_and_is_not_kept() -> None:
    wakeup = Wakeup()
    other = asyncio.create_task(wakeup.wait())
    for _ in range(100):
        waiting = asyncio.create_task(wakeup.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert len(wakeup._waiting) == 1
    wakeup.notify()
    await other
    assert not wakeup._waiting
