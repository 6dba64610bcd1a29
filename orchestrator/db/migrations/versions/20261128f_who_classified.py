"""
who said what kind of file a sample is, and how sure that is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column(
        "classification",
        sa.Column(
            "decided_by", sa.Text(), server_default=sa.text("'rules'"), nullable=False
        ),
    )
    op.add_column(
        "classification",
        sa.Column(
            "confidence", sa.Double(), server_default=sa.text("1"), nullable=False
        ),
    )
    # Until now there were rules alone. As sure as they are now: of a text that is
    # nothing else half, of what they do not know not at all.
    op.execute(
        "UPDATE classification SET confidence = CASE type WHEN 'text' THEN 0.5 ELSE 0"
        " END WHERE type = 'unknown' OR (type = 'text' AND mime_type = 'text/plain')"
    )
    op.create_check_constraint(
        op.f("ck_classification_decided_by_is_known"),
        "classification",
        "decided_by IN ('rules', 'magika', 'person')",
    )
    op.create_check_constraint(
        op.f("ck_classification_confidence_is_a_share"),
        "classification",
        "confidence BETWEEN 0 AND 1",
    )


def downgrade() -> None:
    op.drop_column("classification", "confidence")
    op.drop_column("classification", "decided_by")
