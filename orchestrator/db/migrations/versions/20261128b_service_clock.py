"""
the service's time goes on where the database's clock jumps.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "service_clock",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("jump", sa.Interval(), server_default="0", nullable=False),
        sa.Column("correction", sa.Interval(), server_default="0", nullable=False),
        sa.Column(
            "made_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_service_clock_there_is_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_clock")),
    )
    op.execute("INSERT INTO service_clock (id) VALUES (1)")


def downgrade() -> None:
    op.drop_table("service_clock")
