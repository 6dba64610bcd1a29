"""
one challenge at a time, and wrong answers are counted; refused messages have a kind,
and a hash; the deployment has a name.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column(
        "stream",
        sa.Column(
            "deployment",
            postgresql.UUID(as_uuid=True),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
    )
    # Empty for what is there, and for what a consumer of before still adds.
    for name in ("kind", "sha256"):
        column = sa.Column(name, sa.Text(), server_default="", nullable=False)
        op.add_column("rejected_report", column)
    # There may be several of a user for a sample. They hold for an hour, and whoever
    # had one asks again.
    op.execute("DELETE FROM challenge WHERE submission_id IS NULL")
    op.add_column(
        "challenge",
        sa.Column("solved", sa.Boolean(), server_default="false", nullable=False),
    )
    op.add_column(
        "challenge",
        sa.Column("wrong", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.create_index(
        "uq_challenge_open",
        "challenge",
        ["user_id", "sample_sha256"],
        unique=True,
        postgresql_where=sa.text("submission_id IS NULL AND NOT solved"),
    )
    op.create_index(
        "ix_challenge_solved",
        "challenge",
        ["user_id", "sample_sha256"],
        postgresql_where=sa.text("submission_id IS NULL AND solved"),
    )
    op.create_table(
        "wrong_answer",
        sa.Column("user_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"],
            ["sample.sha256"],
            name=op.f("fk_wrong_answer_sample_sha256"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_user.id"], name=op.f("fk_wrong_answer_user_id")
        ),
        sa.PrimaryKeyConstraint(
            "user_id", "sample_sha256", name=op.f("pk_wrong_answer")
        ),
    )
    op.create_index(
        op.f("ix_wrong_answer_last_at"), "wrong_answer", ["last_at"], unique=False
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("stream", "deployment")
    for name in ("kind", "sha256"):
        op.drop_column("rejected_report", name)
    op.drop_table("wrong_answer")
    op.drop_index("ix_challenge_solved", table_name="challenge")
    op.drop_index("uq_challenge_open", table_name="challenge")
    op.drop_column("challenge", "wrong")
    op.drop_column("challenge", "solved")
