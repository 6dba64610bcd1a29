"""
Links between samples over HTTP.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import Envelope, ListEnvelope, listing, single
from orchestrator.api.http.paging import PageDep
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.api.schemas.link import (
    LinkAddRequest,
    LinkResponse,
    LinkSummaryResponse,
)
from orchestrator.catalog.links import add_link
from orchestrator.db.access import check_customer
from orchestrator.db.users import get_customer_ids, get_user_ids
from orchestrator.domain.values import Role
from orchestrator.queries import links

router = guarded("link")

LinkID = Annotated[UUID, Path(alias="id")]


@router.get("/sample/{sha256}/link")
@needs(Role.VIEWER)
def list_links(
    sha256: Sha256Path, paging: PageDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[LinkResponse]:
    """Return the links of a sample, the newest first."""
    with services.database.uow() as tx:
        page = links.list_links(tx, sha256, paging, viewer=caller.viewer)
    shaped = [LinkResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/sample/{sha256}/link/summary")
@needs(Role.VIEWER)
def summarise_links(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Envelope[LinkSummaryResponse]:
    """Count the newest thousand links of a sample by type."""
    with services.database.uow() as tx:
        summary = links.summarise_links(tx, sha256, viewer=caller.viewer)
    return single(LinkSummaryResponse.of(summary))


@router.get("/sample/{sha256}/link/{id}")
@needs(Role.VIEWER)
def get_link(
    sha256: Sha256Path, link_id: LinkID, caller: CallerDep, services: ServicesDep
) -> Envelope[LinkResponse]:
    """Return one link."""
    with services.database.uow() as tx:
        view = links.get_link(tx, sha256, link_id, viewer=caller.viewer)
    return single(LinkResponse.of(view))


@router.post("/sample/{sha256}/link")
@needs(Role.ANALYZER)
def post_link(
    sha256: Sha256Path, given: LinkAddRequest, caller: CallerDep, services: ServicesDep
) -> Envelope[LinkResponse]:
    """Add a link; the same one again within ten minutes is the first one."""
    with services.database.uow() as tx:
        customer_id = caller.customer_id
        if given.customer is not None:
            (customer_id,) = get_customer_ids(tx, [given.customer])
        check_customer(caller.viewer, customer_id)
        acl = get_user_ids(tx, given.acl)
        new = given.new(sha256, customer_id=customer_id, acl=acl)
        link_id = add_link(tx, new, user_id=caller.user_id)
        view = links.get_link(tx, sha256, link_id, viewer=caller.viewer)
    return single(LinkResponse.of(view))
