from __future__ import annotations

from datetime import timedelta

from pydantic import SecretStr

from orchestrator.celery_app import build_celery_app
from orchestrator.config import Settings
from tests.fixtures.waiting import eventually


def test_ticks_are_due_whatever_the_hosts_clock_is_set_to():
    settings = Settings(broker_url=SecretStr("redis://nowhere"), tick_seconds=0.05)
    steady = build_celery_app(settings).conf.beat_schedule["tick"]["schedule"]
    # As after a step back of an hour: Celery would wait for as long.
    last_run_at = steady.now() + timedelta(hours=1)

    assert steady.is_due(last_run_at)[0]
    is_due, seconds = steady.is_due(last_run_at)
    assert not is_due
    assert 0 < seconds <= 0.05
    eventually(lambda: steady.is_due(last_run_at)[0])
