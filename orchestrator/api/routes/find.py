"""
What somebody may mean by a few characters of an id, a hash or a name.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Query

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import ListEnvelope
from orchestrator.api.http.storable import StorableText
from orchestrator.api.schemas.find import FoundResponse
from orchestrator.domain.values import Role
from orchestrator.queries.find import WORD_MAX, WORD_MIN, find

router = guarded("find")

Word = Annotated[StorableText, Query(min_length=WORD_MIN, max_length=WORD_MAX)]


@router.get("/find")
@needs(Role.VIEWER)
def get_found(
    q: Word, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[FoundResponse]:
    """Return what may be meant, at most 20, what is meant whole first."""
    with services.database.uow() as tx:
        found = find(tx, q, viewer=caller.viewer)
    return ListEnvelope(
        response_code=HTTPStatus.OK,
        count=len(found),
        size=len(found),
        data=list(map(FoundResponse.of, found)),
    )
