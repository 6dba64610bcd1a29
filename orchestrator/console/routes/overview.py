"""
How everything is: each component and each worker in a sentence, with what to do.
"""

from __future__ import annotations

from fastapi import Request, Response

from orchestrator.api.deps import ServicesDep, needs
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, pages
from orchestrator.domain.values import Role
from orchestrator.queries.diagnose import diagnose

router = pages()


@router.api_route("/", methods=READ)
@needs(Role.VIEWER)
def show_overview(request: Request, services: ServicesDep) -> Response:
    """Show how everything is."""
    findings = list(diagnose(services.database, lease=services.engine.limits.lease))
    with services.database.uow() as tx:
        now = tx.now
    return page(request, "overview.html", now=now, findings=findings)
