"""Uploads: what is known of a file's bytes. Tool calls are hidden items: their table goes.

Revision: 0b6d9e2f4a71, after e4a90b7d5c13
Created: 2026-11-21
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0b6d9e2f4a71"
down_revision: str | None = "e4a90b7d5c13"
branch_labels: str | None = None
depends_on: str | None = None

IS_OWNER = "user_id = (SELECT current_setting('chatkit.user_id', true))"


def upgrade() -> None:
    """Apply the change."""
    op.add_column("attachments", sa.Column("digest", sa.Text(), nullable=True))
    op.add_column("attachments", sa.Column("preview_type", sa.Text(), nullable=True))
    op.add_column(
        "attachments",
        sa.Column(
            "touched_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.drop_constraint(op.f("ck_attachments_upload_state"), "attachments")
    op.create_check_constraint(
        op.f("ck_attachments_upload_state"),
        "attachments",
        "upload_state IN ('pending', 'uploading', 'finished', 'deleted')",
    )
    op.create_index(
        op.f("ix_attachments_unsent_touched_at"),
        "attachments",
        ["touched_at"],
        postgresql_where=sa.text("thread_id IS NULL OR upload_state = 'deleted'"),
    )
    op.drop_table("model_turns")


def downgrade() -> None:
    """Take the change back."""
    op.create_table(
        "model_turns",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id", "thread_id"],
            ["threads.user_id", "threads.id"],
            name=op.f("fk_model_turns_user_id_thread_id_threads"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "user_id", "thread_id", "run_id", "seq", name=op.f("pk_model_turns")
        ),
    )
    op.execute("ALTER TABLE model_turns ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE model_turns FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY owner ON model_turns USING ({IS_OWNER})")
    op.drop_index(op.f("ix_attachments_unsent_touched_at"), "attachments")
    op.drop_constraint(op.f("ck_attachments_upload_state"), "attachments")
    op.execute("DELETE FROM attachments WHERE upload_state IN ('uploading', 'deleted')")
    op.create_check_constraint(
        op.f("ck_attachments_upload_state"),
        "attachments",
        "upload_state IN ('pending', 'finished')",
    )
    for column in ("touched_at", "preview_type", "digest"):
        op.drop_column("attachments", column)
