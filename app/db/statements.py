"""The SQL of ``PostgresStore``: every statement names the owner, as ``$1``.

``fence`` is how a run proves that it still holds its thread: it locks its own row in ``runs``
(``$2`` is the run id), so a replica that was taken over finds nothing and writes nothing. For a
request that is no run, ``$2`` is null and the fence is open.
"""

_FENCE = """
fence AS (
  SELECT 1 FROM runs WHERE user_id = $1 AND id = $2 AND state = 'running' FOR SHARE
)"""
_HOLDS = "($2::text IS NULL OR EXISTS (SELECT 1 FROM fence))"

_THREAD_COLUMNS = "id, title, status, allowed_image_domains, metadata, created_at"  # in this order

LOAD_THREAD = f"SELECT {_THREAD_COLUMNS} FROM threads WHERE user_id = $1 AND id = $2"

CLAIM_THREAD = f"""
WITH thread AS (
  SELECT {_THREAD_COLUMNS} FROM threads WHERE user_id = $1 AND id = $3
), claim AS (
  INSERT INTO runs (user_id, id, thread_id, kind, owner)
  SELECT $1, $2, thread.id, $4, $5 FROM thread
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT thread.*, EXISTS (SELECT 1 FROM claim) OR EXISTS (
  SELECT 1 FROM runs WHERE user_id = $1 AND id = $2 AND state = 'running'
) AS claimed
FROM thread"""

SAVE_THREAD = f"""
WITH {_FENCE}
INSERT INTO threads
  (user_id, id, title, status, allowed_image_domains, metadata, created_at, updated_at)
SELECT $1, $3, $4::text, $5::jsonb, $6::jsonb, $7::jsonb, $8::timestamptz, now() WHERE {_HOLDS}
ON CONFLICT (user_id, id) DO UPDATE SET
  title = excluded.title, status = excluded.status, metadata = excluded.metadata,
  allowed_image_domains = excluded.allowed_image_domains, updated_at = now()
RETURNING 1"""

SAVE_THREAD_CHANGES = f"""
WITH {_FENCE}
UPDATE threads SET
  title = CASE WHEN 'title' = ANY($4::text[]) THEN $5::text ELSE title END,
  status = CASE WHEN 'status' = ANY($4::text[]) THEN $6::jsonb ELSE status END,
  allowed_image_domains = CASE WHEN 'allowed_image_domains' = ANY($4::text[])
    THEN $7::jsonb ELSE allowed_image_domains END,
  metadata = CASE WHEN 'metadata' = ANY($4::text[]) THEN $8::jsonb ELSE metadata END,
  updated_at = now()
WHERE user_id = $1 AND id = $3 AND {_HOLDS}
RETURNING 1"""

DELETE_THREAD = """
WITH files AS (DELETE FROM attachments WHERE user_id = $1 AND thread_id = $2)
DELETE FROM threads WHERE user_id = $1 AND id = $2 RETURNING 1"""

_ITEM_UPSERT = """
ON CONFLICT (user_id, thread_id, id) DO UPDATE SET
  type = excluded.type, hidden = excluded.hidden, data = excluded.data, private = excluded.private
RETURNING 1"""

SAVE_ITEM = f"""
WITH {_FENCE}
INSERT INTO thread_items (user_id, thread_id, id, type, hidden, data, private, created_at)
SELECT $1, $3, $4, $5::text, $6::boolean, $7::jsonb, $8::jsonb, $9::timestamptz WHERE {_HOLDS}
{_ITEM_UPSERT}"""

_BIND_ATTACHMENTS = """
bound AS (
  UPDATE attachments SET
    thread_id = $3, data = jsonb_set(data, '{thread_id}', to_jsonb($3::text))
  WHERE user_id = $1 AND id = ANY($10::text[]) AND (thread_id IS NULL OR thread_id = $3)
  RETURNING 1
), ready AS (
  SELECT 1 WHERE (SELECT count(*) FROM bound) = cardinality($10::text[])
)"""
_INSERT_MESSAGE = f"""
INSERT INTO thread_items (user_id, thread_id, id, type, hidden, data, private, created_at)
SELECT $1, $3, $4, $5::text, $6::boolean, $7::jsonb, $8::jsonb, $9::timestamptz FROM ready
WHERE {{condition}}
{_ITEM_UPSERT}"""

