"""
Many orders, or changes of jobs, in one request: each is done, answered from before, or
refused alone.

A hundred orders at a time share a transaction, so that none is long; a request that is
cut off may be sent again where its orders have keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Final

import structlog
from fastapi import Path
from pydantic import ValidationError
from sqlalchemy.exc import DataError

from orchestrator.api.changes import Verb, change_many, look_at, match_jobs
from orchestrator.api.deps import (
    BodyLimit,
    Caller,
    CallerDep,
    Services,
    ServicesDep,
    guarded,
    needs,
)
from orchestrator.api.http.envelope import ListEnvelope
from orchestrator.api.http.errors import (
    NOT_ANSWERED,
    NOT_STORED,
    UNAVAILABLE,
    general,
    message_of,
    validation_messages,
)
from orchestrator.api.orders import read_order, view_job
from orchestrator.api.schemas.bulk import (
    ORDERS_MAX,
    BulkRequest,
    BulkResult,
    ChangeRequest,
    ChangeResult,
)
from orchestrator.api.schemas.common import OPTIONS_MAX_BYTES
from orchestrator.api.schemas.job import JobAddRequest
from orchestrator.catalog.submissions import place_orders
from orchestrator.db.access import check_sample, visible_samples
from orchestrator.db.sql_errors import told
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import AssayError
from orchestrator.domain.values import Role
from orchestrator.flow.order import JobOrder
from orchestrator.flow.ports import Engine

log = structlog.get_logger(__name__)

router = guarded("job")

#: Orders of one transaction.
_TOGETHER: Final = 100

#: A body of the most orders, of which some have all the options that one may have.
ORDERS: Final = BodyLimit(size_bytes=128 * OPTIONS_MAX_BYTES, nodes=ORDERS_MAX * 100)


@router.post("/job/bulk")
@needs(Role.USER, body=ORDERS)
def add_jobs(
    ordered: BulkRequest, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[BulkResult]:
    """Order up to 500 jobs; each has a result of its own, in their order."""
    results: dict[int, BulkResult] = {}
    sound: dict[int, JobAddRequest] = {}
    for place, order in enumerate(ordered.orders):
        try:
            sound[place] = JobAddRequest.model_validate(order)
        except ValidationError as error:
            results[place] = _off(error)
    for some in _parts(sound):
        results |= _place(some, caller, services)
    return ListEnvelope(
        response_code=HTTPStatus.OK,
        count=len(results),
        size=len(results),
        data=[results[place] for place in range(len(results))],
    )


@router.put("/job/bulk/{verb}")
@needs(Role.USER)
def change_jobs(
    verb: Annotated[Verb, Path()],
    asked: ChangeRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> ListEnvelope[ChangeResult]:
    """Cancel, retry or reanalyse up to 500 jobs; each has a result of its own."""
    with services.database.uow() as tx:
        if asked.matching is None:
            job_ids = tuple(dict.fromkeys(asked.jobs or ()))
        else:
            job_ids = match_jobs(tx, verb, asked.matching.filter(tx.now), caller)
        changes = list(look_at(tx, job_ids, caller)) if asked.dry_run else []
    if not asked.dry_run:
        changes = list(change_many(verb, job_ids, caller, services))
    results = [ChangeResult.of(each, dry_run=asked.dry_run) for each in changes]
    return ListEnvelope(
        response_code=HTTPStatus.OK,
        count=len(results),
        size=len(results),
        data=results,
    )


def _off(error: ValidationError) -> BulkResult:
    found = [
        {**mistake, "loc": ("body", *mistake["loc"])} for mistake in error.errors()
    ]
    return BulkResult.refused("invalid", validation_messages(found))


def _parts(orders: Mapping[int, JobAddRequest]) -> Iterator[dict[int, JobAddRequest]]:
    left = iter(orders.items())
    while part := dict(islice(left, _TOGETHER)):
        yield part


def _place(
    orders: Mapping[int, JobAddRequest], caller: Caller, services: Services
) -> dict[int, BulkResult]:
    try:
        with services.database.uow() as tx:
            return _place_together(tx, orders, caller, services.engine)
    except UNAVAILABLE as error:
        # Those before these are placed, and that is to be known.
        log.warning("database.unavailable", **told(error))
        refused = BulkResult.refused("unavailable", [general(NOT_ANSWERED)])
        return dict.fromkeys(orders, refused)
    except DataError:
        if len(orders) > 1:
            return _place_each(orders, caller, services)
        refused = BulkResult.refused("invalid", [general(NOT_STORED)])
        return dict.fromkeys(orders, refused)


def _place_each(
    orders: Mapping[int, JobAddRequest], caller: Caller, services: Services
) -> dict[int, BulkResult]:
    """Place those that the database takes: it has refused a value of one of them."""
    results: dict[int, BulkResult] = {}
    for place, ordered in orders.items():
        results |= _place({place: ordered}, caller, services)
    return results


def _place_together(
    tx: Transaction,
    orders: Mapping[int, JobAddRequest],
    caller: Caller,
    engine: Engine,
) -> dict[int, BulkResult]:
    results: dict[int, BulkResult] = {}
    allowed: dict[int, JobOrder] = {}
    wanted = {ordered.sample_sha256 for ordered in orders.values()}
    seen = visible_samples(tx, caller.viewer, wanted)
    for place, ordered in orders.items():
        try:
            allowed[place] = read_order(tx, ordered, caller)
            if ordered.sample_sha256 not in seen:
                # Another customer's, or not there at all.
                check_sample(tx, caller.viewer, ordered.sample_sha256)
        except AssayError as error:
            allowed.pop(place, None)
            results[place] = _refused(error)
    outcomes = place_orders(tx, list(allowed.values()), engine=engine)
    for (place, order), outcome in zip(allowed.items(), outcomes, strict=True):
        if isinstance(outcome, AssayError):
            results[place] = _refused(outcome)
        else:
            view = view_job(tx, order, outcome)
            results[place] = BulkResult.of(view, is_new=outcome.is_new)
    return results


def _refused(error: AssayError) -> BulkResult:
    return BulkResult.refused(error.code, [message_of(error)])
