"""Waiting for something new: the one hand-over between the tasks of a turn and their readers."""

import asyncio


class Wakeup:
    """Lets tasks wait for the next ``notify``.

    It has no state that must be cleared, so what there is to read is looked at before waiting. An
    ``asyncio.Event`` that is set and cleared at once does the same, but costs more each time
    (2.1 instead of 1.95 us), and every token takes some of these.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self) -> None:
        """Wait for the next ``notify``."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def notify(self) -> None:
        """Wake everybody who waits."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
