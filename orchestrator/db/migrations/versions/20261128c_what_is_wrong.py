"""
what is wrong in the broker, and with a replica, reaches those who speak to neither.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "foreign_queue",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("present", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_foreign_queue")),
    )
    op.add_column("replica", sa.Column("aside", sa.Text()))
    op.add_column("replica", sa.Column("aside_at", sa.DateTime(timezone=True)))
    op.add_column("replica", sa.Column("skew_seconds", sa.Double()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("replica", "skew_seconds")
    op.drop_column("replica", "aside_at")
    op.drop_column("replica", "aside")
    op.drop_table("foreign_queue")
