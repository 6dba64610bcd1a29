"""
Of what an address asks to be told: the filters of every stream.
"""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query

from orchestrator.api.events.event import Wanted
from orchestrator.api.http.storable import StorableText
from orchestrator.api.schemas.common import NAME_MAX

#: Of one kind; a hundred are more than anybody watches by name.
_FILTERS_MAX: Final = 100

Name = Annotated[StorableText, Query(max_length=NAME_MAX)]


async def get_wanted(
    job: Annotated[list[UUID] | None, Query(max_length=_FILTERS_MAX)] = None,
    sample: Annotated[list[Name] | None, Query(max_length=_FILTERS_MAX)] = None,
    state: Annotated[list[Name] | None, Query(max_length=_FILTERS_MAX)] = None,
    worker: Annotated[list[Name] | None, Query(max_length=_FILTERS_MAX)] = None,
) -> Wanted:
    """Read the filters; without one all that changes is wanted."""
    return Wanted(
        jobs=frozenset(job or ()),
        samples=frozenset(sample or ()),
        states=frozenset(state or ()),
        workers=frozenset(worker or ()),
    )


WantedDep = Annotated[Wanted, Depends(get_wanted)]
