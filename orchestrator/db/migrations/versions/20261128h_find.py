"""
What is looked for by a few characters: the ends of ids and hashes, and names of files.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_sample_end", "sample", [sa.text("reverse(right(sha256::text, 8))")]
    )
    op.create_index("ix_job_end", "job", [sa.text("reverse(right(id::text, 8))")])
    op.create_index(
        "ix_job_name",
        "job",
        [
            "customer_id",
            sa.text("lower(left(file_name, 64)) text_pattern_ops"),
            sa.text("enqueued_at desc"),
        ],
        postgresql_where=sa.text("file_name is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_job_name", table_name="job")
    op.drop_index("ix_job_end", table_name="job")
    op.drop_index("ix_sample_end", table_name="sample")
