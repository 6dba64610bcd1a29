"""
What the contract has and this service has not, on purpose: 404, and a word about it.

Without these, a path that serves another method would answer 405, which the contract's
clients take for a fault.
"""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter

from orchestrator.api.deps import SAMPLEDB_PREFIX
from orchestrator.domain.errors import NotFoundError

router = APIRouter(prefix=SAMPLEDB_PREFIX, include_in_schema=False)

_UNSUPPORTED = (
    ("POST", "/sample/search"),
    ("DELETE", "/sample/{sha256}"),
    ("GET", "/sample/{sha256}/fact"),
    ("POST", "/sample/{sha256}/fact"),
    ("POST", "/submission/search"),
    ("POST", "/submission/statistics"),
    ("GET", "/servicetask"),
    ("POST", "/servicetask/search"),
    ("POST", "/servicetask/reindex"),
    ("GET", "/servicetask/{taskID}"),
    ("DELETE", "/servicetask/{taskID}"),
)


async def refuse() -> NoReturn:
    """
    Say that there is no such operation.

    Raises:
        NotFoundError: Always.
    """
    raise NotFoundError(
        "this service has no advanced searches, statistics, facts, service tasks and"
        " deleting of samples; its lists take keywords"
    )


for _method, _path in _UNSUPPORTED:
    router.add_api_route(_path, refuse, methods=[_method], response_model=None)
