"""
Removing what is old, a bounded part at a time. What is old is the caller's to say.

Jobs are locked in the one order, leaving out what somebody else holds; a job that came
to life again in between is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import SUCCESS
from orchestrator.db.unit_of_work import Transaction


def lock_old_jobs(tx: Transaction, *, before: datetime, limit: int) -> list[UUID]:
    """Lock jobs that ended before then, the oldest first; at most *limit*."""
    found = tx.connection.execute(
        text(
            "SELECT id FROM job WHERE ended_at IS NOT NULL AND ended_at < :before"
            " ORDER BY ended_at LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    locked = tx.connection.execute(
        text(
            "SELECT id FROM job WHERE id = ANY(:ids) AND ended_at < :before"
            " ORDER BY id FOR UPDATE SKIP LOCKED"
        ),
        {"ids": list(found.scalars()), "before": before},
    )
    return list(locked.scalars())


def delete_jobs(tx: Transaction, job_ids: Sequence[UUID]) -> None:
    """
    Delete locked jobs with their tasks and verdicts.

    A sample keeps its current verdict, and of each worker the newest analysis, marked
    as having outlived its task: "previous" needs it.
    """
    for statement in _DELETE_JOBS:
        tx.connection.execute(statement, {"ids": list(job_ids)})


def delete_rows(tx: Transaction, table: str, *, before: datetime, limit: int) -> int:
    """Delete the oldest rows of an append-only table; return how many."""
    return _count(
        tx,
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table}"
        f" WHERE {_AGES[table]} < :before ORDER BY {_AGES[table]} LIMIT :limit))",
        before=before,
        limit=limit,
    )


def forget_idempotency_keys(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Let keys of jobs from before then be used again; return how many."""
    return _count(
        tx,
        "UPDATE job SET idempotency_key = NULL, content_hash = NULL"
        " WHERE id = ANY(ARRAY(SELECT id FROM job WHERE idempotency_key IS NOT NULL"
        " AND enqueued_at < :before ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED))",
        before=before,
        limit=limit,
    )


def delete_expired_submissions(tx: Transaction, *, limit: int) -> int:
    """
    Delete submissions kept long enough, unless the sample is malicious; whoever saw the
    sample through them alone sees it no more.
    """
    gone = tx.connection.execute(
        _DELETE_SUBMISSIONS, {"before": tx.now, "limit": limit}
    ).all()
    pairs = {
        (subject, row.sample_sha256)
        for row in gone
        for subject in (row.customer_id, *row.acl)
    }
    if pairs:
        subjects, sha256s = zip(*sorted(pairs), strict=True)
        named = {"subjects": list(subjects), "sha256s": list(sha256s)}
        # Locked first: one who is granted it again at this moment is waited for, and
        # the next statement sees the submission that came with it.
        tx.connection.execute(_LOCK_ACCESS, named)
        tx.connection.execute(_END_ACCESS, named)
    return len(gone)


def _count(tx: Transaction, statement: str, **values: object) -> int:
    return tx.connection.execute(text(statement), values).rowcount


_DELETE_SUBMISSIONS = text(
    """
    DELETE FROM submission WHERE id = ANY(ARRAY(
        SELECT u.id FROM submission u
          JOIN sample s ON s.sha256 = u.sample_sha256
          LEFT JOIN verdict v ON v.id = s.verdict_id
         WHERE u.expires_at < :before AND v.status IS DISTINCT FROM 'malicious'
         ORDER BY u.expires_at LIMIT :limit))
    RETURNING sample_sha256, customer_id, acl
    """
)
_NAMED = """
    unnest(CAST(:subjects AS uuid[]), CAST(:sha256s AS text[])) AS named (subject, sha)
"""
_LOCK_ACCESS = text(
    f"""
    SELECT FROM sample_access JOIN {_NAMED}
        ON subject_id = subject AND sample_sha256 = sha
     ORDER BY subject_id, sample_sha256 FOR UPDATE OF sample_access
    """
)
_END_ACCESS = text(
    f"""
    DELETE FROM sample_access USING {_NAMED}
     WHERE subject_id = subject AND sample_sha256 = sha AND NOT EXISTS (
           SELECT FROM submission u
            WHERE u.sample_sha256 = sha
              AND (u.customer_id = subject OR subject = ANY(u.acl)))
    """
)

#: By which column, which has an index, the rows of a table age.
_AGES = {
    "task_event": "created_at",
    "rejected_report": "created_at",
    "audit": "created_at",
    "challenge": "expires_at",
    "console_session": "expires_at",
    "wrong_answer": "last_at",
    "pulse": "at",
    "replica": "seen_at",
    "webhook_delivery": "created_at",
}

_DELETE_JOBS = tuple(
    text(statement)
    for statement in (
        f"""
        UPDATE analysis a SET outlived_task = true
          FROM task_analysis ta JOIN job_task t ON t.id = ta.task_id
         WHERE t.job_id = ANY(:ids) AND a.id = ta.analysis_id
           AND (t.state = {SUCCESS} OR ta.late) AND NOT a.outlived_task
        """,
        """
        DELETE FROM verdict v USING sample s
         WHERE v.job_id = ANY(:ids) AND s.sha256 = v.sample_sha256
           AND s.verdict_id IS DISTINCT FROM v.id
        """,
        # Now they hang on nothing, unless another job lists them too.
        """
        WITH listed AS (
            SELECT DISTINCT ta.analysis_id FROM task_analysis ta
              JOIN job_task t ON t.id = ta.task_id WHERE t.job_id = ANY(:ids)
        ), gone AS (
            DELETE FROM task_analysis ta USING job_task t
             WHERE t.id = ta.task_id AND t.job_id = ANY(:ids)
        )
        DELETE FROM analysis a USING listed l
         WHERE a.id = l.analysis_id AND a.created_by IS NULL
           AND NOT EXISTS (SELECT FROM task_analysis ta
                             JOIN job_task t ON t.id = ta.task_id
                            WHERE ta.analysis_id = a.id AND t.job_id <> ALL(:ids))
           AND NOT EXISTS (SELECT FROM verdict_input i WHERE i.analysis_id = a.id)
           AND NOT EXISTS (SELECT FROM evidence e WHERE e.analysis_id = a.id)
           AND EXISTS (SELECT FROM analysis newer
                        WHERE newer.sample_sha256 = a.sample_sha256
                          AND newer.worker_id = a.worker_id AND newer.outlived_task
                          AND (newer.created_at, newer.id) > (a.created_at, a.id))
        """,
        "DELETE FROM job_task WHERE job_id = ANY(:ids)",
        "DELETE FROM job WHERE id = ANY(:ids)",
    )
)
