"""
Fills the tables with jobs and tasks that nobody ordered, faster than orders could.

The database makes the rows itself. Foreign keys are not looked up one by one, which
takes most of the time; the rows obey them all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from orchestrator.db.states import DONE, ENQUEUED, SUCCESS, TIMEOUT
from orchestrator.terminal.output import tell

#: Jobs written in one statement: progress shows, and no transaction is huge.
_CHUNK = 50_000

#: Of all that ended, so that the last of them are a tenth of them.
_CHUNKS_MIN = 10

#: A customer that came late: whatever looks at the oldest rows first finds none of its.
LATE = "late"
_LATE_FROM = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """
    What to write: jobs of one task for each of ``workers``.

    ``tasks``: of all jobs together, rounded up to whole jobs. ``sample_sha256``: of all
    jobs; each has its own, of no bytes, without it. ``is_published``: as if dispatched.
    ``has_ended``: each ended, one job of a thousand by its deadline, spread over the
    last ``days``; the newest tenth is the customer :data:`LATE`'s. Each was submitted
    as ``sample-`` and the first twelve digits of its hash.
    """

    tasks: int
    workers: Sequence[UUID]
    sample_sha256: str | None = None
    is_published: bool = False
    has_ended: bool = False
    days: int = 90

    @property
    def jobs(self) -> int:
        """How many jobs."""
        return -(-self.tasks // len(self.workers))


def add_rows(sql: psycopg.Connection, rows: Rows) -> None:
    """Write them, and let the planner know."""
    sql.execute(_OWNERS, {"late": LATE})
    chunk = min(_CHUNK, max(1, rows.jobs // _CHUNKS_MIN))
    for first in range(0, rows.jobs, chunk):
        count = min(chunk, rows.jobs - first)
        with sql.transaction():
            # A superuser's: skips the triggers of foreign keys.
            sql.execute("SET LOCAL session_replication_role = replica")
            values = {
                "count": count,
                "share": first / rows.jobs,
                "step": 1 / rows.jobs,
                "days": rows.days,
                "ended": rows.has_ended,
                "late": rows.has_ended and first / rows.jobs >= _LATE_FROM,
                "sample": rows.sample_sha256,
                "published": rows.is_published,
                "workers": list(rows.workers),
            }
            sql.execute(_ROWS_ENDED if rows.has_ended else _ROWS_OPEN, values)
        if rows.jobs > _CHUNK:
            tell(f"{(first + count) * len(rows.workers):,} of {rows.tasks:,} tasks")
    sql.execute(
        "VACUUM (ANALYZE) sample, sample_access, submission, classification, job,"
        " job_task, analysis, task_analysis, link, verdict, verdict_input"
    )


_OWNERS = b"""
    WITH late AS (
        INSERT INTO customer (id, short_name, name)
        VALUES (uuidv7(), %(late)s, 'Late') ON CONFLICT DO NOTHING
        RETURNING id, short_name
    ), owners AS (
        SELECT id, short_name FROM late
        UNION SELECT id, short_name FROM customer WHERE short_name = 'default'
    )
    INSERT INTO api_user (id, customer_id, name, role)
    SELECT uuidv7(), id, 'rows of ' || short_name, 'user' FROM owners
    ON CONFLICT (name) DO NOTHING
"""

# Samples first, then jobs, then tasks, out of one list of made-up jobs.
_MADE = """
    WITH owner AS (
        SELECT id, customer_id FROM api_user
         WHERE name = CASE WHEN %(late)s THEN 'rows of late' ELSE 'rows of default' END
    ), made AS MATERIALIZED (
        SELECT uuidv7() AS id, uuidv7() AS found, n, now() - make_interval(
                   secs => 86400 * %(days)s * (1 - %(share)s - n * %(step)s)) AS past
          FROM generate_series(1, %(count)s) AS n
    ), named AS MATERIALIZED (
        SELECT id, found, n, past, coalesce(%(sample)s::text,
                                  encode(sha256(uuid_send(id)), 'hex')) AS sha256
          FROM made
    ), samples AS (
        INSERT INTO sample (sha256, sha512, sha1, md5, size_bytes, created_by,
                            verdict_id, created_at)
        SELECT sha256, sha256 || sha256, left(sha256, 40), left(sha256, 32), 1024,
               owner.id, CASE WHEN %(ended)s THEN found END, past FROM named, owner
        ON CONFLICT (sha256) DO NOTHING
    )
