"""
first tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: All runs of three characters in a text, for indexes on parts of words: PostgreSQL's
#: own index for arrays does the rest, without an extension.
_GRAMS = """
    CREATE FUNCTION grams(value text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(DISTINCT substr(word, n, 3)), '{}')
          FROM (SELECT left(lower(value), 8192) AS word) AS lowered,
               generate_series(1, length(word) - 2) AS n
    $$
"""


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(_GRAMS)
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_created_at"), "audit", ["created_at"], unique=False)
    op.create_table(
        "counter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "labels",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counter")),
    )
    op.create_table(
        "customer",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("short_name", name=op.f("uq_customer_short_name")),
    )
    op.create_table(
        "rejected_report",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_report")),
    )
    op.create_index(
        op.f("ix_rejected_report_created_at"),
        "rejected_report",
        ["created_at"],
        unique=False,
    )
    op.create_table(
        "stream",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("watermark_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gap_ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("canary_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_stream_there_is_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream")),
    )
    op.create_table(
        "task_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_event")),
    )
    op.create_index(
        op.f("ix_task_event_created_at"), "task_event", ["created_at"], unique=False
    )
    op.create_index(
        op.f("ix_task_event_task_id_id"), "task_event", ["task_id", "id"], unique=False
    )
    op.create_table(
        "api_user",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role in ('viewer', 'uploader', 'user', 'analyzer', 'administrator')",
            name=op.f("ck_api_user_role_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_api_user_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_user")),
        sa.UniqueConstraint("name", name=op.f("uq_api_user_name")),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("customer_ids", postgresql.ARRAY(sa.UUID()), nullable=True),
        sa.Column("networks", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role in ('viewer', 'uploader', 'user', 'analyzer', 'administrator')",
            name=op.f("ck_api_key_role_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_user.id"], name=op.f("fk_api_key_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("worker_ids", postgresql.ARRAY(sa.UUID()), nullable=True),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("updated_by", sa.UUID(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_policy_there_is_one")),
        sa.ForeignKeyConstraint(
            ["updated_by"], ["api_user.id"], name=op.f("fk_policy_updated_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy")),
    )
    op.create_table(
        "policy_rule",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column(
            "match",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "action",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column("updated_by", sa.UUID(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.UUID(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_policy_rule_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["deleted_by"], ["api_user.id"], name=op.f("fk_policy_rule_deleted_by")
        ),
        sa.ForeignKeyConstraint(
            ["updated_by"], ["api_user.id"], name=op.f("fk_policy_rule_updated_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_rule")),
    )
    op.create_table(
        "sample",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("sha512", sa.Text(), nullable=False),
        sa.Column("sha1", sa.Text(), nullable=False),
        sa.Column("md5", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column("verdict_id", sa.UUID(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_sample_sha256_is_hex")
        ),
        sa.CheckConstraint(
            "size_bytes >= 0", name=op.f("ck_sample_size_is_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_sample_created_by")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sample")),
    )
    op.create_index(
        op.f("ix_sample_created_at_sha256"),
        "sample",
        ["created_at", "sha256"],
        unique=False,
    )
    op.create_index(op.f("ix_sample_md5"), "sample", ["md5"], unique=False)
    op.create_index(op.f("ix_sample_sha1"), "sample", ["sha1"], unique=False)
    op.create_table(
        "usage",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uploads", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_user.id"], name=op.f("fk_usage_user_id")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_usage")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column(
            "localized_names",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "localized_descriptions",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "result_schema",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("weight", sa.Double(), server_default="1", nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=True),
        sa.Column("max_losses", sa.Integer(), nullable=True),
        sa.Column("window_cap", sa.Integer(), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("nobody_home_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("drained_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.UUID(), nullable=True),
        sa.Column("updated_by", sa.UUID(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.UUID(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "max_losses >= 1", name=op.f("ck_worker_max_losses_is_positive")
        ),
        sa.CheckConstraint(
            "run_seconds > 0", name=op.f("ck_worker_run_seconds_is_positive")
        ),
        sa.CheckConstraint(
            "weight > 0 and weight <= 1", name=op.f("ck_worker_weight_is_a_share")
        ),
        sa.CheckConstraint(
            "window_cap >= 1", name=op.f("ck_worker_window_cap_is_positive")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_worker_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["deleted_by"], ["api_user.id"], name=op.f("fk_worker_deleted_by")
        ),
        sa.ForeignKeyConstraint(
            ["updated_by"], ["api_user.id"], name=op.f("fk_worker_updated_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
        sa.UniqueConstraint("short_name", name=op.f("uq_worker_short_name")),
    )
    op.create_table(
        "analysis",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("created_by", sa.UUID(), nullable=True),
        sa.Column("worker_id", sa.UUID(), nullable=True),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("result_ref", sa.Text(), nullable=True),
        sa.Column(
            "tags",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "detections",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("possible_detections", sa.Integer(), nullable=True),
        sa.Column("status_override", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.Column(
            "internet_access",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column("tlp", sa.Text(), server_default="amber", nullable=False),
        sa.Column(
            "acl", postgresql.ARRAY(sa.UUID()), server_default="{}", nullable=False
        ),
        sa.Column(
            "files",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column(
            "outlived_task",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status_override in ('malicious', 'benign')",
            name=op.f("ck_analysis_override_is_known"),
        ),
        sa.CheckConstraint(
            "tlp in ('clear', 'green', 'amber', 'red')",
            name=op.f("ck_analysis_tlp_is_known"),
        ),
        sa.CheckConstraint(
            "score between -1 and 100", name=op.f("ck_analysis_score_is_in_range")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_analysis_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_analysis_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"], ["sample.sha256"], name=op.f("fk_analysis_sample_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_analysis_worker_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis")),
    )
    op.create_index(
        "ix_analysis_outlived_task",
        "analysis",
        ["sample_sha256", "worker_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("outlived_task"),
    )
    op.create_index(
        op.f("ix_analysis_sample_sha256_created_at"),
        "analysis",
        ["sample_sha256", "created_at"],
        unique=False,
    )
    op.create_table(
        "classification",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("super_type", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("arch", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column(
            "meta",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"],
            ["sample.sha256"],
            name=op.f("fk_classification_sample_sha256"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classification")),
    )
    op.create_index(
        op.f("ix_classification_sample_sha256_created_at"),
        "classification",
        ["sample_sha256", "created_at"],
        unique=False,
    )
    op.create_table(
        "job",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("submitter_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "selection",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "is_chosen", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column(
            "is_reanalysis",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "is_long",
            sa.Boolean(),
            sa.Computed(
                "coalesce(ended_at, started_at) - enqueued_at > '1 day'::interval",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(state in ('done', 'timeout')) = (ended_at is not null)",
            name=op.f("ck_job_a_finished_job_has_an_end"),
        ),
        sa.CheckConstraint(
            "state in ('enqueued', 'executing', 'done', 'timeout')",
            name=op.f("ck_job_state_is_known"),
        ),
        sa.CheckConstraint(
            "priority between -9 and 9", name=op.f("ck_job_priority_is_in_range")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_job_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"], ["sample.sha256"], name=op.f("fk_job_sample_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["submitter_id"], ["api_user.id"], name=op.f("fk_job_submitter_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(
        op.f("ix_job_customer_id_enqueued_at_id"),
        "job",
        ["customer_id", "enqueued_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_job_due",
        "job",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.create_index(
        "ix_job_ended",
        "job",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at is not null"),
    )
    op.create_index(
        "ix_job_long",
        "job",
        [sa.text("coalesce(ended_at, started_at)")],
        unique=False,
        postgresql_where=sa.text("is_long"),
    )
    op.create_index(
        op.f("ix_job_enqueued_at_id"), "job", ["enqueued_at", "id"], unique=False
    )
    op.create_index(
        "ix_job_idempotency_age",
        "job",
        ["enqueued_at"],
        unique=False,
        postgresql_where=sa.text("idempotency_key is not null"),
    )
    op.create_index(
        "ix_job_open",
        "job",
        ["sample_sha256"],
        unique=False,
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.create_index(
        op.f("ix_job_sample_sha256_enqueued_at"),
        "job",
        ["sample_sha256", "enqueued_at"],
        unique=False,
    )
    op.create_index(
        "uq_job_idempotency",
        "job",
        ["submitter_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key is not null"),
    )
    op.create_table(
        "link",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("reference_sha256", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("tlp", sa.Text(), server_default="amber", nullable=False),
        sa.Column(
            "acl", postgresql.ARRAY(sa.UUID()), server_default="{}", nullable=False
        ),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "reference_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_link_reference_is_hex")
        ),
        sa.CheckConstraint(
            "tlp in ('clear', 'green', 'amber', 'red')",
            name=op.f("ck_link_tlp_is_known"),
        ),
        sa.CheckConstraint(
            "type in ('parent', 'child', 'downloads', 'loads', 'executes')",
            name=op.f("ck_link_type_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_link_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_link_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"], ["sample.sha256"], name=op.f("fk_link_sample_sha256")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
    )
    op.create_index(
        op.f("ix_link_sample_sha256_created_at"),
        "link",
        ["sample_sha256", "created_at"],
        unique=False,
    )
    op.create_table(
        "poison",
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("poisoned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("deaths >= 1", name=op.f("ck_poison_deaths_is_positive")),
        sa.ForeignKeyConstraint(
            ["sample_sha256"], ["sample.sha256"], name=op.f("fk_poison_sample_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_poison_worker_id")
        ),
        sa.UniqueConstraint(
            "sample_sha256",
            "worker_id",
            "version",
            name=op.f("uq_poison_sample_sha256_worker_id_version"),
        ),
    )
    op.create_index(
        "ix_poison_standing",
        "poison",
        ["worker_id", "version"],
        unique=False,
        postgresql_where=sa.text("poisoned_at is not null and cleared_at is null"),
    )
    op.create_table(
        "replica",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column(
            "leaving", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "holds", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("seen_before_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "held_before",
            postgresql.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("slots >= 1", name=op.f("ck_replica_slots_is_positive")),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_replica_worker_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replica")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        op.f("ix_replica_worker_id_seen_at"),
        "replica",
        ["worker_id", "seen_at"],
        unique=False,
    )
    op.create_table(
        "sample_access",
        sa.Column("subject_id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("sample_created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"],
            ["sample.sha256"],
            name=op.f("fk_sample_access_sample_sha256"),
        ),
        sa.PrimaryKeyConstraint(
            "subject_id", "sample_sha256", name=op.f("pk_sample_access")
        ),
    )
    op.create_index(
        op.f("ix_sample_access_sample_sha256"),
        "sample_access",
        ["sample_sha256"],
        unique=False,
    )
    op.create_index(
        op.f("ix_sample_access_subject_id_sample_created_at_sample_sha256"),
        "sample_access",
        ["subject_id", "sample_created_at", "sample_sha256"],
        unique=False,
    )
    op.create_table(
        "worker_version",
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("accepts", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("run_seconds", sa.Double(), nullable=False),
        sa.Column("max_tlp", sa.Text(), nullable=False),
        sa.Column("sends_data_out", sa.Boolean(), nullable=False),
        sa.Column(
            "manifest",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_worker_version_worker_id")
        ),
        sa.PrimaryKeyConstraint("worker_id", "version", name=op.f("pk_worker_version")),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("analysis_id", sa.UUID(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column(
            "is_internal", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column(
            "is_potentially_malicious",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_evidence_analysis_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_evidence_created_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        sa.UniqueConstraint(
            "analysis_id",
            "file_name",
            "sha256",
            name=op.f("uq_evidence_analysis_id_file_name_sha256"),
        ),
    )
    op.create_index(
        op.f("ix_evidence_analysis_id_created_at"),
        "evidence",
        ["analysis_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "job_task",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("submitter_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("order_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "late", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(state in ('enqueued', 'executing')) = (due_at is not null)",
            name=op.f("ck_job_task_an_open_task_has_a_clock"),
        ),
        sa.CheckConstraint(
            "(state in ('enqueued', 'executing')) = (ended_at is null)",
            name=op.f("ck_job_task_an_ended_task_has_an_end"),
        ),
        sa.CheckConstraint(
            "state <> 'executing' or (started_at is not null and holder is not null)",
            name=op.f("ck_job_task_an_executing_task_has_a_holder"),
        ),
        sa.CheckConstraint(
            "state in ('enqueued', 'executing', 'success', 'failed', 'timeout', 'cancelled')",
            name=op.f("ck_job_task_state_is_known"),
        ),
        sa.CheckConstraint(
            "attempt >= 1 and losses >= 0", name=op.f("ck_job_task_counts_are_counts")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_task_job_id")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_job_task_worker_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_task")),
        sa.UniqueConstraint(
            "job_id", "worker_id", name=op.f("uq_job_task_job_id_worker_id")
        ),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_job_task_backlog",
        "job_task",
        ["worker_id", "submitter_id", "order_at"],
        unique=False,
        postgresql_where=sa.text("state = 'enqueued' and published_at is null"),
    )
    op.create_index(
        "ix_job_task_due",
        "job_task",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.create_index(
        "ix_job_task_executing",
        "job_task",
        ["holder"],
        unique=False,
        postgresql_where=sa.text("state = 'executing'"),
    )
    op.create_index(
        "ix_job_task_finished",
        "job_task",
        ["worker_id", "ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at is not null"),
    )
    op.create_index(
        "ix_job_task_in_flight",
        "job_task",
        ["worker_id", "published_at"],
        unique=False,
        postgresql_where=sa.text(
            "published_at is not null and state in ('enqueued', 'executing')"
        ),
    )
    op.create_index(
        "ix_job_task_open",
        "job_task",
        ["worker_id", "enqueued_at"],
        unique=False,
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.create_index(
        "ix_job_task_sample", "job_task", ["sample_sha256", "worker_id"], unique=False
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column(
            "meta",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("tlp", sa.Text(), server_default="amber", nullable=False),
        sa.Column(
            "acl", postgresql.ARRAY(sa.UUID()), server_default="{}", nullable=False
        ),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "tlp in ('clear', 'green', 'amber')",
            name=op.f("ck_submission_tlp_is_not_red"),
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_submission_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_submission_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["job.id"],
            name=op.f("fk_submission_job_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"],
            ["sample.sha256"],
            name=op.f("fk_submission_sample_sha256"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
    )
    op.create_index(
        op.f("ix_submission_customer_id_observed_at_id"),
        "submission",
        ["customer_id", "observed_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_submission_acl",
        "submission",
        ["acl"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("acl <> '{}'"),
    )
    op.create_index(
        "ix_submission_expires_at",
        "submission",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at is not null"),
    )
    op.create_index(
        op.f("ix_submission_job_id"), "submission", ["job_id"], unique=False
    )
    op.create_index(
        op.f("ix_submission_observed_at_id"),
        "submission",
        ["observed_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_submission_sample_sha256_customer_id_created_at"),
        "submission",
        ["sample_sha256", "customer_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_override", sa.Text(), nullable=True),
        sa.Column(
            "is_contradicting",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column(
            "is_manual", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("coverage_percent", sa.Double(), nullable=True),
        sa.Column("manual_override", sa.Text(), nullable=True),
        sa.Column(
            "tags",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("created_by", sa.UUID(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status in ('malicious', 'suspicious', 'benign', 'unknown')",
            name=op.f("ck_verdict_status_is_known"),
        ),
        sa.CheckConstraint(
            "status_override in ('malicious', 'benign')",
            name=op.f("ck_verdict_override_is_known"),
        ),
        sa.CheckConstraint(
            "coverage_percent between 0 and 100",
            name=op.f("ck_verdict_coverage_is_in_range"),
        ),
        sa.CheckConstraint(
            "score between -1 and 100", name=op.f("ck_verdict_score_is_in_range")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["api_user.id"], name=op.f("fk_verdict_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_verdict_job_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"], ["sample.sha256"], name=op.f("fk_verdict_sample_sha256")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdict")),
    )
    op.create_index(op.f("ix_verdict_job_id"), "verdict", ["job_id"], unique=False)
    op.create_index(
        op.f("ix_verdict_sample_sha256_created_at"),
        "verdict",
        ["sample_sha256", "created_at"],
        unique=False,
    )
    op.create_table(
        "challenge",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sample_sha256", sa.Text(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("range_offset", sa.BigInteger(), nullable=False),
        sa.Column("range_length", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.UUID(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["sample_sha256"],
            ["sample.sha256"],
            name=op.f("fk_challenge_sample_sha256"),
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["submission.id"],
            name=op.f("fk_challenge_submission_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_user.id"], name=op.f("fk_challenge_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenge")),
    )
    op.create_index(
        op.f("ix_challenge_expires_at"), "challenge", ["expires_at"], unique=False
    )
    op.create_table(
        "task_analysis",
        sa.Column("task_id", sa.UUID(), nullable=False),
        sa.Column("analysis_id", sa.UUID(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "late", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_task_analysis_analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["job_task.id"],
            name=op.f("fk_task_analysis_task_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "task_id", "analysis_id", name=op.f("pk_task_analysis")
        ),
    )
    op.create_index(
        op.f("ix_task_analysis_analysis_id"),
        "task_analysis",
        ["analysis_id"],
        unique=False,
    )
    op.create_table(
        "verdict_input",
        sa.Column("verdict_id", sa.UUID(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("analysis_id", sa.UUID(), nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("impact", sa.Double(), nullable=True),
        sa.Column("difference", sa.Double(), nullable=True),
        sa.Column("status_override", sa.Text(), nullable=True),
        sa.Column("age_seconds", sa.Double(), nullable=True),
        sa.Column("worker_version", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_verdict_input_analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["verdict_id"],
            ["verdict.id"],
            name=op.f("fk_verdict_input_verdict_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_verdict_input_worker_id")
        ),
        sa.PrimaryKeyConstraint(
            "verdict_id", "worker_id", name=op.f("pk_verdict_input")
        ),
    )
    op.create_index(
        op.f("ix_verdict_input_analysis_id"),
        "verdict_input",
        ["analysis_id"],
        unique=False,
    )
    # One customer, the one row of the stream, the one policy.
    op.execute(
        "INSERT INTO customer (id, short_name, name) VALUES "
        "('00000000-0000-7000-8000-000000000001', 'default', 'Default')"
    )
    op.execute(
        "INSERT INTO stream (id, watermark_at, gap_ended_at, canary_at, dispatched_at)"
        " VALUES (1, now(), now(), now(), now())"
    )
    op.execute("INSERT INTO policy (id) VALUES (1)")
    # What keywords are looked for in: orchestrator/db/tables.py, DOCUMENTS.
    op.create_index(
        "ix_analysis_grams",
        "analysis",
        [sa.text("grams((agent_name || ' ') || tags::text)")],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("tags <> '[]'::jsonb or worker_id is null"),
    )
    op.create_index(
        "ix_classification_grams",
        "classification",
        [sa.text("grams((((type || ' ') || super_type) || ' ') || mime_type)")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_link_grams",
        "link",
        [sa.text("grams((type || ' ') || reference_sha256)")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_submission_grams",
        "submission",
        [
            sa.text(
                "grams((((((file_name || ' ') || mime_type) || ' ') || agent_name) || ' ') || meta::text)"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_verdict_grams",
        "verdict",
        [sa.text("grams((coalesce(comment, '') || ' ') || tags::text)")],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("tags <> '[]'::jsonb or comment is not null"),
    )
    op.create_index(
        "ix_sample_sha512_start",
        "sample",
        [sa.text("left(sha512, 16)")],
        unique=False,
    )
    op.create_index("ix_job_started", "job", ["started_at"], unique=False)
    op.create_index(
        "ix_job_timeout",
        "job",
        ["enqueued_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'timeout'"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_verdict_input_analysis_id"), table_name="verdict_input")
    op.drop_table("verdict_input")
    op.drop_index(op.f("ix_task_analysis_analysis_id"), table_name="task_analysis")
    op.drop_table("task_analysis")
    op.drop_index(op.f("ix_challenge_expires_at"), table_name="challenge")
    op.drop_table("challenge")
    op.drop_index(op.f("ix_verdict_sample_sha256_created_at"), table_name="verdict")
    op.drop_index(op.f("ix_verdict_job_id"), table_name="verdict")
    op.drop_table("verdict")
    op.drop_index(
        op.f("ix_submission_sample_sha256_customer_id_created_at"),
        table_name="submission",
    )
    op.drop_index(op.f("ix_submission_observed_at_id"), table_name="submission")
    op.drop_index(op.f("ix_submission_job_id"), table_name="submission")
    op.drop_index(
        "ix_submission_expires_at",
        table_name="submission",
        postgresql_where=sa.text("expires_at is not null"),
    )
    op.drop_index(
        op.f("ix_submission_customer_id_observed_at_id"), table_name="submission"
    )
    op.drop_table("submission")
    op.drop_index("ix_job_task_sample", table_name="job_task")
    op.drop_index(
        "ix_job_task_open",
        table_name="job_task",
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.drop_index(
        "ix_job_task_in_flight",
        table_name="job_task",
        postgresql_where=sa.text(
            "published_at is not null and state in ('enqueued', 'executing')"
        ),
    )
    op.drop_index(
        "ix_job_task_finished",
        table_name="job_task",
        postgresql_where=sa.text("ended_at is not null"),
    )
    op.drop_index(
        "ix_job_task_executing",
        table_name="job_task",
        postgresql_where=sa.text("state = 'executing'"),
    )
    op.drop_index(
        "ix_job_task_due",
        table_name="job_task",
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.drop_index(
        "ix_job_task_backlog",
        table_name="job_task",
        postgresql_where=sa.text("state = 'enqueued' and published_at is null"),
    )
    op.drop_table("job_task")
    op.drop_index(op.f("ix_evidence_analysis_id_created_at"), table_name="evidence")
    op.drop_table("evidence")
    op.drop_table("worker_version")
    op.drop_index(
        op.f("ix_sample_access_subject_id_sample_created_at_sample_sha256"),
        table_name="sample_access",
    )
    op.drop_index(op.f("ix_sample_access_sample_sha256"), table_name="sample_access")
    op.drop_table("sample_access")
    op.drop_index(op.f("ix_replica_worker_id_seen_at"), table_name="replica")
    op.drop_table("replica")
    op.drop_index(
        "ix_poison_standing",
        table_name="poison",
        postgresql_where=sa.text("poisoned_at is not null and cleared_at is null"),
    )
    op.drop_table("poison")
    op.drop_index(op.f("ix_link_sample_sha256_created_at"), table_name="link")
    op.drop_table("link")
    op.drop_index(
        "uq_job_idempotency",
        table_name="job",
        postgresql_where=sa.text("idempotency_key is not null"),
    )
    op.drop_index(op.f("ix_job_sample_sha256_enqueued_at"), table_name="job")
    op.drop_index(
        "ix_job_open",
        table_name="job",
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.drop_index(
        "ix_job_idempotency_age",
        table_name="job",
        postgresql_where=sa.text("idempotency_key is not null"),
    )
    op.drop_index(op.f("ix_job_enqueued_at_id"), table_name="job")
    op.drop_index(
        "ix_job_ended",
        table_name="job",
        postgresql_where=sa.text("ended_at is not null"),
    )
    op.drop_index(
        "ix_job_due",
        table_name="job",
        postgresql_where=sa.text("state in ('enqueued', 'executing')"),
    )
    op.drop_index(op.f("ix_job_customer_id_enqueued_at_id"), table_name="job")
    op.drop_table("job")
    op.drop_index(
        op.f("ix_classification_sample_sha256_created_at"), table_name="classification"
    )
    op.drop_table("classification")
    op.drop_index(op.f("ix_analysis_sample_sha256_created_at"), table_name="analysis")
    op.drop_index(
        "ix_analysis_outlived_task",
        table_name="analysis",
        postgresql_where=sa.text("outlived_task"),
    )
    op.drop_table("analysis")
    op.drop_table("worker")
    op.drop_table("usage")
    op.drop_index(op.f("ix_sample_sha1"), table_name="sample")
    op.drop_index(op.f("ix_sample_md5"), table_name="sample")
    op.drop_index(op.f("ix_sample_created_at_sha256"), table_name="sample")
    op.drop_table("sample")
    op.drop_table("policy_rule")
    op.drop_table("policy")
    op.drop_table("api_key")
    op.drop_table("api_user")
    op.drop_index(op.f("ix_task_event_task_id_id"), table_name="task_event")
    op.drop_index(op.f("ix_task_event_created_at"), table_name="task_event")
    op.drop_table("task_event")
    op.drop_table("stream")
    op.drop_index(op.f("ix_rejected_report_created_at"), table_name="rejected_report")
    op.drop_table("rejected_report")
    op.drop_table("customer")
    op.drop_table("counter")
    op.drop_index(op.f("ix_audit_created_at"), table_name="audit")
    op.drop_table("audit")
    op.execute("DROP FUNCTION grams(text)")
