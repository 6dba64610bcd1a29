"""
Every table, with the constraints that make illegal rows impossible.

The migrations build the same; a test compares. Times are ``timestamptz``, the
database's own. Ids are UUIDv7, so that they sort by creation.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from orchestrator.db.states import ENQUEUED, EXECUTING, OPEN, OVER, TIMEOUT
from orchestrator.domain.policy import Tlp
from orchestrator.domain.values import JobState, Role, TaskState
from orchestrator.domain.verdict import VerdictStatus

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

#: Of ``Connection.info``: the service's time at which its transaction began.
SERVICE_TIME = "service_time"

OPEN_STATES = f"state in ({OPEN})"

#: What keywords are looked for in, by table: the indexes and the searches must say the
#: same. ``grams``, a function of the migrations, takes a text apart: all its runs of
#: three characters, in lower case, of its first 8192.
DOCUMENTS = {
    # Parentheses as PostgreSQL writes them, so that schemas can be compared.
    "analysis": "(agent_name || ' ') || tags::text",
    "classification": "(((type || ' ') || super_type) || ' ') || mime_type",
    "link": "(type || ' ') || reference_sha256",
    "submission": (
        "(((((file_name || ' ') || mime_type) || ' ') || agent_name) || ' ')"
        " || meta::text"
    ),
    "verdict": "(coalesce(comment, '') || ' ') || tags::text",
}

#: Rows that have something to find. An analysis of a worker has its name, which stands
#: in most rows, and mostly no tags: it costs the index nothing.
ANALYSES_WITH_WORDS = "tags <> '[]'::jsonb or worker_id is null"
VERDICTS_WITH_WORDS = "tags <> '[]'::jsonb or comment is not null"

SUBMISSIONS_WITH_ACL = "acl <> '{}'"

#: When a job last did something.
JOB_TIME = "coalesce(ended_at, started_at)"


#: Characters of the end of an id or a hash by which it is found, and of the beginning
#: of a file's name. Ids grow with time: it is their ends by which people tell them.
END_LENGTH = 8
NAME_LENGTH = 64


def _end(column: str) -> str:
    # Backwards, so that a part of the end is the beginning of something.
    return f"reverse(right({column}::text, {END_LENGTH}))"


def _grams(table: str, *, where: str | None = None) -> Index:
    return Index(
        f"ix_{table}_grams",
        text(f"grams({DOCUMENTS[table]})"),
        postgresql_using="gin",
        postgresql_where=None if where is None else text(where),
    )


def _values(column: str, words: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} in ({listed})", name=f"{column}_is_known")


def _id() -> Column[object]:
    return Column("id", UUID(as_uuid=True), primary_key=True)


def _at(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _created() -> Column[object]:
    return Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        default=_service_time,
        server_default=text("now()"),
    )


def _service_time(context: Any) -> datetime:
    # What is older decides: which analysis counts, and what is removed.
    now: datetime = context.connection.info[SERVICE_TIME]
    return now


def _sha256(name: str = "sample_sha256", *, nullable: bool = False) -> Column[object]:
    return Column(name, Text, ForeignKey("sample.sha256"), nullable=nullable)


def _reference(name: str, target: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, UUID(as_uuid=True), ForeignKey(target), nullable=nullable)


def _tlp() -> Column[object]:
    return Column("tlp", Text, nullable=False, server_default=Tlp.AMBER.value)


def _acl() -> Column[object]:
    # Ids of users who may see it besides those of its customer.
    return Column("acl", ARRAY(UUID(as_uuid=True)), nullable=False, server_default="{}")


def _json(name: str, default: str = "{}") -> Column[object]:
    return Column(
        name, JSONB, nullable=False, server_default=text(f"'{default}'::jsonb")
    )


customer = Table(
    "customer",
    metadata,
    _id(),
    Column("short_name", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    _created(),
)

api_user = Table(
    "api_user",
    metadata,
    _id(),
    _reference("customer_id", "customer.id"),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    _created(),
    _values("role", Role),
)

api_key = Table(
    "api_key",
    metadata,
    _id(),
    _reference("user_id", "api_user.id"),
    #: The public part, by which the row is found.
    Column("prefix", Text, nullable=False, unique=True),
    #: SHA-256 of the whole key. A key is 256 random bits: no salt, no stretching.
    Column("secret_hash", LargeBinary, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    #: Narrower than the user's own; null: as the user.
    Column("role", Text),
    #: The customers and the networks (CIDR) that it is for; null: no limit.
    Column("customer_ids", ARRAY(UUID(as_uuid=True))),
    Column("networks", ARRAY(Text)),
    _at("expires_at"),
    _at("revoked_at"),
    _created(),
    _values("role", Role),
)

console_session = Table(
    "console_session",
    metadata,
    #: SHA-256 of what the browser's cookie holds: 256 random bits.
    Column("token_hash", LargeBinary, primary_key=True),
    _reference("key_id", "api_key.id"),
    #: What each form of its pages sends along.
    Column("csrf", Text, nullable=False),
    _at("expires_at", nullable=False),
    _created(),
    Index(None, "expires_at"),
)

sample = Table(
    "sample",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("sha512", Text, nullable=False),
    Column("sha1", Text, nullable=False, index=True),
    Column("md5", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    _reference("created_by", "api_user.id"),
    #: The verdict that stands now; rolled by the newest finished job, or by hand. No
    #: foreign key: the verdict points here already, and a cycle would need deferring.
    Column("verdict_id", UUID(as_uuid=True)),
    _created(),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hex"),
    CheckConstraint("size_bytes >= 0", name="size_is_not_negative"),
    Index(None, "created_at", "sha256"),
    Index("ix_sample_sha512_start", text("left(sha512, 16)")),
    Index("ix_sample_end", text(_end("sha256"))),
)

classification = Table(
    "classification",
    metadata,
    _id(),
    _sha256(),
    Column("version", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("super_type", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("mime_type", Text, nullable=False),
    Column("decided_by", Text, nullable=False, server_default=text("'rules'")),
    #: How sure that is, from 0 to 1.
    Column("confidence", Double, nullable=False, server_default=text("1")),
    _json("meta"),
    _created(),
    CheckConstraint(
        "decided_by IN ('rules', 'magika', 'person')", name="decided_by_is_known"
    ),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_is_a_share"),
    Index(None, "sample_sha256", "created_at"),
    _grams("classification"),
)

worker = Table(
    "worker",
    metadata,
    _id(),
    Column("short_name", Text, nullable=False, unique=True),
    _json("localized_names"),
    _json("localized_descriptions"),
    _json("result_schema"),
    #: Version whose manifest came last; null until one did.
    Column("version", Text),
    # What administrators override; null: as the manifest or the settings say.
    Column("weight", Double, nullable=False, server_default="1"),
    Column("run_seconds", Double),
    Column("max_losses", Integer),
    Column("window_cap", Integer),
    _at("paused_at"),
    #: Grows with every enrolment; secrets of older generations no longer verify.
    Column("generation", Integer, nullable=False, server_default="0"),
    #: Since when no live replica is known; null while one is.
    _at("nobody_home_since"),
    #: All that was published before this moment has left the broker.
    _at("drained_to"),
    _reference("created_by", "api_user.id", nullable=True),
    _reference("updated_by", "api_user.id", nullable=True),
    _at("updated_at"),
    _reference("deleted_by", "api_user.id", nullable=True),
    _at("deleted_at"),
    _created(),
    CheckConstraint("weight > 0 and weight <= 1", name="weight_is_a_share"),
    CheckConstraint("run_seconds > 0", name="run_seconds_is_positive"),
    CheckConstraint("max_losses >= 1", name="max_losses_is_positive"),
    CheckConstraint("window_cap >= 1", name="window_cap_is_positive"),
)

worker_version = Table(
    "worker_version",
    metadata,
    Column("worker_id", UUID(as_uuid=True), ForeignKey("worker.id"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("accepts", ARRAY(Text), nullable=False),
    Column("max_bytes", BigInteger),
    Column("run_seconds", Double, nullable=False),
    Column("max_tlp", Text, nullable=False),
    Column("sends_data_out", Boolean, nullable=False),
    _json("manifest"),
    _created(),
)

replica = Table(
    "replica",
    metadata,
    Column("id", Text, primary_key=True),
    _reference("worker_id", "worker.id"),
    Column("version", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("leaving", Boolean, nullable=False, server_default=text("false")),
    # The last two heartbeats: when they were applied, and which attempts they listed,
    # as '<task_id>.<attempt>'.
    _at("seen_at", nullable=False),
    Column("holds", ARRAY(Text), nullable=False, server_default="{}"),
    _at("seen_before_at"),
    Column("held_before", ARRAY(Text), nullable=False, server_default="{}"),
    #: Why it takes no work, and since when it says so.
    Column("aside", Text),
    _at("aside_at"),
    #: Since when it shall take nothing more; null: it may.
    _at("draining_at"),
    #: By how much its host's clock is ahead of the API's, as it says.
    Column("skew_seconds", Double),
    _created(),
    CheckConstraint("slots >= 1", name="slots_is_positive"),
    Index(None, "worker_id", "seen_at"),
    # A heartbeat changes no index, so its update stays on the page (HOT).
    postgresql_with={"fillfactor": "50"},
)

stream = Table(
    "stream",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    #: Up to this moment ``reports`` has been read.
    _at("watermark_at", nullable=False),
    _at("gap_ended_at", nullable=False),
    #: When a canary was applied last, and when the dispatcher last had its turn.
    _at("canary_at", nullable=False),
    _at("dispatched_at", nullable=False),
    #: Which consumer may read: grows by one at each takeover.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    #: Tells this deployment from others that use the same broker.
    Column(
        "deployment", UUID, nullable=False, server_default=text("gen_random_uuid()")
    ),
    _created(),
    CheckConstraint("id = 1", name="there_is_one"),
)

service_clock = Table(
    "service_clock",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    #: How often the database's clock jumped, and by how much last.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("jump", Interval, nullable=False, server_default="0"),
    #: What the service's time was ahead of the database's clock when that showed
    #: ``made_at``; it wears off since. Apart from ``stream``, which changes all the
    #: time: every transaction reads this.
    Column("correction", Interval, nullable=False, server_default="0"),
    Column(
        "made_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("now()"),
    ),
    _created(),
    CheckConstraint("id = 1", name="there_is_one"),
)

registry = Table(
    "registry",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    #: Another one after each change of worker, worker_version, policy, policy_rule and
    #: customer. Not a number: a standby that takes over may be behind, and would give
    #: what comes then a number that something else has had.
    Column("revision", UUID, nullable=False, server_default=text("gen_random_uuid()")),
    _created(),
    CheckConstraint("id = 1", name="there_is_one"),
)

foreign_queue = Table(
    "foreign_queue",
    metadata,
    #: Of a queue or exchange in the broker that is none of ours; which argument
    #: differs, and the command that mends it.
    Column("name", Text, primary_key=True),
    Column("wanted", Text, nullable=False),
    Column("present", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    #: When a dispatcher saw it last.
    _at("seen_at", nullable=False),
    _created(),
)

job = Table(
    "job",
    metadata,
    _id(),
    _sha256(),
    _reference("customer_id", "customer.id"),
    _reference("submitter_id", "api_user.id"),
    Column("state", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("file_name", Text),
    _json("options"),
    #: What selection said of every registered worker when the job was created.
    _json("selection", "[]"),
    #: Whether the caller named the workers.
    Column("is_chosen", Boolean, nullable=False, server_default=text("false")),
    Column("is_reanalysis", Boolean, nullable=False, server_default=text("false")),
    Column("idempotency_key", Text),
    Column("content_hash", Text),
    _at("enqueued_at", nullable=False),
    _at("started_at"),
    _at("ended_at"),
    _at("due_at"),
    #: Whether it took, or waited, longer than a day. A column, for the planner to know
    #: that such jobs are few.
    Column(
        "is_long",
        Boolean,
        Computed(f"{JOB_TIME} - enqueued_at > '1 day'::interval", persisted=True),
    ),
    _created(),
    _values("state", JobState),
    CheckConstraint(
        f"(state in ({OVER})) = (ended_at is not null)",
        name="a_finished_job_has_an_end",
    ),
    CheckConstraint("priority between -9 and 9", name="priority_is_in_range"),
    Index(
        "uq_job_idempotency",
        "submitter_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key is not null"),
    ),
    Index(
        "ix_job_idempotency_age",
        "enqueued_at",
        postgresql_where=text("idempotency_key is not null"),
    ),
    Index("ix_job_due", "due_at", postgresql_where=text(OPEN_STATES)),
    Index("ix_job_open", "sample_sha256", postgresql_where=text(OPEN_STATES)),
    Index(None, "sample_sha256", "enqueued_at"),
    Index(None, "enqueued_at", "id"),
    Index(None, "customer_id", "enqueued_at", "id"),
    Index("ix_job_started", "started_at"),
    Index("ix_job_ended", "ended_at", postgresql_where=text("ended_at is not null")),
    Index("ix_job_long", text(JOB_TIME), postgresql_where=text("is_long")),
    Index("ix_job_end", text(_end("id"))),
    # They are few: without it a list of them walks through everything else.
    Index(
        "ix_job_timeout",
        "enqueued_at",
        "id",
        postgresql_where=text(f"state = {TIMEOUT}"),
    ),
)

#: As the indexes have them.
JOB_END: ColumnElement[str] = literal_column(_end("job.id"))
JOB_NAME = func.lower(func.left(job.c.file_name, literal_column(str(NAME_LENGTH))))
SAMPLE_END: ColumnElement[str] = literal_column(_end("sample.sha256"))

Index(
    "ix_job_name",
    job.c.customer_id,
    JOB_NAME.label("name"),
    job.c.enqueued_at.desc(),
    postgresql_ops={"name": "text_pattern_ops"},
    postgresql_where=text("file_name is not null"),
)

job_task = Table(
    "job_task",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _reference("worker_id", "worker.id"),
    # Copies, for the indexes of backlog and verdict.
    Column("sample_sha256", Text, nullable=False),
    Column("submitter_id", UUID(as_uuid=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("message", Text),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("losses", Integer, nullable=False, server_default="0"),
    Column("holder", Text),
    #: Enqueue time less ten minutes per step of priority: age is priority.
    _at("order_at", nullable=False),
    _at("not_before"),
    _at("enqueued_at", nullable=False),
    _at("queued_at", nullable=False),
    _at("published_at"),
    _at("started_at"),
    _at("ended_at"),
    _at("due_at"),
    _json("options"),
    Column("late", Boolean, nullable=False, server_default=text("false")),
    _created(),
    UniqueConstraint("job_id", "worker_id"),
    _values("state", TaskState),
    CheckConstraint(
        f"({OPEN_STATES}) = (ended_at is null)", name="an_ended_task_has_an_end"
    ),
    CheckConstraint(
        f"({OPEN_STATES}) = (due_at is not null)", name="an_open_task_has_a_clock"
    ),
    CheckConstraint(
        f"state <> {EXECUTING} or (started_at is not null and holder is not null)",
        name="an_executing_task_has_a_holder",
    ),
    CheckConstraint("attempt >= 1 and losses >= 0", name="counts_are_counts"),
    Index(
        "ix_job_task_backlog",
        "worker_id",
        "submitter_id",
        "order_at",
        postgresql_where=text(f"state = {ENQUEUED} and published_at is null"),
    ),
    Index(
        "ix_job_task_in_flight",
        "worker_id",
        "published_at",
        postgresql_where=text(f"published_at is not null and {OPEN_STATES}"),
    ),
    Index("ix_job_task_due", "due_at", postgresql_where=text(OPEN_STATES)),
    Index(
        "ix_job_task_open",
        "worker_id",
        "enqueued_at",
        postgresql_where=text(OPEN_STATES),
    ),
    Index(
        "ix_job_task_executing",
        "holder",
        postgresql_where=text(f"state = {EXECUTING}"),
    ),
    Index(
        "ix_job_task_finished",
        "worker_id",
        "ended_at",
        postgresql_where=text("ended_at is not null"),
    ),
    Index("ix_job_task_sample", "sample_sha256", "worker_id"),
    # Half of all updates move a task between states; leave room for them on the page.
    postgresql_with={"fillfactor": "70"},
)

task_event = Table(
    "task_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("task_id", UUID(as_uuid=True), nullable=False),
    Column("job_id", UUID(as_uuid=True), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text),
    Column("actor", Text),
    Column("message", Text),
    _created(),
    Index(None, "task_id", "id"),
    Index(None, "created_at"),
)

analysis = Table(
    "analysis",
    metadata,
    _id(),
    _sha256(),
    _reference("customer_id", "customer.id"),
    _reference("created_by", "api_user.id", nullable=True),
    _reference("worker_id", "worker.id", nullable=True),
    Column("agent_name", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("score", SmallInteger, nullable=False),
    Column("result", JSONB),
    #: SHA-256 of the result in the store, when it was too large for a message.
    Column("result_ref", Text),
    _json("tags", "[]"),
    _json("detections", "[]"),
    Column("possible_detections", Integer),
    Column("status_override", Text),
    Column("profile", Text),
    Column("internet_access", Boolean, nullable=False, server_default=text("false")),
    _tlp(),
    _acl(),
    #: Children and evidence that the replica put into the store.
    _json("files", "[]"),
    Column("content_hash", Text),
    #: Its task, which ended in success or late, is gone: it still is "previous".
    Column("outlived_task", Boolean, nullable=False, server_default=text("false")),
    _created(),
    CheckConstraint("score between -1 and 100", name="score_is_in_range"),
    CheckConstraint(
        "status_override in ('malicious', 'benign')", name="override_is_known"
    ),
    _values("tlp", Tlp),
    Index(None, "sample_sha256", "created_at"),
    # Whether anything names a stored file; most analyses name none.
    Index(
        None,
        "files",
        postgresql_using="gin",
        postgresql_ops={"files": "jsonb_path_ops"},
        postgresql_where=text("files <> '[]'::jsonb"),
    ),
    Index(None, "result_ref", postgresql_where=text("result_ref IS NOT NULL")),
    Index(
        "ix_analysis_outlived_task",
        "sample_sha256",
        "worker_id",
        "created_at",
        postgresql_where=text("outlived_task"),
    ),
    _grams("analysis", where=ANALYSES_WITH_WORDS),
)

task_analysis = Table(
    "task_analysis",
    metadata,
    Column(
        "task_id",
        UUID(as_uuid=True),
        ForeignKey("job_task.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column(
        "analysis_id", UUID(as_uuid=True), ForeignKey("analysis.id"), primary_key=True
    ),
    Column("attempt", Integer, nullable=False),
    Column("late", Boolean, nullable=False, server_default=text("false")),
    _created(),
    Index(None, "analysis_id"),
)

verdict = Table(
    "verdict",
    metadata,
    _id(),
    _sha256(),
    Column("job_id", UUID(as_uuid=True), ForeignKey("job.id", ondelete="SET NULL")),
    Column("score", SmallInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_override", Text),
    Column("is_contradicting", Boolean, nullable=False, server_default=text("false")),
    Column("is_manual", Boolean, nullable=False, server_default=text("false")),
    Column("comment", Text),
    Column("coverage_percent", Double),
    #: The status set by hand that stood when this was rolled: an input.
    Column("manual_override", Text),
    _json("tags", "[]"),
    _reference("created_by", "api_user.id", nullable=True),
    _created(),
    CheckConstraint("score between -1 and 100", name="score_is_in_range"),
    _values("status", VerdictStatus),
    CheckConstraint(
        "status_override in ('malicious', 'benign')", name="override_is_known"
    ),
    CheckConstraint("coverage_percent between 0 and 100", name="coverage_is_in_range"),
    Index(None, "sample_sha256", "created_at"),
    Index(None, "job_id"),
    _grams("verdict", where=VERDICTS_WITH_WORDS),
)

verdict_input = Table(
    "verdict_input",
    metadata,
    Column(
        "verdict_id",
        UUID(as_uuid=True),
        ForeignKey("verdict.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("worker_id", UUID(as_uuid=True), ForeignKey("worker.id"), primary_key=True),
    Column("short_name", Text, nullable=False),
    #: own, previous, missing or excluded.
    Column("source", Text, nullable=False),
    Column("why", Text),
    _reference("analysis_id", "analysis.id", nullable=True),
    Column("score", SmallInteger),
    Column("weight", Double, nullable=False),
    Column("impact", Double),
    Column("difference", Double),
    Column("status_override", Text),
    Column("age_seconds", Double),
    Column("worker_version", Text),
    _created(),
    Index(None, "analysis_id"),
)

poison = Table(
    "poison",
    metadata,
    _sha256(),
    _reference("worker_id", "worker.id"),
    Column("version", Text, nullable=False),
    Column("deaths", Integer, nullable=False),
    _at("first_at", nullable=False),
    _at("last_at", nullable=False),
    #: Null: deaths are counted, nothing is refused yet.
    _at("poisoned_at"),
    _at("cleared_at"),
    Column("cleared_by", Text),
    _created(),
    UniqueConstraint("sample_sha256", "worker_id", "version"),
    Index(
        "ix_poison_standing",
        "worker_id",
        "version",
        postgresql_where=text("poisoned_at is not null and cleared_at is null"),
    ),
)
poison.append_constraint(
    CheckConstraint("deaths >= 1", name="deaths_is_positive"),
)

rejected_report = Table(
    "rejected_report",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    #: The word with which the reason begins; the newest thousand of each are kept.
    Column("kind", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False),
    #: At most the first 4 KiB, to see what it was; size and hash are of all of it.
    Column("body", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False, server_default=""),
    _created(),
    Index(None, "created_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    #: Who: ``user <name>`` over HTTP, ``console <account>`` on the machine itself.
    Column("actor", Text, nullable=False),
    #: From where: the address of the client; null on the machine itself.
    Column("source", Text),
    #: What, as ``job.cancel`` or ``worker.pause``.
    Column("action", Text, nullable=False),
    #: On what: an id or a name, never a secret.
    Column("object", Text, nullable=False),
    _json("detail"),
    _created(),
    Index(None, "created_at"),
)

counter = Table(
    "counter",
    metadata,
    #: Several rows may have one name and labels: they add up. Appended by whoever
    #: counts, so that nobody waits for a row; the tick folds them.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    _json("labels"),
    Column("value", Double, nullable=False),
    _created(),
)

pulse = Table(
    "pulse",
    metadata,
    #: A minute of the service in numbers, for a look back over the last hours.
    Column("at", DateTime(timezone=True), primary_key=True),
    #: Tasks that were created, that ended, and of those that failed or timed out: ever.
    Column("enqueued", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("failed", Double, nullable=False),
    #: Of the tasks that were open then, when the oldest was enqueued.
    _at("oldest_at"),
    #: Of the replicas that lived then.
    Column("slots", Integer, nullable=False),
    _created(),
)

sample_access = Table(
    "sample_access",
    metadata,
    #: A customer, which sees what it submitted or uploaded, or a user whom the access
    #: list of a submission names; until the last submission goes.
    Column("subject_id", UUID(as_uuid=True), primary_key=True),
    Column("sample_sha256", Text, ForeignKey("sample.sha256"), primary_key=True),
    #: A copy, so that a customer's newest samples are read from one index.
    _at("sample_created_at", nullable=False),
    _created(),
    Index(None, "subject_id", "sample_created_at", "sample_sha256"),
    Index(None, "sample_sha256"),
)

submission = Table(
    "submission",
    metadata,
    _id(),
    _sha256(),
    _reference("customer_id", "customer.id"),
    _reference("created_by", "api_user.id"),
    #: The job that it led to.
    Column("job_id", UUID(as_uuid=True), ForeignKey("job.id", ondelete="SET NULL")),
    Column("file_name", Text, nullable=False),
    Column("mime_type", Text, nullable=False),
    _json("meta"),
    _tlp(),
    _acl(),
    Column("agent_name", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    _at("observed_at", nullable=False),
    #: Retention asked for; a malicious sample keeps its submissions.
    _at("expires_at"),
    #: What makes two of them similar.
    Column("content_hash", Text, nullable=False),
    _created(),
    CheckConstraint("tlp in ('clear', 'green', 'amber')", name="tlp_is_not_red"),
    Index(None, "sample_sha256", "customer_id", "created_at"),
    Index(None, "customer_id", "observed_at", "id"),
    Index(None, "observed_at", "id"),
    Index(None, "job_id"),
    _grams("submission"),
    Index(
        "ix_submission_acl",
        "acl",
        postgresql_using="gin",
        postgresql_where=text(SUBMISSIONS_WITH_ACL),
    ),
    Index(
        "ix_submission_expires_at",
        "expires_at",
        postgresql_where=text("expires_at is not null"),
    ),
)

webhook = Table(
    "webhook",
    metadata,
    _id(),
    #: Whose jobs and samples it hears of.
    _reference("customer_id", "customer.id"),
    _reference("created_by", "api_user.id", nullable=True),
    Column("url", Text, nullable=False),
    #: What it is told of, as ``job.done``.
    Column("occasions", ARRAY(Text), nullable=False),
    #: Failures in a row, and until when it is left alone for them.
    Column("failures", Integer, nullable=False, server_default="0"),
    _at("rest_until"),
    #: Its receiver said that it is gone for good.
    _at("off_at"),
    Column("off_reason", Text),
    _created(),
    Index(None, "customer_id"),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    _id(),
    Column(
        "webhook_id",
        UUID(as_uuid=True),
        ForeignKey("webhook.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("occasion", Text, nullable=False),
    #: Of what it tells. They may be gone before it.
    Column("job_id", UUID(as_uuid=True)),
    Column("task_id", UUID(as_uuid=True)),
    Column("verdict_id", UUID(as_uuid=True)),
    #: What it says, from the first try on.
    Column("body", Text),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    #: Of the last try: when, and what came of it.
    _at("tried_at"),
    Column("status", SmallInteger),
    Column("error", Text),
    #: When somebody is to try it; null: never more.
    _at("due_at"),
    #: So long it is with whoever tries it now, and as which of those taken with it.
    _at("taken_until"),
    Column("taken_as", SmallInteger),
    _at("delivered_at"),
    _at("parked_at"),
    _created(),
    CheckConstraint(
        "num_nonnulls(due_at, delivered_at, parked_at) = 1", name="has_one_state"
    ),
    Index(None, "webhook_id", "created_at", "id"),
    Index(
        "ix_webhook_delivery_due",
        "webhook_id",
        "due_at",
        "id",
        postgresql_where=text("due_at is not null"),
    ),
    Index(
        "ix_webhook_delivery_taken",
        "webhook_id",
        postgresql_where=text("taken_until is not null"),
    ),
    Index(None, "created_at"),
)

challenge = Table(
    "challenge",
    metadata,
    _id(),
    _sha256(),
    _reference("user_id", "api_user.id"),
    #: Which bytes of the file are asked for, and their SHA-256.
    Column("range_offset", BigInteger, nullable=False),
    Column("range_length", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    #: The submission that used it up; the same one again is answered with that. It goes
    #: with it: a token serves once.
    Column(
        "submission_id",
        UUID(as_uuid=True),
        ForeignKey("submission.id", ondelete="CASCADE"),
    ),
    #: Given for the whole file, to whoever sent it.
    Column("solved", Boolean, nullable=False, server_default="false"),
    #: Answers that were not the right one.
    Column("wrong", SmallInteger, nullable=False, server_default="0"),
    _at("expires_at", nullable=False),
    _created(),
    Index(None, "expires_at"),
    # One at a time: asking again gives no other part of the file to guess.
    Index(
        "uq_challenge_open",
        "user_id",
        "sample_sha256",
        unique=True,
        postgresql_where=text("submission_id IS NULL AND NOT solved"),
    ),
    Index(
        "ix_challenge_solved",
        "user_id",
        "sample_sha256",
        postgresql_where=text("submission_id IS NULL AND solved"),
    ),
)

wrong_answer = Table(
    "wrong_answer",
    metadata,
    #: How often a user has answered a challenge of a sample wrongly, over all of them,
    #: and when last.
    Column("user_id", UUID(as_uuid=True), ForeignKey("api_user.id"), primary_key=True),
    Column("sample_sha256", Text, ForeignKey("sample.sha256"), primary_key=True),
    Column("wrong", Integer, nullable=False),
    _at("last_at", nullable=False),
    _created(),
    Index(None, "last_at"),
)

link = Table(
    "link",
    metadata,
    _id(),
    _sha256(),
    #: It need not be here: a dead reference.
    Column("reference_sha256", Text, nullable=False),
    Column("type", Text, nullable=False),
    _reference("customer_id", "customer.id"),
    _tlp(),
    _acl(),
    Column("agent_name", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    _reference("created_by", "api_user.id"),
    Column("content_hash", Text, nullable=False),
    _created(),
    CheckConstraint(
        "type in ('parent', 'child', 'downloads', 'loads', 'executes')",
        name="type_is_known",
    ),
    CheckConstraint("reference_sha256 ~ '^[0-9a-f]{64}$'", name="reference_is_hex"),
    _values("tlp", Tlp),
    Index(None, "sample_sha256", "created_at"),
    _grams("link"),
)

evidence = Table(
    "evidence",
    metadata,
    _id(),
    Column(
        "analysis_id",
        UUID(as_uuid=True),
        ForeignKey("analysis.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("file_name", Text, nullable=False),
    Column("mime_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    #: Its name in the store.
    Column("sha256", Text, nullable=False),
    Column("is_internal", Boolean, nullable=False, server_default=text("false")),
    Column(
        "is_potentially_malicious",
        Boolean,
        nullable=False,
        server_default=text("false"),
    ),
    _reference("created_by", "api_user.id"),
    _created(),
    UniqueConstraint("analysis_id", "file_name", "sha256"),
    Index(None, "analysis_id", "created_at"),
    Index(None, "sha256"),
)

stored_file = Table(
    "stored_file",
    metadata,
    #: What an attempt put into the store, or was about to. No foreign key: it outlives
    #: its task.
    Column("task_id", UUID(as_uuid=True), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    #: The sample of the task; analyses of any sample may name the file.
    Column("sample_sha256", Text, nullable=False),
    #: When to look whether anything names it.
    _at("look_at", nullable=False),
    _created(),
    Index(None, "look_at"),
    Index(None, "sha256"),
)

policy = Table(
    "policy",
    metadata,
    #: There is one, the default policy.
    Column("id", SmallInteger, primary_key=True),
    #: Null until somebody sets it: then every enabled worker with a manifest.
    Column("worker_ids", ARRAY(UUID(as_uuid=True))),
    _json("options"),
    _reference("updated_by", "api_user.id", nullable=True),
    _at("updated_at"),
    _created(),
    CheckConstraint("id = 1", name="there_is_one"),
)

policy_rule = Table(
    "policy_rule",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    #: Workers and customers in them by id.
    _json("match"),
    _json("action"),
    _reference("created_by", "api_user.id"),
    _reference("updated_by", "api_user.id", nullable=True),
    _at("updated_at"),
    _reference("deleted_by", "api_user.id", nullable=True),
    _at("deleted_at"),
    _created(),
)

usage = Table(
    "usage",
    metadata,
    #: What a user has used of what is limited, in the minute that began last.
    Column("user_id", UUID(as_uuid=True), ForeignKey("api_user.id"), primary_key=True),
    _at("minute", nullable=False),
    Column("uploads", Integer, nullable=False, server_default="0"),
    _created(),
)
