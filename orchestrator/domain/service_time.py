"""
The service's time: the database's clock, without its jumps.

That clock jumps when a standby takes over whose clock is another, or when somebody sets
it. Every deadline is a difference of two moments, and of moments from both sides of a
jump it says nothing. So the service's time goes on as if nothing had happened, and what
it then differs by from the database's clock is worn off, too slowly for any deadline to
notice. Pure: clocks are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: What is less is the jitter of a busy machine, and nothing that a lease would notice.
JUMP = timedelta(seconds=1)

#: A correction of an hour is gone in four days.
_WORN_OFF_PER_SECOND = 0.01

#: How far a host's clock and the service's may come apart in a second without a jump:
#: they run at different speeds, and corrections wear off.
_DRIFT_PER_SECOND = 0.02

#: From here on people should know that a host's clock is wrong.
SKEW_WARN = timedelta(seconds=2)

_NONE = timedelta()


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """
    What has to be added to the database's clock.

    ``epoch``: how many jumps there were. ``offset``: at ``made_at``, a moment by the
    database's clock. ``jump``: the last one, forward or back.
    """

    epoch: int
    offset: timedelta
    made_at: datetime
    jump: timedelta = _NONE

    def left_at(self, clock: datetime) -> timedelta:
        """Return what is left of the offset when the database's clock shows *clock*."""
        worn = max(clock - self.made_at, _NONE) * _WORN_OFF_PER_SECOND
        if worn >= abs(self.offset):
            return _NONE
        return self.offset - worn if self.offset > _NONE else self.offset + worn

    def time_at(self, clock: datetime) -> datetime:
        """Return the service's time when the database's clock shows *clock*."""
        return clock + self.left_at(clock)

    def after(self, jump: timedelta, *, clock: datetime) -> Correction:
        """Return the correction that takes back a *jump* noticed at *clock*."""
        return Correction(
            epoch=self.epoch + 1,
            offset=self.left_at(clock) - jump,
            made_at=clock,
            jump=jump,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """
    The service's time as one process read it.

    ``asked`` and ``answered``: seconds of its own clock, which never jumps; the
    database looked at its clock somewhere in between.
    """

    epoch: int
    time: datetime
    asked: float
    answered: float


def is_doubtful(present: Reading, former: Reading | None) -> bool:
    """Whether more evidence is needed to say that no jump lies between two readings."""
    if former is None or former.epoch != present.epoch:
        return True
    earliest, latest = _bounds(present, former)
    return not earliest - JUMP <= present.time <= latest + JUMP


def find_jump(
    present: Reading, former: Reading | None, *, newest: datetime
) -> timedelta:
    """
    Return by how much the database's clock jumped; zero unless it certainly did.

    Args:
        former: From before the database was asked for *present*.
        newest: What anybody has stored last as the present time, read before *present*.
    """
    if former is not None and former.epoch != present.epoch:
        former = None
    known = newest if former is None else max(newest, former.time)
    if present.time < known - JUMP:
        # It has been later than this already: whatever our own clock says.
        expected = newest if former is None else max(newest, _expected(present, former))
        return present.time - expected
    if former is None:
        return _NONE
    _, latest = _bounds(present, former)
    if present.time <= latest + JUMP or newest > latest + JUMP:
        # In the second case others lived through that time: our own clock stood still.
        return _NONE
    return present.time - _expected(present, former)


def _expected(present: Reading, former: Reading) -> datetime:
    elapsed = (present.asked + present.answered - former.asked - former.answered) / 2
    return former.time + timedelta(seconds=elapsed)


def _bounds(present: Reading, former: Reading) -> tuple[datetime, datetime]:
    shortest = present.asked - former.answered
    longest = present.answered - former.asked
    drift = longest * _DRIFT_PER_SECOND
    return (
        former.time + timedelta(seconds=shortest - drift),
        former.time + timedelta(seconds=longest + drift),
    )


def certain_skew(theirs: datetime, *, asked: datetime, answered: datetime) -> timedelta:
    """
    Return by how much a host's clock is at least ahead of the database's.

    Args:
        theirs: What the database's showed at some moment between the two others, which
            are the host's.
    """
    ahead, behind = asked - theirs, theirs - answered
    certain = max(ahead, behind, timedelta())
    return certain if ahead > behind else -certain
