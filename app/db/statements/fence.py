"""The fence: how a run proves, in the statement that writes, that it still holds its thread.

It locks the run's own row in ``runs``, so a replica that was taken over finds nothing and writes
nothing. For a request that is no run the fence is open. ``$1`` is the owner of what is written,
``$2`` the run or null; a statement's own parameters begin with ``$3``.
"""

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

from app.db.database import RowT

FENCE = """
fence AS (
  SELECT 1 FROM runs WHERE user_id = $1 AND id = $2 AND state = 'running' FOR SHARE
)"""
HOLDS = "($2::text IS NULL OR EXISTS (SELECT 1 FROM fence))"
WRITTEN = f"SELECT {HOLDS} AS held, EXISTS (SELECT 1 FROM found) AS found"
"""What such a statement ends with; ``found`` is a common table expression of it."""


class Written(NamedTuple):
    """Whether the fence let the statement through, and whether what it names is there."""

    held: bool
    found: bool


@dataclass(frozen=True, slots=True)
class Statement(Generic[RowT]):
    """A statement for an owner, who is ``$1``: its row, its text, its parameters behind that."""

    row: type[RowT]
    sql: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Fenced(Generic[RowT]):
    """The same behind the fence: ``$2`` is the run, and the parameters begin with ``$3``."""

    row: type[RowT]
    sql: str
    args: tuple[Any, ...]

    def of(self, run_id: str | None) -> Statement[RowT]:
        """Return the statement of a run, or of a request that is none."""
        return Statement(self.row, self.sql, (run_id, *self.args))
