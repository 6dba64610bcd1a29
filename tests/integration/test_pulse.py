"""
What the service did in the last minutes, written down once a minute.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.db import pulse
from orchestrator.queries.pulse import list_minutes
from tests.fixtures.engine import Rig

LEASE = timedelta(seconds=15)


def _record(rig: Rig) -> None:
    with rig.database.uow() as tx:
        pulse.record(tx, lease=LEASE)


def test_a_minute_is_written_once_and_tells_what_happened_in_it(rig: Rig):
    rig.worker("alpha", slots=3)
    _record(rig)
    _record(rig)
    rig.execute("UPDATE pulse SET at = at - interval '2 minutes'")
    first, second = rig.job(b"a"), rig.job(b"b")
    for job, kind in ((first, "success"), (second, "failed")):
        rig.dispatch()
        rig.tell(rig.task(job), kind)
    rig.job(b"waits")
    rig.age(40)
    rig.heartbeat("alpha-1@host", slots=3)

    _record(rig)

    with rig.database.uow() as tx:
        (minute,) = list_minutes(tx, since=tx.now - timedelta(hours=1))
    assert (minute.enqueued, minute.ended, minute.failed) == (1.5, 1.0, 0.5)
    assert minute.oldest_seconds == pytest.approx(40, abs=30)
    assert minute.slots == 3


def test_a_service_without_any_task_has_a_pulse_too(rig: Rig):
    _record(rig)
    rig.execute("UPDATE pulse SET at = at - interval '1 minute'")
    _record(rig)

    with rig.database.uow() as tx:
        (minute,) = list_minutes(tx, since=tx.now - timedelta(hours=1))
    assert (minute.enqueued, minute.oldest_seconds, minute.slots) == (0, 0, 0)
