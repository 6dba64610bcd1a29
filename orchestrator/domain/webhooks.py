"""
Webhooks: on what occasions they are called, and when again after one that failed.

Decides; who calls is ``deliver/``.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class Occasion(StrEnum):
    """Why a webhook is called; the ``type`` of the message."""

    JOB_DONE = "job.done"
    JOB_TIMEOUT = "job.timeout"
    TASK_FAILED = "task.failed"
    TASK_TIMEOUT = "task.timeout"
    #: A sample's current verdict has another score or status than the one before it, or
    #: is its first.
    VERDICT_CHANGED = "verdict.changed"
    #: Somebody tries whether it works; nobody can ask to be told of it.
    TEST = "webhook.test"


#: What a webhook may be asked to tell.
TOLD = tuple(occasion for occasion in Occasion if occasion is not Occasion.TEST)

#: Before the second try, the third, and so on; the schedule that Standard Webhooks
#: proposes, up to a day. After the last one a delivery is parked.
_WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
TRIES_MAX = len(_WAITS) + 1
#: No receiver is believed that asks for more.
_WAIT_MAX = _WAITS[-1]

#: From so many failures in a row on a webhook is left alone for a while, doubled each
#: time: one that is dead costs a try now and then, however much waits for it.
RESTS_FROM = 3
_REST_FIRST = timedelta(seconds=5)
_REST_MAX = timedelta(minutes=5)


def next_wait(tries: int, *, asked: timedelta | None = None) -> timedelta | None:
    """
    Return how long a delivery waits after its *tries*-th try failed; ``None``: it is
    parked.

    Args:
        asked: For how long the receiver asked to be left alone.
    """
    if tries >= TRIES_MAX:
        return None
    return max(_WAITS[tries - 1], _bounded(asked))


def rest(failures: int, *, asked: timedelta | None = None) -> timedelta:
    """Return how long a webhook is left alone after so many *failures* in a row."""
    if failures < RESTS_FROM:
        return _bounded(asked)
    # Far below what an interval can hold.
    doubled = _REST_FIRST * (1 << min(failures - RESTS_FROM, 10))
    return max(min(doubled, _REST_MAX), _bounded(asked))


def _bounded(asked: timedelta | None) -> timedelta:
    return min(asked or timedelta(), _WAIT_MAX)