ADD_USER_MESSAGE = f"""
WITH {_FENCE}, {_BIND_ATTACHMENTS},
touched AS (
  UPDATE threads SET updated_at = now() WHERE user_id = $1 AND id = $3 AND {_HOLDS}
)
{_INSERT_MESSAGE.format(condition=_HOLDS)}"""

CREATE_THREAD_WITH_MESSAGE = f"""
WITH {_BIND_ATTACHMENTS},
thread AS (
  INSERT INTO threads (user_id, id, title, status, allowed_image_domains, metadata, created_at)
  SELECT $1, $3, $11::text, $12::jsonb, $13::jsonb, $14::jsonb, $15::timestamptz FROM ready
  ON CONFLICT (user_id, id) DO NOTHING
), claim AS (
  INSERT INTO runs (user_id, id, thread_id, kind, owner)
  SELECT $1, $2, $3, $16, $17 FROM ready WHERE $2::text IS NOT NULL
  ON CONFLICT DO NOTHING
)
{_INSERT_MESSAGE.format(condition="true")}"""

LOAD_ITEM = """
SELECT data, private FROM thread_items WHERE user_id = $1 AND thread_id = $2 AND id = $3"""

DELETE_ITEM = f"""
WITH {_FENCE}
DELETE FROM thread_items WHERE user_id = $1 AND thread_id = $3 AND id = $4 AND {_HOLDS}"""

DELETE_ITEMS_AFTER = f"""
WITH {_FENCE},
kept AS (SELECT seq FROM thread_items WHERE user_id = $1 AND thread_id = $3 AND id = $4),
turns AS (
  DELETE FROM model_turns WHERE user_id = $1 AND thread_id = $3 AND created_at >= (
    SELECT created_at FROM thread_items WHERE user_id = $1 AND thread_id = $3 AND id = $4
  ) AND {_HOLDS}
), gone AS (
  DELETE FROM thread_items
  WHERE user_id = $1 AND thread_id = $3 AND seq > (SELECT seq FROM kept) AND {_HOLDS}
)
SELECT seq FROM kept WHERE {_HOLDS}"""


def list_items(*, newest_first: bool, visible_only: bool) -> str:
    """Return the statement for a page of items: ``$2`` thread, ``$3`` cursor, ``$4`` limit.

    There is always a row: it says whether the thread and the cursor exist, and its item columns
    are null where the page is empty.
    """
    page = _page(
        "thread_items",
        "user_id = $1 AND thread_id = $2" + (" AND NOT hidden" if visible_only else ""),
        "id, data, private, seq",
        newest_first=newest_first,
        limit="$4",
    )
    return f"""
WITH cursor AS (
  SELECT seq FROM thread_items WHERE user_id = $1 AND thread_id = $2 AND id = $3
)
SELECT page.id, page.data, page.private,
  EXISTS (SELECT 1 FROM threads WHERE user_id = $1 AND id = $2) AS found,
  $3::text IS NULL OR EXISTS (SELECT 1 FROM cursor) AS cursor_found
FROM (VALUES (1)) AS always LEFT JOIN LATERAL ({page}) AS page ON true
ORDER BY page.seq {"DESC" if newest_first else "ASC"}"""


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
WITH {_FENCE}
INSERT INTO attachments (user_id, id, thread_id, data, private)
SELECT $1, $3, $4::text, $5::jsonb, $6::jsonb WHERE {_HOLDS}
ON CONFLICT (user_id, id) DO UPDATE SET
  thread_id = excluded.thread_id, data = excluded.data, private = excluded.private
RETURNING 1"""

LOAD_ATTACHMENTS = """
SELECT id, data, private FROM attachments WHERE user_id = $1 AND id = ANY($2::text[])"""

DELETE_ATTACHMENT = "DELETE FROM attachments WHERE user_id = $1 AND id = $2 RETURNING 1"

SAVE_FEEDBACK = """
INSERT INTO feedback (user_id, thread_id, item_id, kind)
SELECT $1, $2, wanted.id, $4 FROM unnest($3::text[]) AS wanted (id)
WHERE cardinality($3::text[]) = (
  SELECT count(*) FROM thread_items
  WHERE user_id = $1 AND thread_id = $2 AND id = ANY($3::text[]) AND NOT hidden
)
ON CONFLICT (user_id, thread_id, item_id) DO UPDATE SET
  kind = excluded.kind, created_at = now()
RETURNING 1"""
