"""
``limit``, ``offset`` and ``sortBy`` of every list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query

from orchestrator.queries.lists import LIST_MAX, Order, Paging

#: The largest number that every JSON client holds exactly. With a page added to it, the
#: database still takes it.
OFFSET_MAX = 2**53 - 1
LIMIT_DEFAULT = 25

#: Keys of one order: no list has as many.
_KEYS_MAX = 20

Limit = Annotated[
    int,
    Query(ge=0, le=LIST_MAX, description=f"At most this many; 0: up to {LIST_MAX}."),
]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX, description="Skip this many.")]
SortBy = Annotated[
    list[str] | None,
    Query(
        alias="sortBy",
        max_length=_KEYS_MAX,
        description="Fields in order; a leading '-' turns one.",
    ),
]


def read_order(names: Sequence[str]) -> tuple[Order, ...]:
    """Read sort keys as they came; whether the list has them is the list's to say."""
    return tuple(
        Order(name=name.removeprefix("-"), descending=name.startswith("-"))
        for name in names
    )


async def get_page(limit: Limit = LIMIT_DEFAULT, offset: Offset = 0) -> Paging:
    """Read the paging of a list with only one order."""
    return Paging(limit=limit, offset=offset)


async def get_paging(
    limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, sort_by: SortBy = None
) -> Paging:
    """Read the paging of a list."""
    return Paging(limit=limit, offset=offset, order=read_order(sort_by or ()))


PageDep = Annotated[Paging, Depends(get_page)]
PagingDep = Annotated[Paging, Depends(get_paging)]
