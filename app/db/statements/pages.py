"""Pages by key: the part of a statement that takes rows behind (or in front of) a cursor."""

from typing import Literal

Order = Literal["asc", "desc"]


def beyond(cursor: str, *, newest_first: bool) -> str:
    """Return the condition for rows behind the ``seq`` of the common table expression ``cursor``.

    ``coalesce`` rather than ``OR`` keeps it an index condition: deep pages stay cheap.
    """
    if newest_first:
        return f"seq < coalesce((SELECT seq FROM {cursor}), 9223372036854775807)"
    return f"seq > coalesce((SELECT seq FROM {cursor}), 0)"


def by_seq(newest_first: bool) -> str:
    """Return the direction to order by."""
    return "DESC" if newest_first else "ASC"
