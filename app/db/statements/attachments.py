"""Statements on ``attachments`` as the store sees them; uploads have more of their own."""

from collections.abc import Sequence
from typing import NamedTuple

from app.db.statements.fence import FENCE, HOLDS, WRITTEN, Fenced, Statement, Written


class AttachmentRow(NamedTuple):
    """An attachment as it is stored, in JSON: what the client gets, and what it does not."""

    id: str
    data: str
    private: str | None


_SAVE = f"""
WITH {FENCE}, found AS (
  INSERT INTO attachments (user_id, id, thread_id, data, private, upload_state)
  SELECT $1, $3, $6::text, $4::jsonb, $5::jsonb, 'finished' WHERE {HOLDS}
  ON CONFLICT (user_id, id) DO UPDATE SET
    thread_id = excluded.thread_id, data = excluded.data, private = excluded.private
  RETURNING 1
) {WRITTEN}"""


def save(attachment: AttachmentRow, thread_id: str | None) -> Fenced[Written]:
    """Insert or update an attachment."""
    return Fenced(
        Written,
        _SAVE,
        (
            *attachment,
            thread_id,
        ),
    )


# A file that the assistant made belongs to the thread that shows it, and goes with it.
_BIND_GENERATED = f"""
WITH {FENCE}, found AS (
  UPDATE attachments SET
    thread_id = $3, data = jsonb_set(data, '{{thread_id}}', to_jsonb($3::text))
  WHERE user_id = $1 AND id = $4 AND upload_state = 'finished' AND thread_id IS NULL AND {HOLDS}
  RETURNING 1
) {WRITTEN}"""


def bind_generated(thread_id: str, attachment_id: str) -> Fenced[Written]:
    """Make a file that belongs to no thread belong to this one."""
    return Fenced(
        Written,
        _BIND_GENERATED,
        (
            thread_id,
            attachment_id,
        ),
    )


_LOAD = """
SELECT id, data, private FROM attachments
WHERE user_id = $1 AND id = ANY($2::text[]) AND upload_state <> 'deleted'"""


def load(attachment_ids: Sequence[str]) -> Statement[AttachmentRow]:
    """Load those attachments that are there, in any order."""
    return Statement(AttachmentRow, _LOAD, (list(attachment_ids),))


_DELETE = f"""
WITH {FENCE}, found AS (
  DELETE FROM attachments WHERE user_id = $1 AND id = $3 AND {HOLDS} RETURNING 1
) {WRITTEN}"""


def delete(attachment_id: str) -> Fenced[Written]:
    """Delete an attachment's row."""
    return Fenced(Written, _DELETE, (attachment_id,))
