"""
What follows the loss of an attempt: another one after a back-off, or the end; and how
long one that was given back waits.

Decides; ``domain/states.py`` makes the change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

#: Base of the back-off: 2 s after the first loss, 4 s after the second, and so on.
BACKOFF_BASE_SECONDS = 2

#: An attempt after so many losses has a replica to itself: if that dies too, it dies of
#: this sample.
ALONE_AFTER_LOSSES = 2

#: A replica that could take what others gave back is found within this time.
RELEASE_MAX_SECONDS = 60

#: A free loss is the orchestrator's own silence: trying again need not wait.
FREE = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryDecision:
    """
    ``again``: whether there is another attempt. ``losses``: the new count.

    ``delay``: how long the next attempt stays in the backlog.
    """

    again: bool
    losses: int
    delay: timedelta


def after_loss(*, losses: int, max_losses: int, free: bool = False) -> RetryDecision:
    """
    Decide what follows one more loss.

    Args:
        losses: Those before this one.
        max_losses: The one that reaches this ends the task.
        free: The silence was ours (reports stood unread): it uses no budget.

    With ``max_losses`` 3: next attempt after 2 s, next attempt after 4 s, the end.
    """
    if free:
        return RetryDecision(again=True, losses=losses, delay=FREE)
    counted = losses + 1
    delay = timedelta(seconds=BACKOFF_BASE_SECONDS**counted)
    return RetryDecision(again=counted < max_losses, losses=counted, delay=delay)


def after_release(*, before: int) -> timedelta:
    """
    Return how long an attempt that was given back stays in the backlog.

    Args:
        before: Attempts that ended before it and were no losses.

    0, 1, 2, 4 s and so on: a replica that stops holds nobody up, and what no replica
    can take, because its scratch is too small, does not go round all day.
    """
    if before < 1:
        return FREE
    # The exponent is bounded: two to the thousandth is no float any more.
    return timedelta(seconds=min(2 ** min(before - 1, 10), RELEASE_MAX_SECONDS))
