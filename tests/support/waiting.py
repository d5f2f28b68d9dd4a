"""Waiting for a state, never for a time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

PATIENCE = 60.0
"""For how long a state is waited for, in seconds: far longer than it takes on a busy machine."""


async def until(reached: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds; raises ``TimeoutError`` where it never does."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = reached()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.01)
