"""
The audit trail over HTTP: who changed what by hand, when and from where.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import ListEnvelope, listing
from orchestrator.api.http.paging import PageDep
from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import parse_time
from orchestrator.api.schemas.audit import AuditResponse
from orchestrator.db.access import check_unlimited
from orchestrator.domain.values import Role
from orchestrator.queries.audit import AuditFilter, list_audit

router = guarded("audit")


async def _filter(
    actor: StorableText | None = None,
    action: StorableText | None = None,
    changed: Annotated[StorableText | None, Query(alias="object")] = None,
) -> AuditFilter:
    return AuditFilter(actor=actor, action=action, changed=changed)


@router.get("/audit")
@needs(Role.ADMINISTRATOR)
def get_audit(
    paging: PageDep,
    wanted: Annotated[AuditFilter, Depends(_filter)],
    caller: CallerDep,
    services: ServicesDep,
    since: str | None = None,
) -> ListEnvelope[AuditResponse]:
    """Return who changed what, the newest first; kept for a year."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        if since is not None:
            start = parse_time(since, now=tx.now, field="since")
            wanted = replace(wanted, since=start)
        page = list_audit(tx, wanted, paging)
    shaped = [AuditResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)
