"""Whether this replica lives, as the others see it, and which of the others do not."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from app.chatkit.protocol.ids import create_id
from app.runs.log import FrameGate
from app.runs.replica_repository import ReplicaLook, ReplicaRepository
from app.runs.repository import Orphan, RunRepository, SnapshotToSave
from app.runs.run import Run, Snapshot

LEAD = 2
"""How many heartbeats what readers see may be ahead of what is stored."""

END_TIMEOUT = 2.0
"""For how many seconds a replica that goes down tries to say so."""

logger = logging.getLogger("chatkit.runs")


class _Sign(NamedTuple):
    """A replica's last sign of life, and how long we had heard the database when we saw it."""

    heartbeat_at: datetime
    heard: float


class Liveness:
    """Keeps the runs of a replica its own, and ends those of replicas that went silent.

    Two rules keep a fault of our own from looking like somebody else's death. A replica is ended
    only after two looks that found the same last sign of life, and only if between the two our own
    signs of life have reached the database for as long as the other's may be missing. Time in which
    everybody stood still, be it this process or the database, hardly counts.

    ``gate`` holds frames back while what they say is not known to be stored. Times in seconds.
    """

    def __init__(
        self,
        runs: RunRepository,
        replicas: ReplicaRepository,
        get_running: Callable[[], Sequence[Run]],
        *,
        heartbeat: float,
        takeover: float,
        outage: float,
    ) -> None:
        self.replica = create_id("rep")
        self.gate = FrameGate(LEAD * heartbeat)
        self._runs = runs
        self._replicas = replicas
        self._get_running = get_running
        self._takeover = takeover
        self._outage = outage
        self._longest_gap = max(takeover / 2, 2 * heartbeat)
        self._clock = asyncio.get_running_loop().time
        self._last_checked = self._clock()
        self._heard = 0.0  # for how long our own signs of life have arrived, all in all
        self._handled: list[str] = []
        self._signs: dict[str, _Sign] = {}

    # --- this replica ----------------------------------------------------------------------------

    async def send_heartbeat(self) -> None:
        """Renew this replica and save what its runs have; raises what the database raises."""
        taken_at = self._clock()
        begun = [run for run in self._get_running() if run.began]
        snapshots = [(run, each) for run in begun if (each := run.snapshot()) is not None]
        try:
            async with asyncio.timeout(self._longest_gap):
                signals = await self._replicas.renew(self.replica, self._handled)
                if signals is None:
                    self._begin_anew(begun)
                    return
                await self._save(snapshots)
        except (OSError, TimeoutError):
            self._give_up_after_outage(begun)
            raise
        self._confirm(taken_at)
        await self._follow(signals)
        if taken_at - self._last_checked >= self._takeover:
            self._last_checked = taken_at
            await self._check_held(begun)

    async def confirm_held(self, run: Run) -> bool:
        """Ask the database whether a run is still this replica's; one that is not is stopped."""
        row = await self._runs.find(run.user_id, run.id)
        if row is None or row.state != "running":
            _lose(run)  # unless it has ended by itself meanwhile
        return not run.is_lost

    async def end(self) -> None:
        """Say that this replica carries nothing out any more, if the database can be told."""
        try:
            async with asyncio.timeout(END_TIMEOUT):
                await self._replicas.end(self.replica)
        except (OSError, TimeoutError) as error:
            logger.warning("Could not say goodbye", extra={"reason": type(error).__name__})

    async def _save(self, snapshots: Sequence[tuple[Run, Snapshot]]) -> None:
        if not snapshots:
            return
        held = await self._runs.save_snapshots(
            [SnapshotToSave(run.user_id, run.id, each.items) for run, each in snapshots]
        )
        for run, each in snapshots:
            if run.id in held:
                run.snapshot_saved(each)
            else:
                _lose(run)

    def _confirm(self, taken_at: float) -> None:
        """Let be read what runs had said by then, which is stored, and a little more."""
        gap = taken_at - self.gate.stored_at
        self._heard += gap if gap <= self._longest_gap else self._longest_gap / 2
        self.gate.stored_at = taken_at
        for run in self._get_running():
            run.log.release(taken_at + self.gate.lead)

    def _begin_anew(self, begun: Sequence[Run]) -> None:
        """Somebody has ended this replica while it stood still: its runs are not its own."""
        logger.warning("This replica was silent for too long", extra={"replica": self.replica})
        for run in begun:
            if run.replica == self.replica:
                _lose(run)
        self.replica = create_id("rep")
        self._handled = []

    def _give_up_after_outage(self, begun: Sequence[Run]) -> None:
        if self._clock() - self.gate.stored_at > self._outage:
            for run in begun:
                run.stop("unreachable")

    async def _follow(self, signals: Sequence[str]) -> None:
        """Look at the runs of which somebody says that something has happened to them."""
        named = set(signals)
        for run in self._get_running():
            if run.id not in named or run.phase == "ending":
                continue
            row = await self._runs.find(run.user_id, run.id)
            if row is None or row.state != "running":
                _lose(run)
            elif row.is_cancelled:
                run.stop("stopped")
        self._handled = list(signals)

    async def _check_held(self, begun: Sequence[Run]) -> None:
        """Look whether the runs are still there: a deleted thread takes its run with it.

        One whose end could not be written is carried out by nobody, and ended here.
        """
        held = await self._runs.find_held(self.replica)
        for run in begun:
            if run.replica != self.replica:
                continue
            if run.id not in held:
                _lose(run)
            elif held[run.id].is_cancelled:
                run.stop("stopped")
        carried_out = {run.id for run in self._get_running()}
        for run_id, each in held.items():
            if run_id not in carried_out:
                await self._runs.recover(Orphan(each.user_id, run_id, self.replica))

    # --- the others ------------------------------------------------------------------------------

    async def recover(self) -> None:
        """End replicas that are silent, and the runs of all that have ended."""
        looks = await self._replicas.look(silent_for=self._takeover)
        ended = [each.id for each in looks if each.has_ended]
        ended += await self._end_silent(looks)
        orphans = await self._runs.find_orphans(
            living=[each.id for each in looks if each.id not in ended],
            ended=ended,
            unknown_for=2 * self._takeover,
        )
        for orphan in orphans:
            if await self._runs.recover(orphan):
                logger.warning("Ended a run whose replica went silent", extra={"run_id": orphan.id})
        if over := [each.id for each in looks if each.is_over]:
            await self._replicas.forget(over)

    async def _end_silent(self, looks: Sequence[ReplicaLook]) -> list[str]:
        known, self._signs = self._signs, {}
        ended: list[str] = []
        for each in looks:
            if each.has_ended or each.id == self.replica:
                continue
            sign = known.get(each.id)
            if sign is None or sign.heartbeat_at != each.heartbeat_at:
                sign = _Sign(each.heartbeat_at, self._heard)
            self._signs[each.id] = sign
            if not each.is_silent or self._heard - sign.heard < self._takeover:
                continue
            if await self._replicas.declare_ended(each.id, each.heartbeat_at):
                logger.warning("Ended a replica that went silent", extra={"replica": each.id})
                ended.append(each.id)
        return ended


def _lose(run: Run) -> None:
    """Stop a run that is carried on elsewhere or is gone; one that ends by itself is left alone."""
    if not run.task.done() and run.phase != "ending":
        run.stop("lost")
