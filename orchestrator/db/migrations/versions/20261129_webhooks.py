"""
webhooks, and their deliveries; the registry changes when somebody listens to other
things.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "webhook",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("created_by", sa.UUID()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("occasions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        _at("rest_until"),
        _at("off_at"),
        sa.Column("off_reason", sa.Text()),
        _created(),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_webhook_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_webhook_created_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index("ix_webhook_customer_id", "webhook", ["customer_id"])
    _create_deliveries()
    op.execute(
        "CREATE CONSTRAINT TRIGGER renew_registry"
        " AFTER INSERT OR DELETE OR UPDATE OF occasions, off_at ON webhook"
        " DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION renew_registry()"
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("webhook_id", sa.UUID(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("job_id", sa.UUID()),
        sa.Column("task_id", sa.UUID()),
        sa.Column("verdict_id", sa.UUID()),
        sa.Column("body", sa.Text()),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        _at("tried_at"),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("error", sa.Text()),
        _at("due_at"),
        _at("taken_until"),
        sa.Column("taken_as", sa.SmallInteger()),
        _at("delivered_at"),
        _at("parked_at"),
        _created(),
        sa.CheckConstraint(
            "num_nonnulls(due_at, delivered_at, parked_at) = 1",
            name=op.f("ck_webhook_delivery_has_one_state"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name=op.f("fk_webhook_delivery_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index(
        "ix_webhook_delivery_webhook_id_created_at_id",
        "webhook_delivery",
        ["webhook_id", "created_at", "id"],
    )
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["webhook_id", "due_at", "id"],
        postgresql_where=sa.text("due_at is not null"),
    )
    op.create_index(
        "ix_webhook_delivery_taken",
        "webhook_delivery",
        ["webhook_id"],
        postgresql_where=sa.text("taken_until is not null"),
    )
    op.create_index(
        "ix_webhook_delivery_created_at", "webhook_delivery", ["created_at"]
    )


def _at(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _created() -> sa.Column[object]:
    return sa.Column(
        "created_at",
        sa.DateTime(timezone=True),
        server_default=sa.text("now()"),
        nullable=False,
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
