"""The SQL of ``PostgresStore``: every statement names the owner, as ``$1``.

``fence`` is how a run proves that it still holds its thread: it locks its own row in ``runs``
(``$2`` is the run id), so a replica that was taken over finds nothing and writes nothing. For a
request that is no run, ``$2`` is null and the fence is open.

Every statement that writes answers with one row: ``held`` says whether the fence let it through,
``found`` whether what it names is there.
"""

from app.chatkit.store import MARK_PREFIX

_FENCE = """
fence AS (
  SELECT 1 FROM runs WHERE user_id = $1 AND id = $2 AND state = 'running' FOR SHARE
)"""
_HOLDS = "($2::text IS NULL OR EXISTS (SELECT 1 FROM fence))"
_FOUND = f"SELECT {_HOLDS} AS held, EXISTS (SELECT 1 FROM found) AS found"

_THREAD_COLUMNS = "id, title, status, allowed_image_domains, metadata, created_at"  # in this order

LOAD_THREAD = f"SELECT {_THREAD_COLUMNS} FROM threads WHERE user_id = $1 AND id = $2"

# Whether the user may have one more answer written; no limit is 0.
_ROOM = """
room AS MATERIALIZED (
  SELECT CASE WHEN $2::text IS NULL OR {limit}::bigint = 0 THEN true
    ELSE answer_room($1, $2, {limit}::bigint) END AS free
)"""

CLAIM_THREAD = f"""
WITH {_ROOM.format(limit="$6")}, thread AS (
  SELECT {_THREAD_COLUMNS} FROM threads WHERE user_id = $1 AND id = $3
), claim AS (
  INSERT INTO runs (user_id, id, thread_id, kind, owner)
  SELECT $1, $2, thread.id, $4, $5 FROM thread, room WHERE room.free
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT thread.*, (SELECT free FROM room) AS has_room, EXISTS (SELECT 1 FROM claim) OR EXISTS (
  SELECT 1 FROM runs WHERE user_id = $1 AND id = $2 AND thread_id = $3 AND state = 'running'
) AS claimed
FROM thread"""

SAVE_THREAD = f"""
WITH {_FENCE}, found AS (
  INSERT INTO threads
    (user_id, id, title, status, allowed_image_domains, metadata, created_at, updated_at)
  SELECT $1, $3, $4::text, $5::jsonb, $6::jsonb, $7::jsonb, $8::timestamptz, now() WHERE {_HOLDS}
  ON CONFLICT (user_id, id) DO UPDATE SET
    title = excluded.title, status = excluded.status, metadata = excluded.metadata,
    allowed_image_domains = excluded.allowed_image_domains, updated_at = now()
  RETURNING 1
) {_FOUND}"""

SAVE_THREAD_CHANGES = f"""
WITH {_FENCE}, found AS (
  UPDATE threads SET
    title = CASE WHEN 'title' = ANY($4::text[]) THEN $5::text ELSE title END,
    status = CASE WHEN 'status' = ANY($4::text[]) THEN $6::jsonb ELSE status END,
    allowed_image_domains = CASE WHEN 'allowed_image_domains' = ANY($4::text[])
      THEN $7::jsonb ELSE allowed_image_domains END,
    metadata = CASE WHEN 'metadata' = ANY($4::text[]) THEN $8::jsonb ELSE metadata END,
    updated_at = now()
  WHERE user_id = $1 AND id = $3 AND {_HOLDS}
  RETURNING 1
) {_FOUND}"""

DELETE_THREAD = f"""
WITH {_FENCE}, files AS (
  UPDATE attachments SET upload_state = 'deleted', touched_at = now()
  WHERE user_id = $1 AND thread_id = $3 AND {_HOLDS}
), found AS (
  DELETE FROM threads WHERE user_id = $1 AND id = $3 AND {_HOLDS} RETURNING 1
) {_FOUND}"""

_ITEM_COLUMNS = "(user_id, thread_id, id, type, hidden, data, private, created_at)"
_ITEM_VALUES = "$1, $3, $4, $5::text, $6::boolean, $7::jsonb, $8::jsonb, $9::timestamptz"
_ITEM_UPSERT = """
  ON CONFLICT (user_id, thread_id, id) DO UPDATE SET
    type = excluded.type, hidden = excluded.hidden, data = excluded.data,
    private = excluded.private
  RETURNING 1"""

SAVE_ITEM = f"""
WITH {_FENCE}, found AS (
  INSERT INTO thread_items {_ITEM_COLUMNS}
  SELECT {_ITEM_VALUES} WHERE {_HOLDS}
  {_ITEM_UPSERT}
) {_FOUND}"""

