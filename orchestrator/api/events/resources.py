"""
What a webhook is told of a row: the API's resource, as the webhook's customer sees it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from uuid import UUID

from orchestrator.api.events.reading import viewer_of
from orchestrator.api.schemas.job import JobResponse, JobTaskResponse
from orchestrator.api.schemas.verdict import VerdictResponse
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.webhooks import Claimed
from orchestrator.domain.viewer import Viewer
from orchestrator.domain.webhooks import Occasion
from orchestrator.queries.jobs import find_jobs
from orchestrator.queries.tasks import find_tasks
from orchestrator.queries.verdicts import find_verdicts


def tell(tx: Transaction, deliveries: Sequence[Claimed]) -> dict[UUID, str]:
    """
    Return what each delivery tells of, as it is now, as JSON; one whose row is not kept
    any more is left out.
    """
    told = {each.id: _test(each) for each in deliveries if _is_test(each)}
    for customer_id in {delivery.customer_id for delivery in deliveries}:
        own = [each for each in deliveries if each.customer_id == customer_id]
        viewer = viewer_of(customer_id)
        if of_jobs := [each for each in own if _is_of_job(each)]:
            told |= _of_jobs(tx, of_jobs)
        if of_tasks := [each for each in own if each.task_id]:
            told |= _of_tasks(tx, of_tasks, viewer)
        if of_verdicts := [each for each in own if each.verdict_id]:
            told |= _of_verdicts(tx, of_verdicts, viewer)
    return told


def _is_test(delivery: Claimed) -> bool:
    return delivery.occasion is Occasion.TEST


def _is_of_job(delivery: Claimed) -> bool:
    return delivery.occasion in {Occasion.JOB_DONE, Occasion.JOB_TIMEOUT}


def _of_jobs(tx: Transaction, deliveries: Sequence[Claimed]) -> dict[UUID, str]:
    views = {view.id: view for view in find_jobs(tx, _ids(deliveries, "job_id"))}
    return {
        each.id: JobResponse.of(views[each.job_id]).model_dump_json(by_alias=True)
        for each in deliveries
        if each.job_id in views
    }


def _of_tasks(
    tx: Transaction, deliveries: Sequence[Claimed], viewer: Viewer
) -> dict[UUID, str]:
    found = find_tasks(tx, _ids(deliveries, "job_id"), viewer=viewer)
    views = {view.id: view for view in found}
    return {
        each.id: JobTaskResponse.of(views[each.task_id]).model_dump_json(by_alias=True)
        for each in deliveries
        if each.task_id in views
    }


def _of_verdicts(
    tx: Transaction, deliveries: Sequence[Claimed], viewer: Viewer
) -> dict[UUID, str]:
    ids = list(_ids(deliveries, "verdict_id"))
    views = find_verdicts(tx, ids, viewer=viewer)
    return {
        each.id: VerdictResponse.of(views[each.verdict_id]).model_dump_json(
            by_alias=True
        )
        for each in deliveries
        if each.verdict_id in views
    }


def _test(delivery: Claimed) -> str:
    return json.dumps({"webhook": str(delivery.webhook_id)})


def _ids(deliveries: Sequence[Claimed], name: str) -> set[UUID]:
    return set(_named(deliveries, name))


def _named(deliveries: Sequence[Claimed], name: str) -> Iterator[UUID]:
    for each in deliveries:
        found: UUID | None = getattr(each, name)
        if found is not None:
            yield found
