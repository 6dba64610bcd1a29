"""
The window: how many assignments of a worker may be in the broker at a time.

Small, so that the order of the backlog is the database's; large enough that no slot
waits for the next one.
"""

from __future__ import annotations

from datetime import timedelta

#: A worker's finished tasks of this long are added to its window: fast analyses need
#: more of them on the way.
PACE = timedelta(seconds=1)


def window(*, slots: int, finished: int, most: int, cap: int | None) -> int:
    """
    Return how many attempts of a worker may be published and not over.

    Args:
        slots: Of its live replicas together; without one there is no window.
        finished: What it finished in the last second.
        most: ``ASSAY_WINDOW_MAX``. ``cap``: an administrator's, for this worker.
    """
    if slots == 0:
        return 0
    return min(slots * 2 + finished, most if cap is None else min(most, cap))
