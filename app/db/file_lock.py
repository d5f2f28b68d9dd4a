"""Locks on files: the kernel lets go of them when a process ends, however it ends."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WINDOWS_SLOTS = 1 << 20  # bytes that Windows locks: one is a shared lock, all are an exclusive one


class FileLock:
    """A lock that several processes, or several objects in one process, contend for.

    Never blocks: each ``acquire`` says whether it got the lock. Leaving the ``with`` block, or
    ``close``, releases it.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``, creating it if needed; raises ``OSError``."""
        self._file = path.open("ab")

    def acquire_shared(self) -> bool:
        """Lock together with others who hold it shared; false if someone holds it alone."""
        if sys.platform == "win32":
            return self._lock_bytes(os.getpid() % WINDOWS_SLOTS, 1)
        return self._flock(fcntl.LOCK_SH)

    def acquire_exclusive(self) -> bool:
        """Lock alone, giving up a shared lock for it; false if anyone else holds the lock."""
        if sys.platform == "win32":
            self._unlock_bytes(os.getpid() % WINDOWS_SLOTS, 1)
            return self._lock_bytes(0, WINDOWS_SLOTS)
        return self._flock(fcntl.LOCK_EX)

    def close(self) -> None:
        """Release the lock; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    if sys.platform == "win32":

        def _lock_bytes(self, start: int, count: int) -> bool:
            self._file.seek(start)
            try:
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, count)
            except OSError:
                return False
            return True

        def _unlock_bytes(self, start: int, count: int) -> None:
            self._file.seek(start)
            msvcrt.locking(self._file.fileno(), msvcrt.LK_UNLCK, count)

    else:

        def _flock(self, mode: int) -> bool:
            try:
                fcntl.flock(self._file, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True
