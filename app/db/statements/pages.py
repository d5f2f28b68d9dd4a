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


def page_within(
    columns: str, source: str, *, newest_first: bool, limit: str, size: str, most: str
) -> str:
    """Return the query for a page that ends behind the row with which it comes to ``most`` bytes.

    ``source`` is the table with its condition, ``size`` the size of a row. The first row is there
    however large it is; ``fetched`` tells how many there are up to ``limit``. Nothing else of the
    others leaves the database.
    """
    order = f"ORDER BY seq {by_seq(newest_first)}"
    return f"""
  SELECT * FROM (
    SELECT row.*, count(*) OVER () AS fetched,
      sum({size}) OVER ({order} ROWS UNBOUNDED PRECEDING) - ({size}) AS before
    FROM (SELECT {columns} FROM {source} {order} LIMIT {limit}) AS row
  ) AS measured WHERE before < {most}::bigint"""


def by_seq(newest_first: bool) -> str:
    """Return the direction to order by."""
    return "DESC" if newest_first else "ASC"
