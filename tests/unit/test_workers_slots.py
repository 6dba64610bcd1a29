from __future__ import annotations

import random
import threading
import time

from workers.replica.slots import Slots

COUNT = 3


def test_whoever_is_alone_has_nobody_beside_and_nobody_waits_for_ever():
    slots = Slots(COUNT)
    running: set[int] = set()
    beside: list[int] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        alone = number % 4 == 0
        time.sleep(random.random() / 50)
        with slots.taken(alone=alone) as slot:
            with lock:
                assert slot not in running
                running.add(slot)
            for _ in range(3):
                time.sleep(0.001)
                with lock:
                    if alone:
                        beside.append(len(running) - 1)
                    assert len(running) <= COUNT
            with lock:
                running.discard(slot)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not any(thread.is_alive() for thread in threads)
    assert len(beside) == 30
    assert set(beside) == {0}


def test_whoever_wants_all_is_not_passed_by_those_that_want_one_again_and_again():
    slots = Slots(2)
    is_over = threading.Event()
    had_all = threading.Event()

    def work_on() -> None:
        while not is_over.is_set():
            with slots.taken():
                # Held while the others wait, given back and taken again at once.
                time.sleep(0.001)

    def wait_for_all() -> None:
        with slots.taken(alone=True):
            had_all.set()

    targets = [*[work_on] * 6, wait_for_all]
    for target in targets:
        threading.Thread(target=target, daemon=True).start()
    was_let_in = had_all.wait(30)
    is_over.set()

    assert was_let_in
