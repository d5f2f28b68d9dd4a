"""How large a page may be, and how it is put together without standing in anybody's way.

A page that ends early says so (``has_more``), and goes on from there. An item is there whole or not
at all, and the first one is always there.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MAX_PAGE_BYTES = 1024 * 1024
"""Of JSON, in one answer; the item that goes beyond it is the last."""
PAUSE_BYTES = 256 * 1024
"""Of JSON, that are worked on before others have their turn: a few milliseconds."""


def within_bytes(
    values: Iterable[T], measure: Callable[[T], int], most: int = MAX_PAGE_BYTES
) -> Iterator[T]:
    """Yield values up to the one with which they come to ``most`` bytes."""
    size = 0
    for each in values:
        if size >= most:
            return
        yield each
        size += measure(each)


class Pauses:
    """Lets the event loop go now and then, by how much work was done."""

    def __init__(self) -> None:
        self._bytes = 0

    async def after(self, size: int) -> None:
        """Take note of work on that many bytes."""
        self._bytes += size
        if self._bytes >= PAUSE_BYTES:
            self._bytes = 0
            await asyncio.sleep(0)
