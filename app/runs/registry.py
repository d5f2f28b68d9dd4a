"""All runs of this replica: start, find, stop, keep alive; and the cleanup for those of others."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from app.chatkit.context import RequestContext
from app.chatkit.errors import NotFoundError
from app.chatkit.protocol.requests import StreamingReq
from app.chatkit.server import ChatKitServer
from app.chatkit.store import Store
from app.runs.follow import ENDINGS, follow_run, read_from_state
from app.runs.liveness import Liveness
from app.runs.log import RunLog
from app.runs.positions import Position, read_position
from app.runs.replica_repository import ReplicaRepository
from app.runs.repository import RunRepository, RunRow
from app.runs.run import Run, RunOptions

MAX_ENDED_BYTES = 16 * 1024 * 1024
"""What the logs of runs that have ended may come to, all together."""

logger = logging.getLogger("chatkit.runs")


class Runs:
    """The runs that this replica carries out, by id and by thread.

    ``heartbeat`` is the time between signs of life in seconds; ``takeover`` is how long a replica
    may be silent before any other one ends its runs; ``grace`` is how long the log of a run that
    has ended can still be read to its end.
    """

    def __init__(
        self,
        repository: RunRepository,
        replicas: ReplicaRepository,
        options: RunOptions,
        *,
        heartbeat: float,
        takeover: float,
        grace: float,
    ) -> None:
        self._repository = repository
        self._replicas = replicas
        self._options = options
        self._heartbeat = heartbeat
        self._takeover = takeover
        self._grace = grace
        self._running: dict[str, Run] = {}
        self._ended: dict[str, _EndedRun] = {}  # the oldest first
        self._ended_bytes = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = asyncio.Event()
        self._liveness = Liveness(
            repository,
            replicas,
            lambda: self.running,
            heartbeat=heartbeat,
            takeover=takeover,
            outage=options.outage,
        )

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
        self._tasks = [asyncio.create_task(self._keep(), name="runs-heartbeat")]

    def start(
        self, server: ChatKitServer[RequestContext], request: StreamingReq, context: RequestContext
    ) -> Run:
        """Start a run for a streaming request; ``await run.opened()`` tells how it began."""
        run = Run(
            server,
            request,
            context,
            self._repository,
            self._options,
            self.interrupt,
            replica=self._liveness.replica,
            gate=self._liveness.gate,
        )
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
        replica = await self._repository.request_cancel(user_id, run_id)
        if replica is not None:
            await self._replicas.signal(replica, run_id)
        elif await self._repository.find(user_id, run_id) is None:
            raise NotFoundError(f"Run {run_id} not found")

    async def interrupt(self, user_id: str, thread_id: str, before: str) -> None:
        """Stop what runs on a thread, here or elsewhere, if it is older than the run ``before``.

        Runs that wait for the same thread so never stop each other, only the older of two.
        """
        run = self.find_running(user_id, thread_id)
        if run is None:
            asked = await self._repository.request_cancel_of_thread(
                user_id, thread_id, before=before
            )
            if asked is not None:
                await self._replicas.signal(asked.owner, asked.id)
        elif run.id < before:
            run.stop("stopped")

    @asynccontextmanager
    async def deleting(self, user_id: str, thread_id: str) -> AsyncGenerator[None]:
        """Delete a thread in this block; the run that holds it is stopped, wherever it is.

        It goes along with its thread, so who carries it out is looked up before.
        """
        row = await self._repository.find_latest(user_id, thread_id)
        yield
        run = self.find_running(user_id, thread_id)
        if run is not None:
            run.stop("deleted")
        elif row is not None and row.state == "running":
            await self._replicas.signal(row.owner, row.id)

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

        A run of this replica goes on behind ``last_event_id`` (see ``positions``), without a gap or
        a repeat, also if it has ended since; one of another replica is followed by its snapshots.
        Of one that ended badly where nobody can tell any more how, the end is said again.
        Raises ``NotFoundError`` for a thread that is not the user's.
        """
        position = read_position(last_event_id)
        ended = self._ended.get(position.run_id)
        if ended is not None and position.held is None and ended.is_of(context.user_id, thread_id):
            if position.frame < ended.log.last:
                await store.load_thread(thread_id, context)  # it may have been deleted since
                return position.run_id, ended.log.read(position.frame)
            position = read_position(None)  # the reader has all of it
        run = self.find_running(context.user_id, thread_id)
        # Whoever comes back may have been elsewhere, where more is known: this replica may have
        # lost the run without having heard of it.
        if run is not None and (run.phase == "ending" or await self._liveness.confirm_held(run)):
            return run.id, self._read_on(run, position, store, context)
        row = await self._repository.find_latest(context.user_id, thread_id)
        if row is None or not (row.state == "running" or _ended_unseen(row, position)):
            await store.load_thread(thread_id, context)
            return None
        return row.id, follow_run(
            self._repository,
            store,
            context,
            thread_id=thread_id,
            run_id=row.id,
            position=position if position.run_id == row.id else read_position(None),
            interval=self._heartbeat,
            draining=self._draining,
        )

    def _read_on(
        self,
        run: Run,
        position: Position,
        store: Store[RequestContext],
        context: RequestContext,
    ) -> AsyncGenerator[bytes, None]:
        """Return the frames of a run of this replica for a reader who has got so far."""
        if position.run_id != run.id:
            return run.log.read()
        if position.held is None:
            return run.log.read(min(position.frame, run.log.last))
        return read_from_state(run, position.held, store, context)

    # --- keeping ---------------------------------------------------------------------------------

    async def send_heartbeats(self) -> None:
        """Say that this replica lives, save what its runs have, do what others ask of them."""
        await self._liveness.send_heartbeat()

    async def recover(self) -> None:
        """End the runs of replicas that went silent, and forget those that ended a while ago."""
        self._forget_ended(asyncio.get_running_loop().time() - self._grace)
        await self._liveness.recover()

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
        await self._liveness.end()

    async def _keep(self) -> None:
        """Renew, and only then look after others: a replica that stood still is silent itself."""
        clock = asyncio.get_running_loop().time
        next_sweep = clock()
        while True:
            try:
                await self.send_heartbeats()
                if clock() >= next_sweep:
                    next_sweep = clock() + max(self._takeover / 4, 0.1)
                    await self.recover()
            except (OSError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}"
                logger.warning("The database is away for the runs", extra={"reason": reason})
            except Exception:
                logger.exception("A keeping step of the runs failed")
            await asyncio.sleep(self._heartbeat)

    def _retire(self, run: Run) -> None:
        """Keep of a run that has ended what somebody may come back for, and nothing else of it.

        What a run has said that is carried on elsewhere counts no more.
        """
        del self._running[run.id]
        if run.thread_id is None or self._grace == 0 or run.is_lost:
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


def _ended_unseen(row: RunRow, position: Position) -> bool:
    """Return whether a reader of a run cannot know how it ended: badly, or out of their sight."""
    if row.id != position.run_id or position.is_end:
        return False
    return position.held is not None or row.state in ENDINGS


class _EndedRun(NamedTuple):
    """What is kept of a run that has ended: whose it was, and what it said."""

    user_id: str
    thread_id: str
    log: RunLog
    ended_at: float

    def is_of(self, user_id: str, thread_id: str) -> bool:
        """Return whether it was a run of that user and thread."""
        return (self.user_id, self.thread_id) == (user_id, thread_id)
