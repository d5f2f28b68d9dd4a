"""Answers that begin at once, on any replica, cannot exceed their user's limit together.

Revision: a90c5b1d7e43, after 3fd1a86c0e25
Created: 2026-11-21
"""

from alembic import op

revision: str = "a90c5b1d7e43"
down_revision: str | None = "3fd1a86c0e25"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Apply the change."""
    # As with upload_room: behind the lock, what whoever held it before has begun is seen.
    op.execute("""
CREATE FUNCTION answer_room(whose text, new_id text, most bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('chatkit answers of ' || whose, 0));
  RETURN most > (
    SELECT count(*) FROM runs WHERE user_id = whose AND id <> new_id AND state = 'running'
  );
END $$""")


def downgrade() -> None:
    """Take the change back."""
    op.execute("DROP FUNCTION answer_room(text, text, bigint)")
