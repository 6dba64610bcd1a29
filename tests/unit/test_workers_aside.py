from __future__ import annotations

import time

from workers.replica.aside import Aside, pause_seconds, wait


def test_the_third_trouble_in_a_row_costs_a_pause_and_each_further_a_longer_one():
    pauses = [pause_seconds(count) for count in range(1, 11)]

    assert pauses == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_pause_stays_within_bounds_however_long_it_goes_on():
    assert pause_seconds(10**6) == 30


def test_a_success_begins_the_count_anew():
    aside = Aside()
    for _ in range(5):
        aside.note_trouble("full")

    aside.note_success()

    assert aside.note_trouble("full") == 0


def test_all_slots_step_aside():
    aside = Aside()
    for _ in range(3):
        aside.note_trouble("full")

    assert 0 < aside.seconds_left() <= 1


def test_a_pause_ends_when_the_replica_does():
    begun = time.monotonic()

    wait(60, unless=lambda: True)

    assert time.monotonic() - begun < 30
