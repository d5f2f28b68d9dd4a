"""All runs of this replica: start, find, stop, keep alive; and the cleanup for those of others."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.requests import StreamingReq
from app.chatkit.server import ChatKitServer
from app.chatkit.store import Store
from app.runs.follow import ENDINGS, follow_run
from app.runs.log import RunLog
from app.runs.repository import Renewal, RunRepository
from app.runs.run import Run, RunOptions

MAX_ENDED_BYTES = 16 * 1024 * 1024
"""What the logs of runs that have ended may come to, all together."""

_FRAME_NUMBER = re.compile(r"[0-9]{1,18}")

logger = logging.getLogger("chatkit.runs")


class Runs:
    """The runs that this replica carries out, by id and by thread.

    ``heartbeat`` is the time between renewals in seconds; ``takeover`` is how long a run's
    heartbeat may be silent before any replica ends it; ``grace`` is how long the log of a run that
    has ended can still be read to its end.
    """

    def __init__(
        self,
        repository: RunRepository,
        options: RunOptions,
        *,
        heartbeat: float,
        takeover: float,
        grace: float,
    ) -> None:
        self._repository = repository
        self._options = options
        self._heartbeat = heartbeat
        self._takeover = takeover
        self._grace = grace
        self._running: dict[str, Run] = {}
        self._ended: dict[str, _EndedRun] = {}  # the oldest first
        self._ended_bytes = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether the replica is shutting down and takes no new runs."""
        return self._draining.is_set()

    @property
    def running(self) -> list[Run]:
        """The runs that have not ended."""
        return list(self._running.values())

    def count_running(self, user_id: str) -> int:
        """Return how many runs of a user this replica carries out."""
        return sum(run.user_id == user_id for run in self._running.values())

    def start_background_tasks(self) -> None:
        """Start the heartbeat and the clean-up of this replica."""
        self._tasks = [
            asyncio.create_task(
                self._repeat(self.send_heartbeats, self._heartbeat), name="runs-heartbeat"
            ),
            asyncio.create_task(
                self._repeat(self.recover, max(self._takeover / 4, 0.1)), name="runs-cleanup"
            ),
        ]

    def start(
        self, server: ChatKitServer[RequestContext], request: StreamingReq, context: RequestContext
    ) -> Run:
        """Start a run for a streaming request; ``await run.opened()`` tells how it began."""
        run = Run(server, request, context, self._repository, self._options, self.interrupt)
        self._running[run.id] = run
        run.task.add_done_callback(lambda _: self._retire(run))
        return run

    def find(self, user_id: str, run_id: str) -> Run | None:
        """Return a run that this replica carries out by id, if it is that user's."""
        run = self._running.get(run_id)
        return run if run is not None and run.user_id == user_id else None

    def find_running(self, user_id: str, thread_id: str) -> Run | None:
        """Return the run of this replica that holds a thread."""
        for run in self._running.values():
            if run.began and run.user_id == user_id and run.thread_id == thread_id:
                return run
        return None

    async def cancel(self, user_id: str, run_id: str) -> None:
        """Stop a run, wherever it is carried out; one that has ended already is no error.

        Raises ``NotFoundError`` for a run that does not exist or is not the user's.
        """
        run = self.find(user_id, run_id)
        if run is not None:
            run.stop("stopped")
            return
        if not await self._repository.request_cancel(user_id, run_id) and (
            await self._repository.find(user_id, run_id) is None
        ):
            raise NotFoundError(f"Run {run_id} not found")

    async def interrupt(self, user_id: str, thread_id: str, before: str) -> None:
        """Stop what runs on a thread, here or elsewhere, if it is older than the run ``before``.

        Runs that wait for the same thread so never stop each other, only the older of two.
        """
        run = self.find_running(user_id, thread_id)
        if run is None:
            await self._repository.request_cancel_of_thread(user_id, thread_id, before=before)
        elif run.id < before:
            run.stop("stopped")

    def stop_deleted(self, user_id: str, thread_id: str) -> None:
        """Stop the run of this replica on a thread that was deleted; others find out themselves."""
        run = self.find_running(user_id, thread_id)
        if run is not None:
            run.stop("deleted")

    async def read(self, run: Run, *, stop_is_explicit: bool) -> AsyncGenerator[bytes, None]:
        """Yield a run's frames to the connection that asked for it.

        If the connection closes before the end, that is the Stop button, unless the run says that
        it cannot be stopped or the client promised to send Stop explicitly.
        """
        try:
            async for chunk in run.log.read():
                yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            if not stop_is_explicit and not self.draining:
                run.reader_disconnected()
            raise

    async def attach(
        self,
        store: Store[RequestContext],
        context: RequestContext,
        *,
        thread_id: str,
        last_event_id: str | None,
    ) -> tuple[str, AsyncGenerator[bytes, None]] | None:
        """Return the id and the further frames of the run that holds a thread, or None.

        A run of this replica goes on behind ``last_event_id`` (``<run_id>:<n>``), without a gap or
        a repeat, also if it has ended since; one of another replica is followed by its snapshots.
        Of one that ended badly where nobody can tell any more how, the end is said again.
        Raises ``NotFoundError`` for a thread that is not the user's.
        """
        run_id, _, number = (last_event_id or "").rpartition(":")
        after = int(number) if _FRAME_NUMBER.fullmatch(number) else 0
        ended = self._ended.get(run_id)
        if ended is not None and (ended.user_id, ended.thread_id) == (context.user_id, thread_id):
            if after < ended.log.last:
                await store.load_thread(thread_id, context)  # it may have been deleted since
                return run_id, ended.log.read(after)
            run_id = ""  # the reader has all of it
        run = self.find_running(context.user_id, thread_id)
        if run is not None:
            return run.id, run.log.read(min(after, run.log.last) if run_id == run.id else 0)
        row = await self._repository.find_latest(context.user_id, thread_id)
        if row is None or not (row.state == "running" or _ended_unseen(row, run_id)):
            await store.load_thread(thread_id, context)
            return None
        return row.id, follow_run(
            self._repository,
            store,
            context,
            thread_id=thread_id,
            run_id=row.id,
            interval=self._heartbeat,
            draining=self._draining,
        )

    # --- keeping ---------------------------------------------------------------------------------

    async def send_heartbeats(self) -> None:
        """Renew every run of this replica, save what changed, stop what was cancelled elsewhere."""
        runs = self.running
        if not runs:
            return
        # Others may claim their thread while the statement is under way; it cannot know of them.
        begun = {run.id for run in runs if run.began}
        snapshots = [run.snapshot() for run in runs]
        held = await self._repository.renew(
            [
                Renewal(run.user_id, run.id, snapshot and snapshot.items)
                for run, snapshot in zip(runs, snapshots, strict=True)
            ]
        )
        for run, snapshot in zip(runs, snapshots, strict=True):
            if run.id not in held:
                if run.id in begun and not run.task.done() and not run.ending:
                    run.stop("lost")  # another replica has taken it over, or the thread is gone
                continue
            if snapshot is not None:
                run.snapshot_saved(snapshot)
            if held[run.id]:
                run.stop("stopped")

    async def recover(self) -> None:
        """End the runs of replicas that went silent, and forget those that ended a while ago."""
        self._forget_ended(asyncio.get_running_loop().time() - self._grace)
        ended = await self._repository.recover(silent_for=self._takeover)
        for run_id in ended:
            logger.warning("Ended a run whose replica went silent", extra={"run_id": run_id})

    async def drain(self, seconds: float) -> None:
        """Let runs finish for that long, then end the rest with what they have.

        Who follows the run of another replica is let go at once.
        """
        self._draining.set()
        if tasks := [run.task for run in self.running]:
            logger.info("Draining", extra={"running": len(tasks), "seconds": seconds})
            await asyncio.wait(tasks, timeout=seconds)
        rest = self.running
        for run in rest:
            run.stop("interrupted")
        if rest:
            await asyncio.wait([run.task for run in rest])

    async def close(self) -> None:
        """End everything; for the end of the process."""
        await self.drain(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _repeat(self, step: Callable[[], Awaitable[None]], interval: float) -> None:
        while True:
            try:
                await step()
            except Exception:
                # The database may be away for a while; the next tick tries again.
                logger.exception("A keeping step of the runs failed")
            await asyncio.sleep(interval)

    def _retire(self, run: Run) -> None:
        """Keep of a run that has ended what somebody may come back for, and nothing else of it."""
        del self._running[run.id]
        if run.thread_id is None or self._grace == 0:
            return
        now = asyncio.get_running_loop().time()
        self._ended[run.id] = _EndedRun(run.user_id, run.thread_id, run.log, now)
        self._ended_bytes += run.log.size
        self._forget_ended(now - self._grace)

    def _forget_ended(self, before: float) -> None:
        """Forget runs that ended before that, and the oldest while all together are too large."""
        while self._ended:
            run_id, oldest = next(iter(self._ended.items()))
            if oldest.ended_at > before and self._ended_bytes <= MAX_ENDED_BYTES:
                return
            self._ended_bytes -= oldest.log.size
            del self._ended[run_id]


def _ended_unseen(row: Any, run_id: str) -> bool:
    """Return whether the reader of a run cannot know that it ended before its answer did."""
    return row.id == run_id and row.state in ENDINGS


class _EndedRun(NamedTuple):
    """What is kept of a run that has ended: whose it was, and what it said."""

    user_id: str
    thread_id: str
    log: RunLog
    ended_at: float
