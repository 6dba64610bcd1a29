"""
Tells every transaction the service's time, and under which revision of the registry it
begins; and writes down when the database's clock jumped.

Whoever notices it first writes it, in a transaction before its own: nothing is judged,
and nothing is stored, by a time from beyond a jump.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, Row, TextClause, text, update

from orchestrator.db.tables import service_clock, stream
from orchestrator.domain.service_time import (
    SKEW_WARN,
    Correction,
    Reading,
    certain_skew,
    find_jump,
    is_doubtful,
)

#: Goes on while the machine sleeps, as the database's clock seems to. Seconds.
_OWN_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: From one look at the host's clock to the next. Seconds.
_HOST_CLOCK_SECONDS = 60.0

#: Three ticks: whoever lived before notices a jump within one. Seconds.
_NOVICE_SECONDS = 1.5

#: A reading that took longer says too little to compare later ones with. Seconds.
_EXACT_SECONDS = 1.0

# Not ``now()``: of a transaction that began before a jump it lies beyond.
_CLOCK = "clock_timestamp() AS clock, c.epoch, c.correction, c.made_at, c.jump"
_READ = text(f"SELECT {_CLOCK} FROM service_clock c")

# With what every transaction has to know beside the time.
_BEGIN = text(f"SELECT {_CLOCK}, r.revision FROM service_clock c, registry r")

# One statement sees what was committed before it looks at the clock.
_READ_NEWEST = text(
    f"SELECT {_CLOCK}, greatest(s.canary_at, s.dispatched_at) AS newest"
    " FROM service_clock c, stream s"
)
_LOCK = text("SELECT 1 FROM stream FOR UPDATE")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a transaction knows first: its time, and the registry's revision."""

    now: datetime
    revision: UUID


class ServiceClock:
    """
    What a process knows of the time; one per :class:`Database`, shared by its threads.
    """

    def __init__(self) -> None:
        self._former: Reading | None = None
        self._began: float | None = None
        self._watch = _HostClock()

    @property
    def is_witness(self) -> bool:
        """
        Whether others may go by what this process takes for the present time.

        One that has just begun could not have noticed a jump. If it said what time it
        is, those who could would take it for one who has lived through all that time.
        """
        if self._began is None:
            return False
        return time.clock_gettime(_OWN_CLOCK) - self._began >= _NOVICE_SECONDS

    def read(self, connection: Connection) -> Beginning | None:
        """
        Return the service's time, which is that of this transaction from now on.

        ``None``: the database's clock has jumped, and :meth:`correct` has to come
        first.
        """
        asked = self._watch.ask()
        # Another thread may remember a later one while we read.
        former = self._former
        row, present = _read(connection, _BEGIN)
        revision = row.revision
        self._watch.compare(row.clock, asked)
        if is_doubtful(present, former):
            row, present = _read(connection, _READ_NEWEST)
            if find_jump(present, former, newest=row.newest):
                return None
        self._remember(present)
        return Beginning(_correction(row).time_at(row.clock), revision)

    def correct(self, engine: Engine) -> None:
        """
        Write down by how much the clock jumped, unless somebody else just did.

        It is a gap in reading, too: who was heard when is known to a second only.
        """
        with engine.begin() as connection:
            connection.execute(_LOCK)
            former = self._former
            row, present = _read(connection, _READ_NEWEST)
            jump = find_jump(present, former, newest=row.newest)
            if not jump:
                self._remember(present)
                return
            corrected = _correction(row).after(jump, clock=row.clock)
            now = corrected.time_at(row.clock)
            connection.execute(
                update(service_clock).values(
                    epoch=corrected.epoch,
                    correction=corrected.offset,
                    made_at=corrected.made_at,
                    jump=corrected.jump,
                )
            )
            connection.execute(update(stream).values(gap_ended_at=now))

    def _remember(self, present: Reading) -> None:
        if self._began is None:
            self._began = present.asked
        former = self._former
        is_exact = present.answered - present.asked <= _EXACT_SECONDS
        if is_exact or former is None or former.epoch != present.epoch:
            self._former = present


class _HostClock:
    """
    Says once a minute that this host's clock is wrong: the times in its log are, and
    those that Flower shows.
    """

    def __init__(self) -> None:
        # A command is over before.
        self._next = time.monotonic() + _HOST_CLOCK_SECONDS

    def ask(self) -> datetime | None:
        """Return this host's time if a minute is over."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _HOST_CLOCK_SECONDS
        return _host_time()

    def compare(self, theirs: datetime, asked: datetime | None) -> None:
        """Compare with what the database's clock showed after *asked*."""
        if asked is None:
            return
        ahead = certain_skew(theirs, asked=asked, answered=_host_time())
        if abs(ahead) >= SKEW_WARN:
            log.warning(
                "clock.skewed",
                ahead_seconds=round(ahead.total_seconds(), 1),
                remedy="let this host and the database's keep time by NTP",
            )


def _host_time() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  (the clock in question)


def get_correction(connection: Connection) -> tuple[Correction, datetime]:
    """Return the correction that stands, and what the database's clock shows."""
    row, _ = _read(connection, _READ)
    return _correction(row), row.clock


def _read(connection: Connection, statement: TextClause) -> tuple[Row[Any], Reading]:
    asked = time.clock_gettime(_OWN_CLOCK)
    row = connection.execute(statement).one()
    answered = time.clock_gettime(_OWN_CLOCK)
    reading = Reading(
        epoch=row.epoch,
        time=_correction(row).time_at(row.clock),
        asked=asked,
        answered=answered,
    )
    return row, reading


def _correction(row: Row[Any]) -> Correction:
    return Correction(
        epoch=row.epoch, offset=row.correction, made_at=row.made_at, jump=row.jump
    )