# A mark is ``claimed:<run>:<token>`` until its call goes on, and then ``begun:…``. One that was
# only claimed belongs to nobody once its run has ended; without a run, after a minute.
MARK_ONCE = f"""
WITH {_FENCE}, abandoned AS (
  SELECT mark.id FROM thread_items AS mark
  WHERE mark.user_id = $1 AND mark.thread_id = $3 AND mark.id = $4
    AND starts_with(mark.private ->> 'mark', 'claimed:')
    AND CASE split_part(mark.private ->> 'mark', ':', 2)
      WHEN '' THEN mark.created_at < now() - interval '1 minute'
      ELSE NOT EXISTS (
        SELECT 1 FROM runs WHERE user_id = $1 AND state = 'running'
          AND runs.id = split_part(mark.private ->> 'mark', ':', 2)
      )
    END
), found AS (
  INSERT INTO thread_items {_ITEM_COLUMNS}
  SELECT {_ITEM_VALUES} WHERE {_HOLDS}
  ON CONFLICT (user_id, thread_id, id) DO UPDATE SET private = excluded.private
  WHERE thread_items.private ->> 'mark' = excluded.private ->> 'mark'
    OR thread_items.id IN (SELECT id FROM abandoned)
  RETURNING 1
) {_FOUND}"""

# Either all attachments are bound to the thread, or none is and no message is stored.
_BIND_ATTACHMENTS = """
free AS (
  SELECT id FROM attachments
  WHERE user_id = $1 AND id = ANY($10::text[]) AND (thread_id IS NULL OR thread_id = $3)
    AND upload_state = 'finished'
  ORDER BY id FOR UPDATE
), ready AS (
  SELECT 1 WHERE (SELECT count(*) FROM free) = cardinality($10::text[]) AND {condition}
), bound AS (
  UPDATE attachments SET
    thread_id = $3, data = jsonb_set(data, '{{thread_id}}', to_jsonb($3::text))
  WHERE user_id = $1 AND id = ANY($10::text[]) AND EXISTS (SELECT 1 FROM ready)
)"""
_INSERT_MESSAGE = f"""
found AS (
  INSERT INTO thread_items {_ITEM_COLUMNS}
  SELECT {_ITEM_VALUES} FROM ready
  {_ITEM_UPSERT}
)"""

ADD_USER_MESSAGE = f"""
WITH {_FENCE}, {_BIND_ATTACHMENTS.format(condition=_HOLDS)}, touched AS (
  UPDATE threads SET updated_at = now() FROM ready WHERE user_id = $1 AND id = $3
), {_INSERT_MESSAGE} {_FOUND}"""

_BEGINS = "coalesce((SELECT held FROM began), true) AND (SELECT free FROM room)"
# A run begins with its thread, unless it had begun and has ended or lost its thread since.
CREATE_THREAD_WITH_MESSAGE = f"""
WITH {_ROOM.format(limit="$18")}, began AS (
  SELECT state = 'running' AND thread_id = $3 AS held FROM runs WHERE user_id = $1 AND id = $2
), {_BIND_ATTACHMENTS.format(condition=_BEGINS)}, thread AS (
  INSERT INTO threads (user_id, id, title, status, allowed_image_domains, metadata, created_at)
  SELECT $1, $3, $11::text, $12::jsonb, $13::jsonb, $14::jsonb, $15::timestamptz FROM ready
  ON CONFLICT (user_id, id) DO NOTHING
), claim AS (
  INSERT INTO runs (user_id, id, thread_id, kind, owner)
  SELECT $1, $2, $3, $16, $17 FROM ready WHERE $2::text IS NOT NULL
  ON CONFLICT DO NOTHING
), {_INSERT_MESSAGE}
SELECT coalesce((SELECT held FROM began), true) AS held, EXISTS (SELECT 1 FROM found) AS found,
  (SELECT free FROM room) AS has_room"""

LOAD_ITEM = """
SELECT data, private FROM thread_items WHERE user_id = $1 AND thread_id = $2 AND id = $3"""

DELETE_ITEM = f"""
WITH {_FENCE}, found AS (
  DELETE FROM thread_items WHERE user_id = $1 AND thread_id = $3 AND id = $4 AND {_HOLDS}
  RETURNING 1
) {_FOUND}"""

DELETE_ITEMS_AFTER = f"""
WITH {_FENCE}, found AS (
  SELECT seq FROM thread_items
  WHERE user_id = $1 AND thread_id = $3 AND id = $4 AND {_HOLDS}
), gone AS (
  DELETE FROM thread_items
  WHERE user_id = $1 AND thread_id = $3 AND seq > (SELECT seq FROM found)
    AND NOT starts_with(id, '{MARK_PREFIX}')
) {_FOUND}"""


# What an answer that is being written reads like so far, but for what is stored by now.
_UNFINISHED = """(
    SELECT jsonb_agg(item ORDER BY place)
    FROM runs, jsonb_array_elements(runs.snapshot) WITH ORDINALITY AS snapshot (item, place)
    WHERE runs.user_id = $1 AND runs.thread_id = $2 AND runs.state = 'running'
      AND coalesce(item -> 'content', 'null'::jsonb) <> '[]'::jsonb AND NOT EXISTS (
      SELECT 1 FROM thread_items AS stored
      WHERE stored.user_id = $1 AND stored.thread_id = $2 AND stored.id = item ->> 'id'
    )
  )"""


