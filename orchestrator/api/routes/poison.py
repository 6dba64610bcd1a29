"""
Poison over HTTP: listing what workers die of, and clearing it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import Envelope, ListEnvelope, listing, single
from orchestrator.api.http.paging import PageDep
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.api.schemas.poison import PoisonCleared, PoisonResponse
from orchestrator.catalog import poison as catalog
from orchestrator.db.access import check_unlimited
from orchestrator.domain.values import Role
from orchestrator.queries import poison as queries
from orchestrator.queries import workers

router = guarded("poison")

Named = Annotated[str, Path(alias="idOrShortName")]


@router.get("/poison")
@needs(Role.ADMINISTRATOR)
def list_poison(
    paging: PageDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[PoisonResponse]:
    """Return the samples that kill workers and are not given to them, newest first."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        page = queries.list_poison(tx, paging)
    shaped = [PoisonResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.put("/poison/{sha256}/{idOrShortName}/clear")
@needs(Role.ADMINISTRATOR)
def clear_poison(
    sha256: Sha256Path, named: Named, caller: CallerDep, services: ServicesDep
) -> Envelope[PoisonCleared]:
    """Let a worker look at a sample again; a repeat changes nothing."""
    with services.database.uow() as tx:
        name = workers.get_short_name(tx, named)
        cleared = catalog.clear_poison(tx, sha256, name, actor=caller.actor)
    return single(PoisonCleared(cleared=cleared))
