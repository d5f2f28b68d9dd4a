"""How far a reader has got in a run: what the SSE id of each frame says.

``<run>:<n>`` is the n-th frame of the run's own log, on the replica that carries the run out. What
another replica shows comes from what is stored, and has no place in that log: its id is
``<run>:~<id>,<id>``, with the pending items that the reader holds. Whoever comes back with the
first kind goes on exactly there; whoever comes with the second gets those items anew.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

END = "~end"
"""What stands behind the run's id once the reader has everything."""

_FRAME_NUMBER = re.compile(r"[0-9]{1,18}")
_ITEM_ID = re.compile(r"[!-+\--~]{1,128}")  # printable ASCII but for the comma


class Position(NamedTuple):
    """A reader's place: ``frame`` in the log of ``run_id``, or the pending items it holds.

    ``held`` is None for a place in the log.
    """

    run_id: str
    frame: int
    held: tuple[str, ...] | None
    is_end: bool = False


def read_position(last_event_id: str | None) -> Position:
    """Return what ``Last-Event-ID`` says; a run's beginning where its place cannot be read."""
    run_id, _, place = (last_event_id or "").partition(":")
    if _FRAME_NUMBER.fullmatch(place):
        return Position(run_id, int(place), None)
    if place == END:
        return Position(run_id, 0, (), is_end=True)
    if place.startswith("~"):
        held = tuple(each for each in place[1:].split(",") if _ITEM_ID.fullmatch(each))
        return Position(run_id, 0, held)
    return Position(run_id, 0, None)


def write_position(run_id: str, held: Iterable[str]) -> str:
    """Return the id of a frame that leaves the reader with these pending items.

    Ids that cannot stand in a header are left out: their items are announced once more.
    """
    return f"{run_id}:~{','.join(each for each in held if _ITEM_ID.fullmatch(each))}"
