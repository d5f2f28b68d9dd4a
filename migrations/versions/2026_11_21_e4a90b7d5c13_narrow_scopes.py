"""Narrow scopes: who works across owners reaches only the rows that the work is about.

Revision: e4a90b7d5c13, after c58e1f3a9d07
Created: 2026-11-21
"""

from alembic import op

revision: str = "e4a90b7d5c13"
down_revision: str | None = "c58e1f3a9d07"
branch_labels: str | None = None
depends_on: str | None = None

IS_SCOPE = "(SELECT current_setting('chatkit.scope', true)) = '{scope}'"

WIDE = (
    ("janitor", "runs", "update", "USING ({is_scope})"),
    ("janitor", "thread_items", "insert", "WITH CHECK ({is_scope})"),
    ("sessions", "runs", "select", "USING ({is_scope})"),
    ("sessions", "chat_sessions", "all", "USING ({is_scope})"),
)

# The janitor renews and ends what is running, and writes only into threads that something ran in.
# Sessions count running answers. A session is deleted when it is over, and one that was cancelled
# does not come back to life; those that have expired must be reachable to be locked and deleted.
NARROW = (
    (
        "janitor",
        "runs",
        "update",
        "USING ({is_scope} AND state = 'running') "
        "WITH CHECK ({is_scope} AND state IN ('running', 'interrupted'))",
    ),
    (
        "janitor",
        "thread_items",
        "insert",
        "WITH CHECK ({is_scope} AND EXISTS (SELECT 1 FROM runs "
        "WHERE runs.user_id = thread_items.user_id AND runs.thread_id = thread_items.thread_id))",
    ),
    ("sessions", "runs", "select", "USING ({is_scope} AND state = 'running')"),
    ("sessions", "chat_sessions", "select", "USING ({is_scope})"),
    ("sessions", "chat_sessions", "insert", "WITH CHECK ({is_scope} AND cancelled_at IS NULL)"),
    (
        "sessions",
        "chat_sessions",
        "update",
        "USING ({is_scope} AND (cancelled_at IS NULL OR expires_at < now())) "
        "WITH CHECK ({is_scope})",
    ),
    ("sessions", "chat_sessions", "delete", "USING ({is_scope} AND expires_at < now())"),
)

Policies = tuple[tuple[str, str, str, str], ...]


def upgrade() -> None:
    """Apply the change."""
    _replace(WIDE, NARROW)


def downgrade() -> None:
    """Take the change back."""
    _replace(NARROW, WIDE)


def _replace(old: Policies, new: Policies) -> None:
    for scope, table, command, _ in old:
        op.execute(f"DROP POLICY {scope}_{command} ON {table}")
    for scope, table, command, condition in new:
        condition = condition.format(is_scope=IS_SCOPE.format(scope=scope))
        op.execute(f"CREATE POLICY {scope}_{command} ON {table} FOR {command.upper()} {condition}")
