from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from orchestrator.contracts.assignment import parse_celery_id
from workers.replica.attempts import Attempts

TASK = UUID("0197a000-0000-7000-8000-000000000001")


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


def states(attempts: Attempts) -> list[str]:
    return [held.state for held in attempts.held()]


def test_an_attempt_is_listed_from_delivery_until_its_report_is_confirmed(attempts):
    seen = [states(attempts)]

    attempts.receive(TASK, 1, "token")
    seen.append(states(attempts))
    attempt = attempts.begin(TASK, 1, "token")
    seen.append(states(attempts))
    attempts.end(attempt)
    attempts.leave(attempt, reported=True)
    seen.append(states(attempts))
    attempts.forget(attempt)
    seen.append(states(attempts))

    assert seen == [[], ["received"], ["running"], ["unconfirmed"], []]


def test_a_second_copy_of_an_attempt_in_hand_is_refused(attempts):
    attempts.begin(TASK, 1, "token")

    assert attempts.begin(TASK, 1, "token") is None


def test_another_attempt_of_the_same_task_is_not_a_copy(attempts):
    attempts.begin(TASK, 1, "token")

    assert attempts.begin(TASK, 2, "token") is not None


def test_an_attempt_that_is_no_longer_in_hand_may_come_again(attempts):
    """Its report may have been lost with the broker: only we would never know."""
    attempt = attempts.begin(TASK, 1, "token")
    attempts.leave(attempt, reported=False)

    assert attempts.begin(TASK, 1, "token") is not None


def test_stopping_drops_what_waits(attempts):
    attempts.receive(TASK, 1, "token")

    stopped = attempts.stop([(TASK, 1)])

    assert stopped == 1
    assert states(attempts) == []
    assert attempts.begin(TASK, 1, "token") is None


def test_stopping_ends_what_runs_and_stops_listing_it(attempts):
    attempt = attempts.begin(TASK, 1, "token")

    attempts.stop([(TASK, 1), (TASK, 2)])

    assert attempt.stopped.is_set()
    assert attempt.over
    assert states(attempts) == []


def test_giving_up_what_waits_returns_it_once_with_its_token(attempts):
    attempts.receive(TASK, 1, "token")
    attempts.begin(uuid4(), 1, "other")

    given_up = attempts.drop_unstarted()

    assert [(attempt.key, attempt.token) for attempt in given_up] == [
        ((TASK, 1), "token")
    ]
    assert attempts.drop_unstarted() == []


def test_an_interrupted_attempt_is_not_over(attempts):
    """It will be reported as released: somebody else shall have it."""
    attempt = attempts.begin(TASK, 1, "token")

    attempts.interrupt()

    assert attempt.stopped.is_set()
    assert not attempt.over


def test_a_message_that_celery_dropped_is_forgotten(attempts):
    attempts.receive(TASK, 1, "token")

    attempts.forget_unstarted(TASK, 1)

    assert states(attempts) == []


def test_what_runs_is_not_forgotten_with_a_copy_that_celery_dropped(attempts):
    attempts.begin(TASK, 1, "token")

    attempts.forget_unstarted(TASK, 1)

    assert states(attempts) == ["running"]


def test_it_is_idle_only_when_every_attempt_was_left(attempts):
    attempt = attempts.begin(TASK, 1, "token")
    attempts.end(attempt)

    assert not attempts.wait_until_idle(0.01)
    attempts.leave(attempt, reported=True)
    assert attempts.wait_until_idle(0.01)


@pytest.mark.parametrize("name", ["", "x", f"{TASK}", f"{TASK}.x", "x.1", "."])
def test_a_celery_id_that_is_not_ours_is_no_key(name):
    assert parse_celery_id(name) is None


def test_a_celery_id_of_ours_is_a_key():
    assert parse_celery_id(f"{TASK}.12") == (TASK, 12)
