"""
What has failed in the last week, the same faults together, and trying a kind again.
"""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response

from orchestrator.api.changes import CHANGES_MAX, Verb
from orchestrator.api.deps import CallerDep, ServicesDep, needs
from orchestrator.console.hints import for_each, hint
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, pages
from orchestrator.domain.values import Role
from orchestrator.queries.failures import LOOKED_AT_MAX, WITHIN, list_failures

router = pages()

#: Jobs of a kind that one form retries; the next come by another.
_RETRIED_MAX: Final = min(CHANGES_MAX, 100)


@router.api_route("/failures", methods=READ)
@needs(Role.VIEWER)
def show_failures(
    request: Request, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show the kinds of failure, the most frequent first."""
    with services.database.uow() as tx:
        found = list_failures(tx, viewer=caller.viewer, jobs_max=_RETRIED_MAX)
        now = tx.now
    kinds = [
        (
            kind,
            hint(
                for_each([str(job_id) for job_id in kind.job_ids], Verb.RETRY),
                "PUT",
                f"/job/bulk/{Verb.RETRY}",
                {"jobs": [str(job_id) for job_id in kind.job_ids]},
            ),
        )
        for kind in found.kinds
    ]
    return page(
        request,
        "failures.html",
        now=now,
        found=found,
        kinds=kinds,
        days=WITHIN.days,
        looked_at_max=LOOKED_AT_MAX,
        may_change=caller.role.includes(Role.USER),
    )
