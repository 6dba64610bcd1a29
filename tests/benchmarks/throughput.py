"""
How much of the ideal, slots ÷ duration, the whole path reaches with short analyses.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import ENQUEUED
from tests.fixtures.field import Field

SLOTS = 4
ANALYSIS_SECONDS = 0.02
TASKS = 800

#: One machine: replicas read the store's folder.
SHARED = {"ASSAY_SAMPLES_SHARED": "1"}

_SOURCE = f"""
import time
from workers import Analysis, Sample, analyzer

@analyzer("short", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    time.sleep({ANALYSIS_SECONDS})
    return Analysis(score=1)
"""

_RATE = """
    SELECT count(*) / extract(epoch FROM max(ended_at) - min(ended_at)) AS rate
      FROM (SELECT ended_at, row_number() OVER (ORDER BY ended_at) AS n
              FROM job_task WHERE state = 'success') ended
     WHERE n > :skip
"""


def share_of_ideal(field: Field) -> float:
    """
    Run short analyses through a started engine, task events off.

    Returns:
        Tasks per second in the database, as a share of slots ÷ duration. The first
        fifth, while the window opens, is left out.
    """
    field.replicas({"short": _SOURCE}, slots=SLOTS)
    fill_backlog(field, "short", TASKS)
    field.wait_until_done()
    (row,) = field.rows(_RATE, skip=TASKS // 5)
    return float(row.rate) / (SLOTS / ANALYSIS_SECONDS)


def fill_backlog(field: Field, worker: str, count: int) -> UUID:
    """Put *count* copies of a task of this worker into the backlog; return its job."""
    first = field.job(b"sample", workers=(worker,))
    for start in range(0, count, _BATCH):
        with field.database.uow() as tx:
            some = {"first": first, "count": min(_BATCH, count - start)}
            tx.connection.execute(_COPY, some)
            tx.notify("work")
    return first


#: Rows of one statement: a busy machine, too, has time for them.
_BATCH = 1_000

_COPY = text(
    f"""
    WITH copy AS (
        INSERT INTO job (id, sample_sha256, customer_id, submitter_id, state,
                         enqueued_at, due_at)
        SELECT gen_random_uuid(), sample_sha256, customer_id, submitter_id, {ENQUEUED},
               now(), due_at
          FROM job, generate_series(1, :count) WHERE job.id = :first
        RETURNING id)
    INSERT INTO job_task (id, job_id, worker_id, sample_sha256, submitter_id, state,
                          order_at, enqueued_at, queued_at, due_at)
    SELECT gen_random_uuid(), copy.id, worker_id, sample_sha256, submitter_id,
           {ENQUEUED}, now(), now(), now(), now() + interval '1 hour'
      FROM copy, job_task WHERE job_id = :first
    """  # noqa: S608  (a state's name)
)
