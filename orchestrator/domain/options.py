"""
Which options a worker is given: those for everybody, and those that name it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def options_of(
    worker: str, options: Mapping[str, Any], *, workers: Collection[str]
) -> dict[str, Any]:
    """
    Return the options of one worker.

    ``strings.depth`` is the option ``depth`` of the worker ``strings`` alone, over one
    for everybody; a name that begins with no worker's is for everybody as it is.

    Args:
        workers: The short names of all that are registered.
    """
    shared: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in options.items():
        first, _, rest = name.partition(".")
        if not rest or first not in workers:
            shared[name] = value
        elif first == worker:
            own[rest] = value
    return {**shared, **own}
