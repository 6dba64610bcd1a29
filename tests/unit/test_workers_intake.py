from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pytest

from orchestrator.contracts.assignment import celery_id, celery_task_name
from orchestrator.contracts.node.messages import Parcel
from orchestrator.contracts.signature import assignment_signature
from orchestrator.contracts.wire import SIGNATURE_HEADER, TOKEN_HEADER
from tests.fixtures.waiting import eventually
from workers.replica.gate import Gate, Message
from workers.replica.inbox import Bell, Inbox, Taker
from workers.replica.intake import Intake

SECRET = "a secret"
SLOTS = 2


def parcel(note: Callable[[], None] = lambda: None, *, secret: str = SECRET) -> Parcel:
    task_id = celery_id(uuid4(), 1)
    body = json.dumps([[], {"assignment": {}}, {}]).encode()
    signature = assignment_signature(secret, celery_id=task_id, token="t", body=body)
    return Parcel(
        content=body,
        headers={
            "task": celery_task_name("actor"),
            "id": task_id,
            TOKEN_HEADER: "t",
            SIGNATURE_HEADER: signature,
        },
        content_type="application/json",
        content_encoding="utf-8",
        note_taken_up=note,
    )


class Heap:
    """An inbox that hands out what lies in it, as much as there is room for."""

    def __init__(self) -> None:
        self.lying: list[Parcel] = []
        self.rooms: list[int] = []
        self.opened = 0
        self.broken = False
        self._bell = Bell()

    def open(self, bell: Bell) -> Inbox:
        self.opened += 1
        self._bell = bell
        return self

    def take(self, taker: Taker) -> Sequence[Parcel]:
        if self.broken:
            self.broken = False
            raise ConnectionResetError
        room = taker.room if taker.is_open else 0
        taken, self.lying = self.lying[:room], self.lying[room:]
        if taken:
            self.rooms.append(room)
        else:
            self._bell.wait(0.01)
        return taken

    def close(self) -> None:
        """There is nothing to let go of."""


class Crew:
    """What the slots do: nothing, until they are let."""

    def __init__(self) -> None:
        self.begun: list[Message] = []
        self.waiting: list[Message] = []
        self.troubles: list[str] = []
        self.may_end = threading.Semaphore(0)
        self.rests = 0

    def perform(self, message: Message) -> None:
        self.begun.append(message)
        self.may_end.acquire()

    def rest(self) -> None:
        self.rests += 1

    def received(self, message: Message) -> None:
        self.waiting.append(message)

    def lost(self, error: Exception) -> None:
        self.troubles.append(type(error).__name__)

    def regained(self) -> None:
        self.troubles.append("regained")


@pytest.fixture
def heap() -> Heap:
    return Heap()


@pytest.fixture
def crew() -> Crew:
    return Crew()


@pytest.fixture
def intake(heap: Heap, crew: Crew) -> Iterator[Intake]:
    new = Intake(
        heap.open,
        Gate("actor", SECRET),
        slots=SLOTS,
        perform=crew.perform,
        rest=crew.rest,
        watcher=crew,
    )
    new.start()
    yield new
    crew.may_end.release(1000)
    new.end(within=60)


def test_as_many_wait_as_there_are_slots_and_no_more(
    intake: Intake, heap: Heap, crew: Crew
):
    heap.lying = [parcel() for _ in range(10)]
    intake.set_open(True)

    eventually(lambda: len(crew.begun) == SLOTS and intake.room == 0)

    assert len(crew.waiting) == 2 * SLOTS
    assert len(heap.lying) == 10 - 2 * SLOTS


def test_whoever_finishes_much_is_given_more_at_a_time(
    intake: Intake, heap: Heap, crew: Crew
):
    crew.may_end.release(10_000)
    heap.lying = [parcel() for _ in range(1000)]
    intake.set_open(True)

    eventually(lambda: len(crew.begun) == 1000)

    assert SLOTS < max(heap.rooms) <= 32 * SLOTS


def test_a_slot_without_work_rests(intake: Intake, heap: Heap, crew: Crew):
    eventually(lambda: crew.rests == SLOTS)
    crew.may_end.release(1000)
    heap.lying = [parcel() for _ in range(100)]
    intake.set_open(True)

    # Once after each time in which there was something, and not while it waits.
    eventually(lambda: len(crew.begun) == 100 and crew.rests > SLOTS)
    assert crew.rests < 100


def test_nothing_is_taken_while_it_is_shut(intake: Intake, heap: Heap, crew: Crew):
    heap.lying = [parcel()]

    assert not intake.is_open
    intake.set_open(True)
    eventually(lambda: len(crew.begun) == 1)
    intake.set_open(False)
    heap.lying = [parcel()]
    crew.may_end.release(1000)

    assert not intake.is_open
    assert len(crew.begun) == 1


def test_what_is_not_ours_is_dropped_and_the_next_is_done(
    intake: Intake, heap: Heap, crew: Crew
):
    noted: list[str] = []
    heap.lying = [
        parcel(lambda: noted.append("forged"), secret="another"),
        parcel(lambda: noted.append("ours")),
    ]
    intake.set_open(True)

    eventually(lambda: len(crew.begun) == 1)

    assert noted == ["forged", "ours"]
    assert len(crew.waiting) == 1


def test_a_broker_that_was_lost_is_asked_again(intake: Intake, heap: Heap, crew: Crew):
    heap.broken = True
    intake.set_open(True)
    heap.lying = [parcel()]

    eventually(lambda: "regained" in crew.troubles)
    eventually(lambda: len(crew.begun) == 1)

    assert crew.troubles == ["ConnectionResetError", "regained"]
    assert heap.opened == 2


def test_one_that_fails_takes_no_slot_along(heap: Heap, crew: Crew):
    def fail(message: Message) -> None:
        crew.perform(message)
        raise ValueError("whatever")

    crew.may_end.release(1000)
    new = Intake(
        heap.open,
        Gate("actor", SECRET),
        slots=1,
        perform=fail,
        rest=crew.rest,
        watcher=crew,
    )
    new.start()
    heap.lying = [parcel() for _ in range(5)]
    new.set_open(True)

    eventually(lambda: len(crew.begun) == 5)

    new.end(within=60)
