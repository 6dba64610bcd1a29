"""
The query string as a whole: how many parameters, and none twice that is no list.

Its length is that of the head, ``server.py``; what a parameter means is its route's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant

from orchestrator.domain.errors import InvalidError

#: A hundred keywords, and as much again.
PARAMETERS_MAX = 200


def has_too_many(query_string: bytes) -> bool:
    """Whether a query string names more parameters than anybody needs."""
    return query_string.count(b"&") >= PARAMETERS_MAX


def single_parameters(dependant: Dependant) -> frozenset[str]:
    """Return the parameters of a route that may come once."""
    own = {
        field.alias
        for field in dependant.query_params
        if not _is_list(field.field_info.annotation)
    }
    return frozenset(own).union(*map(single_parameters, dependant.dependencies))


def check_parameters(request: Request, singles: Iterable[str]) -> None:
    """
    Refuse a parameter that comes twice and is no list.

    Raises:
        InvalidError: Which of them counts, nobody could say.
    """
    for name in singles:
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidError("comes more than once; send it once", field=name)


def _is_list(annotation: object) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