def list_items(*, newest_first: bool, visible_only: bool) -> str:
    """Return the statement for a page of items: ``$2`` thread, ``$3`` cursor, ``$4`` limit.

    There is always a row: it says whether the thread and the cursor exist, and what an answer that
    is being written reads like so far; its item columns are null where the page is empty.
    """
    page = _page(
        "thread_items",
        "user_id = $1 AND thread_id = $2" + (" AND NOT hidden" if visible_only else ""),
        "id, data, private, seq",
        newest_first=newest_first,
        limit="$4",
    )
    order = f"ORDER BY page.seq {'DESC' if newest_first else 'ASC'}"
    # In the first row only, since it may be long.
    unfinished = f"CASE WHEN row_number() OVER ({order}) = 1 THEN {_UNFINISHED} END"
    return f"""
WITH cursor AS (
  SELECT seq FROM thread_items WHERE user_id = $1 AND thread_id = $2 AND id = $3
)
SELECT page.id, page.data, page.private,
  EXISTS (SELECT 1 FROM threads WHERE user_id = $1 AND id = $2) AS found,
  $3::text IS NULL OR EXISTS (SELECT 1 FROM cursor) AS cursor_found,
  {unfinished if visible_only else "NULL"} AS unfinished
FROM (VALUES (1)) AS always LEFT JOIN LATERAL ({page}) AS page ON true
{order}"""


def list_threads(*, newest_first: bool) -> str:
    """Return the statement for a page of threads: ``$2`` cursor, ``$3`` limit."""
    page = _page(
        "threads",
        "user_id = $1",
        f"{_THREAD_COLUMNS}, seq",
        newest_first=newest_first,
        limit="$3",
    )
    return f"""
WITH cursor AS (SELECT seq FROM threads WHERE user_id = $1 AND id = $2)
SELECT page.*, $2::text IS NULL OR EXISTS (SELECT 1 FROM cursor) AS cursor_found
FROM (VALUES (1)) AS always LEFT JOIN LATERAL ({page}) AS page ON true
ORDER BY page.seq {"DESC" if newest_first else "ASC"}"""


def _page(table: str, where: str, columns: str, *, newest_first: bool, limit: str) -> str:
    # coalesce() rather than OR keeps the cursor an index condition: deep pages stay cheap.
    after = (
        "seq < coalesce((SELECT seq FROM cursor), 9223372036854775807)"
        if newest_first
        else "seq > coalesce((SELECT seq FROM cursor), 0)"
    )
    order = "DESC" if newest_first else "ASC"
    return (
        f"SELECT {columns} FROM {table} WHERE {where} AND {after} "
        f"ORDER BY seq {order} LIMIT {limit}"
    )


SAVE_ATTACHMENT = f"""
WITH {_FENCE}, found AS (
  INSERT INTO attachments (user_id, id, thread_id, data, private, upload_state)
  SELECT $1, $3, $4::text, $5::jsonb, $6::jsonb, 'finished' WHERE {_HOLDS}
  ON CONFLICT (user_id, id) DO UPDATE SET
    thread_id = excluded.thread_id, data = excluded.data, private = excluded.private
  RETURNING 1
) {_FOUND}"""

# A file that the assistant made belongs to the thread that shows it, and goes with it.
BIND_GENERATED = f"""
WITH {_FENCE}, found AS (
  UPDATE attachments SET
    thread_id = $3, data = jsonb_set(data, '{{thread_id}}', to_jsonb($3::text))
  WHERE user_id = $1 AND id = $4 AND upload_state = 'finished' AND thread_id IS NULL AND {_HOLDS}
  RETURNING 1
) {_FOUND}"""

LOAD_ATTACHMENTS = """
SELECT id, data, private FROM attachments
WHERE user_id = $1 AND id = ANY($2::text[]) AND upload_state <> 'deleted'"""

DELETE_ATTACHMENT = f"""
WITH {_FENCE}, found AS (
  DELETE FROM attachments WHERE user_id = $1 AND id = $3 AND {_HOLDS} RETURNING 1
) {_FOUND}"""

# A thumb for every item, or for none: all must be the caller's and visible.
SAVE_FEEDBACK = f"""
WITH {_FENCE}, found AS (
  INSERT INTO feedback (user_id, thread_id, item_id, kind)
  SELECT $1, $3, wanted.id, $5 FROM unnest($4::text[]) AS wanted (id)
  WHERE {_HOLDS} AND cardinality($4::text[]) = (
    SELECT count(*) FROM thread_items
    WHERE user_id = $1 AND thread_id = $3 AND id = ANY($4::text[]) AND NOT hidden
  )
  ON CONFLICT (user_id, thread_id, item_id) DO UPDATE SET
    kind = excluded.kind, created_at = now()
  RETURNING 1
) {_FOUND}"""
