"""
What a guarded route refuses when it is built.
"""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends

from orchestrator.api.deps import GuardedRoute, needs
from orchestrator.domain.values import Role


def in_a_thread() -> int:
    return 1


async def at_once(given: Annotated[int, Depends(in_a_thread)]) -> int:
    return given


def test_a_route_without_a_role_is_refused():
    def endpoint() -> None: ...

    with pytest.raises(TypeError, match="endpoint: say which role"):
        GuardedRoute("/", endpoint)


@pytest.mark.parametrize("giver", [in_a_thread, at_once])
def test_a_route_is_given_nothing_for_which_a_thread_is_taken(giver):
    @needs(Role.VIEWER)
    def endpoint(given: Annotated[int, Depends(giver)]) -> None: ...

    # Read where it is defined, a local function's annotation is text.
    endpoint.__annotations__["given"] = Annotated[int, Depends(giver)]

    with pytest.raises(TypeError, match="in_a_thread: make it async"):
        GuardedRoute("/", endpoint)
