"""Work that is carried through while everything around it is cancelled."""

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from app.chatkit.shielding import run_to_completion


class Work:
    """Takes a few steps, of which a test can wait for the first and hold the last."""

    def __init__(self) -> None:
        self.started, self.may_end = asyncio.Event(), asyncio.Event()
        self.ended = False

    async def run(self, error: Exception | None = None) -> str:
        self.started.set()
        await self.may_end.wait()
        await asyncio.sleep(0)
        self.ended = True
        if error is not None:
            raise error
        return "result"


async def test_result_is_returned_when_nothing_is_cancelled() -> None:
    work = Work()
    work.may_end.set()
    assert await run_to_completion(work.run()) == "result"


async def test_error_is_raised_when_the_work_fails() -> None:
    work = Work()
    work.may_end.set()
    with pytest.raises(OSError, match="disk"):
        await run_to_completion(work.run(OSError("disk")))


@pytest.mark.parametrize("error", [None, OSError("disk")])
@pytest.mark.parametrize("times", [1, 3])
async def test_work_ends_and_the_cancel_is_raised_when_the_task_is_cancelled(
    error: Exception | None, times: int
) -> None:
    work = Work()
    task = asyncio.create_task(run_to_completion(work.run(error)))
    await work.started.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended
    assert task.cancelled()


async def test_work_ends_when_an_anyio_scope_cancels_at_every_await(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Work()
    after: list[str] = []
    waits = 0
    wait_for = asyncio.wait

    def count_waits(*args: Any) -> Any:
        nonlocal waits
        waits += 1
        return wait_for(*args)

    monkeypatch.setattr(asyncio, "wait", count_waits)

    async def wait() -> None:
        try:
            await run_to_completion(work.run())
        finally:
            after.append("ended" if work.ended else "cut off")

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await work.started.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            work.may_end.set()
    assert after == ["ended"]
    assert waits <= 2  # and not one for every turn of the event loop


async def test_cancel_is_not_lost_when_it_comes_in_the_moment_the_work_ends() -> None:
    async def wait() -> str:
        task = asyncio.current_task()
        assert task is not None

        async def work() -> None:
            task.cancel()

        await run_to_completion(work())
        return "went on"

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(wait())


async def test_cancel_is_raised_when_the_work_itself_is_cancelled() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_to_completion(work())


async def test_work_ends_when_its_task_was_cancelled_before_it_began() -> None:
    work = Work()
    work.may_end.set()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await run_to_completion(work.run())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended
