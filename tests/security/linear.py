"""Whether work grows no faster than its input: the same at ``n`` and at ``4 n``, and compared."""

import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

FACTOR = 4
MOST = 6.0
"""By what work on four times the input may be larger: 16 would be quadratic, 4 is linear."""
TRIES = 40
ENOUGH = 0.002
"""Seconds of CPU that one measurement takes at least, over as many calls as that needs."""
MOST_CALLS = 40


def grows_linearly(work: Callable[[Any], object], make: Callable[[int], Any], n: int) -> float:
    """Return the ratio of CPU time at ``4 n`` and at ``n``, the least of some tries.

    It is the time of this thread on a processor, so waiting for one costs nothing.
    """
    small, large = make(n), make(FACTOR * n)
    best = float("inf")
    gc.disable()  # what it looks through is not the work's
    try:
        for _ in range(TRIES):
            best = min(best, _cost(work, large) / _cost(work, small))
            if best <= MOST:
                break
    finally:
        gc.enable()
    return best


def _cost(work: Callable[[Any], object], value: Any) -> float:
    least, spent, calls = float("inf"), 0.0, 0
    while spent < ENOUGH and calls < MOST_CALLS:
        begun = time.thread_time()
        work(value)
        took = time.thread_time() - begun
        least, spent, calls = min(least, took), spent + took, calls + 1
    return max(least, 1e-7)


def run_now(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that never really waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def attacks(*pieces: str) -> Iterator[tuple[str, Callable[[int], str]]]:
    """Yield names and makers of texts that pump each piece, behind, between and before the others.

    What makes a pattern slow is a part that it repeats, once it has begun to match and where it
    fails in the end.
    """
    for pumped in pieces:
        for start in ("", *pieces):
            for end in ("", "\x00!"):
                yield (
                    f"{start!r} {pumped!r}* {end!r}",
                    lambda n, start=start, pumped=pumped, end=end: (
                        start + pumped * (n // len(pumped)) + end
                    ),
                )
        for other in pieces:
            if other != pumped:
                both = pumped + other
                yield f"({both!r})*", lambda n, both=both: both * (n // len(both))
