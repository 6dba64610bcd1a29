"""
what attempts have stored is known: so that it can be limited, and go when nobody names
it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "stored_file",
        sa.Column("task_id", sa.UUID(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "task_id", "attempt", "sha256", name=op.f("pk_stored_file")
        ),
    )
    for column in ("look_at", "sha256"):
        op.create_index(op.f(f"ix_stored_file_{column}"), "stored_file", [column])
    op.create_index(op.f("ix_evidence_sha256"), "evidence", ["sha256"])
    op.create_index(
        op.f("ix_analysis_files"),
        "analysis",
        ["files"],
        postgresql_using="gin",
        postgresql_ops={"files": "jsonb_path_ops"},
        postgresql_where=sa.text("files <> '[]'::jsonb"),
    )
    op.create_index(
        op.f("ix_analysis_result_ref"),
        "analysis",
        ["result_ref"],
        postgresql_where=sa.text("result_ref IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_analysis_result_ref"), table_name="analysis")
    op.drop_index(op.f("ix_analysis_files"), table_name="analysis")
    op.drop_index(op.f("ix_evidence_sha256"), table_name="evidence")
    op.drop_table("stored_file")
