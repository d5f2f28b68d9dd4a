"""The application's own role also where the user of ``DATABASE_URL`` is no superuser.

Revision: 3fd1a86c0e25, after 7c2f4d9b81ae
Created: 2026-11-21
"""

from alembic import op

revision: str = "3fd1a86c0e25"
down_revision: str | None = "7c2f4d9b81ae"
branch_labels: str | None = None
depends_on: str | None = None

# A user who may make roles can have one that owns no tables, and that no policy is waived for
# (BYPASSRLS, as some hosted databases give it). Anybody else is held by the policies anyway.
CREATE_ROLE = """
DO $$
BEGIN
  IF (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
    CREATE ROLE chatkit_app NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""
JOIN_ROLE = """
DO $$
BEGIN
  IF current_setting('is_superuser') = 'off'
    AND EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'chatkit_app')
  THEN
    GRANT chatkit_app TO CURRENT_USER;
  END IF;
EXCEPTION
  WHEN insufficient_privilege THEN NULL;  -- somebody else's, for other databases of the server
END $$"""
GRANT = """
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'chatkit_app') THEN
    GRANT USAGE ON SCHEMA public TO chatkit_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO chatkit_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public
      GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO chatkit_app;
    REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM chatkit_app;
  END IF;
END $$"""


def upgrade() -> None:
    """Apply the change."""
    op.execute(CREATE_ROLE)
    op.execute(JOIN_ROLE)
    op.execute(GRANT)


def downgrade() -> None:
    """Nothing: the role stays, other databases of the server may use it."""
