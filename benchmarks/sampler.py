"""A sampling profiler for one process: every few milliseconds of CPU, where is it?

Unlike a tracing profiler it does not make calls look dearer than they are. Garbage collection is
timed as well, since it hides in whatever line allocates.
"""

import gc
import json
import signal
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

INTERVAL = 0.001
"""Seconds of CPU between samples; the kernel may round it up to its own tick."""

SITE = "/site-packages/"


class Sampler:
    """Counts the call stacks of the main thread; functions are named ``file:qualified name``."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._names: dict[CodeType, str] = {}
        self._stacks: Counter[tuple[CodeType, ...]] = Counter()
        self._collecting_since = 0.0
        self._collecting = 0.0
        self._collections = 0

    def start(self) -> None:
        """Begin to sample."""
        gc.callbacks.append(self._note_collection)
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        """Stop sampling."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def write(self, path: Path) -> None:
        """Write the stacks, innermost function first, with their counts."""
        stacks = [
            [[self._name(code) for code in stack], count] for stack, count in self._stacks.items()
        ]
        collecting = {"gc_seconds": self._collecting, "gc_count": self._collections}
        path.write_text(json.dumps({"stacks": stacks, **collecting}))

    def _sample(self, _: int, frame: FrameType | None) -> None:
        stack: list[CodeType] = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._stacks[tuple(stack)] += 1

    def _name(self, code: CodeType) -> str:
        known = self._names.get(code)
        if known is None:
            path = code.co_filename
            if SITE in path:
                file = path.rsplit(SITE, 1)[1]
            elif path.startswith(self._root):
                file = path.removeprefix(self._root)
            else:
                file = "python/" + "/".join(path.rsplit("/", 2)[-2:])
            known = self._names[code] = f"{file}:{code.co_qualname}"
        return known

    def _note_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.perf_counter()
        else:
            self._collecting += time.perf_counter() - self._collecting_since
            self._collections += 1
