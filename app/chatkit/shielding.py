"""Work that must end even though whoever asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end and return its result, whatever is cancelled meanwhile.

    ``work`` is a task of its own, so neither a cancelled task nor a cancelled anyio scope (which
    cancels again at every await) reaches it. A cancellation that arrived is raised afterwards.
    """
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_report(work, outcome))
    try:
        return await outcome
    except asyncio.CancelledError:
        if task.done() and task.cancelled():
            raise  # from within
        with anyio.CancelScope(shield=True):
            await _end(task)
        if not outcome.cancelled():
            outcome.exception()  # retrieved
        raise


async def _report(work: Coroutine[Any, Any, T], outcome: asyncio.Future[T]) -> None:
    """Say how ``work`` ended as its last step: a shield would need one more turn of the loop."""
    try:
        result = await work
    except asyncio.CancelledError:
        outcome.cancel()
        raise
    except BaseException as error:
        if outcome.done():
            raise
        outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(result)


async def _end(task: asyncio.Task[Any]) -> None:
    """Wait for a task to end, however often this is cancelled; the cancellation has precedence."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved
