"""Uploads that come at once cannot exceed their owner's quota together.

Revision: 7c2f4d9b81ae, after 0b6d9e2f4a71
Created: 2026-11-21
"""

from alembic import op

revision: str = "7c2f4d9b81ae"
down_revision: str | None = "0b6d9e2f4a71"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Apply the change."""
    # Each statement of a volatile function sees what is committed by then: behind the lock that
    # is the file of whoever held it before. The lock lasts until the caller's statement is done.
    op.execute("""
CREATE FUNCTION upload_room(owner text, new_id text, quota bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('chatkit uploads of ' || owner, 0));
  RETURN quota - (
    SELECT coalesce(sum(size), 0) FROM attachments
    WHERE user_id = owner AND id <> new_id AND upload_state <> 'deleted'
  );
END $$""")


def downgrade() -> None:
    """Take the change back."""
    op.execute("DROP FUNCTION upload_room(text, text, bigint)")
