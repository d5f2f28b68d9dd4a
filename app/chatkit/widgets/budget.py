"""What one rendering of a template may use: steps, memory, text and processor time.

Every loop body, call and filter is a step, and work on long texts or large lists counts as many. So
a template that never ends, or that grows without end, is stopped after a moment.
"""

import time
from collections.abc import Iterable
from contextvars import ContextVar
from itertools import islice
from typing import Any, cast

from jinja2.exceptions import SecurityError
from pydantic import BaseModel

MAX_STEPS = 100_000
MAX_SECONDS = 1.0
"""Of processor time: a busy machine is no reason to refuse a template."""
MAX_OUTPUT = 1_000_000
"""Characters of a rendered template."""
MAX_TEXT = 10 * MAX_OUTPUT
"""Characters written in all, also into variables."""
MAX_LENGTH = 1_000_000
"""Characters of one text."""
MAX_ELEMENTS = 100_000
"""Elements of one list."""
MAX_NODES = 500_000
"""Everything in nested lists, where ten characters count as one."""
MAX_DEPTH = 200
MAX_BITS = 20_000
"""Of an integer."""
MAX_WIDTH = 10_000
"""What a text may be padded to."""

_CHARACTERS_PER_STEP = 250
_ELEMENTS_PER_STEP = 50
_STEPS_PER_CHECK = 100
_ATOMS = frozenset({int, float, bool, type(None)})
_NESTED = (list, tuple, dict, set, frozenset)


class Budget:
    """What is left of a rendering's means; raises ``SecurityError`` when they are used up."""

    __slots__ = ("_deadline", "_next_check", "_steps", "_text")

    def __init__(self) -> None:
        self._steps = 0
        self._text = 0
        self._next_check = _STEPS_PER_CHECK
        self._deadline = time.thread_time() + MAX_SECONDS

    def spend(self, steps: int = 1) -> None:
        """Count work that was done, or is about to be."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise SecurityError(f"the template takes more than {MAX_STEPS} steps")
        if self._steps >= self._next_check:
            self._next_check = self._steps + _STEPS_PER_CHECK
            if time.thread_time() > self._deadline:
                raise SecurityError(f"the template takes more than {MAX_SECONDS} s")

    def write(self, length: int) -> None:
        """Count characters of text."""
        self._text += length
        if self._text > MAX_TEXT:
            raise SecurityError(f"the template writes more than {MAX_TEXT} characters")
        if length > _CHARACTERS_PER_STEP:
            self.spend(length // _CHARACTERS_PER_STEP)

    def take(self, value: Any) -> Any:
        """Return what an operation has come to, unless it is too large."""
        match value:
            case str() | bytes() | bytearray():
                length = len(cast("str", value))
                refuse_above(MAX_LENGTH, length)
                self.spend(length // _CHARACTERS_PER_STEP)
            case int():
                refuse_above(MAX_BITS, value.bit_length())
            case list() | tuple() | dict() | set():
                length = len(cast("list[Any]", value))
                refuse_above(MAX_ELEMENTS, length)
                self.spend(length // _ELEMENTS_PER_STEP)
            case _:
                pass
        return cast("Any", value)

    def measure(self, *values: Any) -> None:
        """Count everything in nested values, as often as it occurs: writing it takes as long."""
        size = depth = 0
        level: list[Any] = list(values)
        while level:
            refuse_above(MAX_DEPTH, depth)
            depth += 1
            below: list[Any] = []
            for value in level:
                size += 1
                kind = cast("type[Any]", type(value))
                if kind is str:
                    size += len(value) // 10
                elif kind not in _ATOMS:
                    below.extend(_inner(value))
                    refuse_above(MAX_NODES, size + len(below))
            level = below
        if size > _ELEMENTS_PER_STEP:
            self.spend(size // _ELEMENTS_PER_STEP)

    def measure_nested(self, *values: Any) -> None:
        """Measure ``values``, if there are any that hold others."""
        if any(isinstance(each, _NESTED) for each in values):
            self.measure(*values)

    def collect(self, values: Iterable[Any]) -> list[Any]:
        """Return a list of what an iterator yields, unless there is no end to it."""
        found = list(islice(values, MAX_ELEMENTS + 1))
        return self.take(found)


CURRENT: ContextVar[Budget | None] = ContextVar("budget", default=None)


def budget() -> Budget:
    """Return the budget of the rendering under way."""
    return CURRENT.get() or Budget()


def refuse_above(limit: int, size: int) -> None:
    """Raise ``SecurityError`` for what is larger than it may be."""
    if size > limit:
        raise SecurityError(f"the template makes something larger than {limit}")


def _inner(value: object) -> Iterable[Any]:
    match value:
        case dict():
            pairs = cast("dict[Any, Any]", value)
            return (*pairs, *pairs.values())
        case list() | tuple() | set() | frozenset():
            return cast("list[Any]", value)
        case str() | bytes():
            return [None] * (len(value) // 10)
        case BaseModel():
            return value.__dict__.values()
        case _:
            return ()