"""

_ROWS_OPEN = (
    _MADE
    + f"""
    , jobs AS (
        INSERT INTO job (id, sample_sha256, customer_id, submitter_id, state,
                         file_name, enqueued_at, due_at)
        SELECT named.id, sha256, owner.customer_id, owner.id, {ENQUEUED}, 'sample',
               now(), now() + interval '1 day' FROM named, owner
    )
    INSERT INTO job_task (id, job_id, worker_id, sample_sha256, submitter_id, state,
                          order_at, enqueued_at, queued_at, published_at, due_at)
    SELECT uuidv7(), named.id, worker, sha256, owner.id, {ENQUEUED}, now(), now(),
           now(), CASE WHEN %(published)s THEN now() END, now() + interval '12 hours'
      FROM named, owner, unnest(%(workers)s::uuid[]) AS worker
    """
).encode()

_ROWS_ENDED = (
    _MADE
    + f"""
    , jobs AS (
        INSERT INTO job (id, sample_sha256, customer_id, submitter_id, state,
                         file_name, enqueued_at, started_at, ended_at, due_at)
        SELECT named.id, sha256, owner.customer_id, owner.id,
               CASE WHEN n %% 1000 = 0 THEN {TIMEOUT} ELSE {DONE} END, 'sample',
               past, past, past + interval '2 seconds', past + interval '1 day'
          FROM named, owner
    ), submissions AS (
        INSERT INTO submission (id, sample_sha256, customer_id, created_by, job_id,
                                file_name, mime_type, agent_name, agent_version,
                                observed_at, content_hash, created_at)
        SELECT uuidv7(), sha256, owner.customer_id, owner.id, named.id,
               'sample-' || left(sha256, 12) || '.bin', 'application/octet-stream',
               'bench', '1', past, sha256, past
          FROM named, owner
    ), granted AS (
        INSERT INTO sample_access (subject_id, sample_sha256, sample_created_at)
        SELECT owner.customer_id, sha256, past FROM named, owner
        ON CONFLICT DO NOTHING
    ), analysed AS (
        INSERT INTO analysis (id, sample_sha256, customer_id, worker_id, agent_name,
                              agent_version, score, result, created_at)
        SELECT found, sha256, owner.customer_id, (%(workers)s::uuid[])[1], 'noop_1',
               '1', 0, '{{}}', past + interval '2 seconds' FROM named, owner
    ), linked AS (
        INSERT INTO link (id, sample_sha256, reference_sha256, type, customer_id,
                          agent_name, agent_version, created_by, content_hash,
                          created_at)
        SELECT uuidv7(), sha256, sha256, 'child', owner.customer_id, 'bench', '1',
               owner.id, sha256, past FROM named, owner
    ), judged AS (
        INSERT INTO verdict (id, sample_sha256, job_id, score, status,
                             coverage_percent, created_at)
        SELECT found, sha256, named.id, 0, 'informational', 100,
               past + interval '2 seconds'
          FROM named
    ), weighed AS (
        INSERT INTO verdict_input (verdict_id, worker_id, short_name, source,
                                   analysis_id, score, weight, created_at)
        SELECT found, (%(workers)s::uuid[])[1], 'noop_1', 'own', found, 0, 1, past
          FROM named
    ), classified AS (
        INSERT INTO classification (id, sample_sha256, version, type, super_type,
                                    platform, arch, mime_type, created_at)
        SELECT uuidv7(), sha256, '1', 'unknown', 'unknown', 'any', 'any',
               'application/octet-stream', past FROM named
    )
    , tasks AS (
        INSERT INTO job_task (id, job_id, worker_id, sample_sha256, submitter_id, state,
                              holder, order_at, enqueued_at, queued_at, published_at,
                              started_at, ended_at)
        SELECT uuidv7(), named.id, worker, sha256, owner.id, {SUCCESS}, 'replica', past,
               past, past, past, past + interval '1 second', past + interval '2 seconds'
          FROM named, owner, unnest(%(workers)s::uuid[]) AS worker
        RETURNING id, job_id, worker_id
    )
    INSERT INTO task_analysis (task_id, analysis_id, attempt, created_at)
    SELECT tasks.id, named.found, 1, past FROM tasks JOIN named ON named.id = job_id
     WHERE worker_id = (%(workers)s::uuid[])[1]
    """
).encode()
