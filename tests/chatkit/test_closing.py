"""Closing what can be closed."""

from collections.abc import AsyncGenerator

import pytest

from app.chatkit.closing import close_if_possible, closing


async def numbers(closed: list[bool]) -> AsyncGenerator[int, None]:
    try:
        yield 1
        yield 2
    finally:
        closed.append(True)


async def test_generator_is_closed_at_the_end_of_the_block_and_when_it_fails() -> None:
    closed: list[bool] = []
    async with closing(numbers(closed)) as source:
        assert await anext(source) == 1
    assert closed == [True]
    with pytest.raises(LookupError):
        async with closing(numbers(closed)) as source:
            await anext(source)
            raise LookupError
    assert closed == [True, True]


async def test_what_cannot_be_closed_is_left_alone() -> None:
    async with closing(iter([1])) as source:
        assert next(source) == 1
    await close_if_possible(None)
