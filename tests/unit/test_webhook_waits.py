"""
When a webhook is called again after a call that failed.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.domain.webhooks import TRIES_MAX, next_wait, rest


def test_waits_grow_to_a_day_and_then_it_is_parked():
    waits = [next_wait(tries) for tries in range(1, TRIES_MAX)]

    assert waits[0] == timedelta(seconds=5)
    assert waits == sorted(waits, key=lambda wait: wait or timedelta())
    assert waits[-1] == timedelta(days=1)
    assert next_wait(TRIES_MAX) is None


@pytest.mark.parametrize(("asked", "waits"), [(60, 60), (1, 5), (10**7, 86_400)])
def test_a_receiver_may_ask_for_more_up_to_a_day(asked: int, waits: int):
    found = next_wait(1, asked=timedelta(seconds=asked))

    assert found == timedelta(seconds=waits)


def test_a_webhook_that_fails_is_left_alone_twice_as_long_each_time_up_to_minutes():
    rests = [rest(failures).total_seconds() for failures in (2, 3, 4, 9, 1_000_000)]

    assert rests == [0, 5, 10, 300, 300]
    assert rest(1, asked=timedelta(minutes=20)) == timedelta(minutes=20)
