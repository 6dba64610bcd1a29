"""
processes keep what they read of workers, policy and customers, and see when it changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: Table → its columns that count; all, if none are named.
_WATCHED = {
    "worker": (
        "short_name",
        "version",
        "run_seconds",
        "max_losses",
        "generation",
        "deleted_at",
    ),
    "worker_version": (),
    "policy": (),
    "policy_rule": (),
    "customer": (),
}


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "registry",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "revision",
            sa.UUID(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_registry_there_is_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry")),
    )
    op.execute("INSERT INTO registry (id) VALUES (1)")
    op.execute(
        """
        CREATE FUNCTION renew_registry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE registry SET revision = gen_random_uuid();
            RETURN NULL;
        END $$
        """
    )
    for table, columns in _WATCHED.items():
        of = f"OF {', '.join(columns)}" if columns else ""
        # At the end of the transaction: who waits there for another holds nothing that
        # the other could want.
        op.execute(
            f"CREATE CONSTRAINT TRIGGER renew_registry"
            f" AFTER INSERT OR DELETE OR UPDATE {of} ON {table}"
            f" DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW EXECUTE FUNCTION renew_registry()"
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _WATCHED:
        op.execute(f"DROP TRIGGER renew_registry ON {table}")
    op.execute("DROP FUNCTION renew_registry")
    op.drop_table("registry")
