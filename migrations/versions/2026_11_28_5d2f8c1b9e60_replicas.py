"""Replicas say that they live with one row each, instead of one update a run.

Revision: 5d2f8c1b9e60, after a90c5b1d7e43
Created: 2026-11-28
"""

import sqlalchemy as sa
from alembic import op

revision: str = "5d2f8c1b9e60"
down_revision: str | None = "a90c5b1d7e43"
branch_labels: str | None = None
depends_on: str | None = None

IS_SCOPE = "(SELECT current_setting('chatkit.scope', true)) = 'janitor'"
RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "replicas",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "heartbeat_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("ended_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("signals", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.execute("ALTER TABLE replicas ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE replicas FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY janitor_all ON replicas USING ({IS_SCOPE})")
    # Whoever carries runs out right now has no row yet; it is ended like any other silent one.
    op.execute("INSERT INTO replicas (id) SELECT DISTINCT owner FROM runs WHERE state = 'running'")
    op.drop_index("ix_runs_running_heartbeat_at", table_name="runs", postgresql_where=RUNNING)
    op.create_index("ix_runs_running_owner", "runs", ["owner"], postgresql_where=RUNNING)
    op.drop_column("runs", "heartbeat_at")


def downgrade() -> None:
    """Take the change back."""
    op.add_column(
        "runs",
        sa.Column(
            "heartbeat_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
    )
    op.drop_index("ix_runs_running_owner", table_name="runs", postgresql_where=RUNNING)
    op.create_index(
        "ix_runs_running_heartbeat_at", "runs", ["heartbeat_at"], postgresql_where=RUNNING
    )
    op.drop_table("replicas")
