"""Closing what can be closed: an async generator, say, but not every iterator."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


async def close_if_possible(source: object) -> None:
    """Await the ``aclose`` of ``source``, if it has one."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


@asynccontextmanager
async def closing(source: T) -> AsyncGenerator[T]:
    """Close ``source``, if it can be closed, at the end of the block."""
    try:
        yield source
    finally:
        await close_if_possible(source)
