"""
Reads what has changed, once for all who listen: each row as its own customer sees it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from orchestrator.api.events.event import Event
from orchestrator.api.schemas.job import JobResponse, JobTaskResponse
from orchestrator.api.schemas.verdict import VerdictResponse
from orchestrator.api.schemas.worker import WorkerResponse
from orchestrator.db.access import find_subjects_of_samples
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.jobs import JobView, find_jobs
from orchestrator.queries.tasks import find_tasks
from orchestrator.queries.verdicts import find_newest_of_jobs, find_newest_of_samples
from orchestrator.queries.workers import find_workers

#: Sees what every user of a customer does: nobody's own.
_NOBODY = UUID(int=0)


@dataclass(slots=True)
class Ids:
    """What has changed, by id. ``many``: more than anybody has named."""

    jobs: set[UUID] = field(default_factory=set)
    samples: set[str] = field(default_factory=set)
    workers: set[UUID] = field(default_factory=set)
    many: bool = False


def read_events(tx: Transaction, ids: Ids, *, lease: timedelta) -> list[Event]:
    """
    Return all of it as it is now: of a job its tasks, its verdict, and then itself.

    Args:
        lease: How long a silent replica counts as alive.
    """
    read_at = time.monotonic()
    events: list[Event] = []
    views = find_jobs(tx, ids.jobs) if ids.jobs else []
    for customer_id in {view.customer.id for view in views}:
        own = [view for view in views if view.customer.id == customer_id]
        events += _of_jobs(tx, own, customer_id, read_at)
    if ids.samples:
        events += _of_samples(tx, ids.samples, read_at)
    if ids.workers:
        events += _of_workers(tx, ids.workers, read_at, lease=lease)
    return events


def _of_jobs(
    tx: Transaction, views: Sequence[JobView], customer_id: UUID, read_at: float
) -> Iterator[Event]:
    viewer = viewer_of(customer_id)
    subjects = frozenset({customer_id})
    ids = [view.id for view in views]
    samples = {view.id: view.sample_sha256 for view in views}
    for task in find_tasks(tx, ids, viewer=viewer):
        yield Event(
            kind="task",
            key=str(task.id),
            data=JobTaskResponse.of(task).model_dump_json(by_alias=True),
            read_at=read_at,
            job_id=task.job_id,
            sample_sha256=samples[task.job_id],
            worker=task.worker,
            state=task.state.value,
            subjects=subjects,
        )
    over = [view.id for view in views if view.state.is_final]
    for job_id, verdict in find_newest_of_jobs(tx, over, viewer=viewer).items():
        yield Event(
            kind="verdict",
            key=str(verdict.id),
            data=VerdictResponse.of(verdict).model_dump_json(by_alias=True),
            read_at=read_at,
            job_id=job_id,
            sample_sha256=verdict.sample_sha256,
            state=verdict.status,
            subjects=subjects,
        )
    for view in views:
        yield Event(
            kind="job",
            key=str(view.id),
            data=JobResponse.of(view).model_dump_json(by_alias=True),
            read_at=read_at,
            job_id=view.id,
            sample_sha256=view.sample_sha256,
            state=view.state.value,
            subjects=subjects,
            is_over=view.state.is_final,
        )


def _of_samples(
    tx: Transaction, sha256s: Collection[str], read_at: float
) -> Iterator[Event]:
    # A verdict by hand counts for everybody who has the sample; who said it, and in
    # which words, is not told to all of them.
    viewer = Viewer(
        user_id=_NOBODY, customer_id=_NOBODY, customer_ids=frozenset(), is_limited=True
    )
    subjects = find_subjects_of_samples(tx, sha256s)
    for verdict in find_newest_of_samples(tx, sha256s, viewer=viewer):
        yield Event(
            kind="verdict",
            key=str(verdict.id),
            data=VerdictResponse.of(verdict).model_dump_json(by_alias=True),
            read_at=read_at,
            sample_sha256=verdict.sample_sha256,
            state=verdict.status,
            subjects=subjects.get(verdict.sample_sha256, frozenset()),
        )


def _of_workers(
    tx: Transaction, ids: Collection[UUID], read_at: float, *, lease: timedelta
) -> Iterator[Event]:
    for view in find_workers(tx, ids, lease=lease):
        yield Event(
            kind="worker",
            key=str(view.id),
            data=WorkerResponse.of(view).model_dump_json(by_alias=True),
            read_at=read_at,
            worker=view.short_name,
            state="paused" if view.paused_at is not None else "running",
        )


def viewer_of(customer_id: UUID) -> Viewer:
    """Return who sees what every user of a customer does."""
    return Viewer(
        user_id=_NOBODY,
        customer_id=customer_id,
        customer_ids=frozenset({customer_id}),
        is_limited=True,
    )
