from __future__ import annotations

from workers.replica.door import Door


def test_it_opens_when_the_last_reason_is_gone():
    told: list[bool] = []
    door = Door(told.append)

    door.set("enrolment", is_open=False)
    door.set("aside", is_open=False)
    door.set("enrolment", is_open=True)
    assert told == [False]
    door.set("aside", is_open=True)

    assert told == [False, True]


def test_what_changes_nothing_is_told_to_nobody():
    told: list[bool] = []
    door = Door(told.append)

    door.set("aside", is_open=True)

    assert told == []
