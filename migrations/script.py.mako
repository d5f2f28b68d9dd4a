"""${message}

Revision: ${up_revision}, after ${down_revision or "nothing"}
Created: ${create_date.date()}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = "${up_revision}"
down_revision: str | None = ${'"' + down_revision + '"' if down_revision else "None"}
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Apply the change."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take the change back; what was stored in new columns is lost."""
    ${downgrades if downgrades else "pass"}
