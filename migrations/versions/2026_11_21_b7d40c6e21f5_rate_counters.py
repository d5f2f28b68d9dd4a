"""Rate counters, and threads without their owner for the server API.

Revision: b7d40c6e21f5, after 96a03b691d82
Created: 2026-11-21
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "b7d40c6e21f5"
down_revision: str | None = "96a03b691d82"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "rate_counters",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("ends_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "scope", name=op.f("pk_rate_counters")),
        prefixes=["UNLOGGED"],
    )
    op.create_index(op.f("ix_threads_id"), "threads", ["id"], unique=False)
    op.create_index(op.f("ix_threads_seq"), "threads", ["seq"], unique=False)


def downgrade() -> None:
    """Take the change back; the counts are lost."""
    op.drop_index(op.f("ix_threads_seq"), table_name="threads")
    op.drop_index(op.f("ix_threads_id"), table_name="threads")
    op.drop_table("rate_counters")
