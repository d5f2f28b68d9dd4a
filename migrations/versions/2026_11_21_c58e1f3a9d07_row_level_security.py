"""Row-level security: the database itself shows a statement only its owner's rows.

Revision: c58e1f3a9d07, after b7d40c6e21f5
Created: 2026-11-21
"""

from alembic import op

revision: str = "c58e1f3a9d07"
down_revision: str | None = "b7d40c6e21f5"
branch_labels: str | None = None
depends_on: str | None = None

OWNED = ("threads", "thread_items", "attachments", "runs", "model_turns", "feedback")
SESSIONS = ("chat_sessions", "rate_counters")

# What may be done across owners, by scope: table and command.
ACROSS = {
    "janitor": (
        ("runs", "SELECT"),
        ("runs", "UPDATE"),
        ("thread_items", "INSERT"),
        ("attachments", "SELECT"),
        ("attachments", "UPDATE"),
        ("attachments", "DELETE"),
    ),
    "server_api": (("threads", "SELECT"), ("thread_items", "SELECT")),
    "sessions": (("runs", "SELECT"), *((table, "ALL") for table in SESSIONS)),
}

# The server sets the variable while it takes in a parameter of this type, which is before it runs
# anything of the statement; it is gone when the statement's transaction is.
USER_DOMAIN = """
CREATE DOMAIN chatkit_user AS text CHECK (set_config('chatkit.user_id', VALUE, true) IS NOT NULL)"""
SCOPE_DOMAIN = """
CREATE DOMAIN chatkit_scope AS text CHECK (set_config('chatkit.scope', VALUE, true) IS NOT NULL)"""

# Sub-selects, so that they are evaluated once a statement and not once a row.
IS_OWNER = "user_id = (SELECT current_setting('chatkit.user_id', true))"
IS_SCOPE = "(SELECT current_setting('chatkit.scope', true)) = '{scope}'"

# Row-level security does not hold for superusers. Where we are one, there is a role that it holds
# for; anybody else is held by it anyway, also as the owner of the tables.
CREATE_ROLE = """
DO $$
BEGIN
  IF current_setting('is_superuser') = 'on' THEN
    CREATE ROLE chatkit_app NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""
GRANT = """
DO $$
BEGIN
  IF current_setting('is_superuser') = 'on' THEN
    GRANT USAGE ON SCHEMA public TO chatkit_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO chatkit_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public
      GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO chatkit_app;
    REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM chatkit_app;
  END IF;
END $$"""
REVOKE = """
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'chatkit_app') THEN
    ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM chatkit_app;
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM chatkit_app;
    REVOKE ALL ON SCHEMA public FROM chatkit_app;
  END IF;
END $$"""


def upgrade() -> None:
    """Apply the change."""
    op.execute(USER_DOMAIN)
    op.execute(SCOPE_DOMAIN)
    op.execute(CREATE_ROLE)
    op.execute(GRANT)
    for table in (*OWNED, *SESSIONS):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table in OWNED:
        op.execute(f"CREATE POLICY owner ON {table} USING ({IS_OWNER})")
    for scope, allowed in ACROSS.items():
        condition = IS_SCOPE.format(scope=scope)
        for table, command in allowed:
            kind = "WITH CHECK" if command == "INSERT" else "USING"
            op.execute(
                f"CREATE POLICY {scope}_{command.lower()} ON {table} "
                f"FOR {command} {kind} ({condition})"
            )


def downgrade() -> None:
    """Take the change back. The role stays: other databases of the server may use it."""
    for scope, allowed in ACROSS.items():
        for table, command in allowed:
            op.execute(f"DROP POLICY {scope}_{command.lower()} ON {table}")
    for table in OWNED:
        op.execute(f"DROP POLICY owner ON {table}")
    for table in (*OWNED, *SESSIONS):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute(REVOKE)
    op.execute("DROP DOMAIN chatkit_scope")
    op.execute("DROP DOMAIN chatkit_user")
