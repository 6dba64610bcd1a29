"""
The process that says what a file looks like: a real one, with Magika, that is killed
and stopped; and the API without one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.classify import SecondOpinion, decide
from orchestrator.classify.second_opinion import PATIENCE_SECONDS
from orchestrator.contracts.opinion import Opinion
from orchestrator.domain.values import Decider
from tests.fixtures.waiting import eventually

GO = b"""\
package main

import (
\t"fmt"
\t"net/http"
)

func handler(w http.ResponseWriter, r *http.Request) {
\tfmt.Fprintf(w, "hello %s", r.URL.Path[1:])
}

func main() {
\thttp.HandleFunc("/", handler)
\tif err := http.ListenAndServe(":8080", nil); err != nil {
\t\tpanic(err)
\t}
}
"""
SQL = b"SELECT id, name FROM users WHERE name LIKE 'a%' ORDER BY id;\n" * 20

#: What a machine with other work may add to fifty milliseconds: a thread's turn.
TURN_SECONDS = 1.0

_START = """
import os, signal, sys
from orchestrator.classify import SecondOpinion
{before}
second = SecondOpinion()
second.start()
second.wait(60)
print(second.pid, second.trouble and second.trouble.detail, flush=True)
print(second.ask(b"a = 1", b"a = 1", 5), flush=True)
{after}
"""


def ask(second: SecondOpinion, content: bytes) -> Opinion | None:
    return second.ask(content, content, len(content))


def answers(second: SecondOpinion, content: bytes = GO) -> Opinion:
    """Ask until there is an answer: this machine may be busy for fifty milliseconds."""
    return eventually(lambda: ask(second, content))


def run(*, before: str = "", after: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _START.format(before=before, after=after)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """Return what a started process printed, once it has ended."""
    return process.communicate()[0].splitlines()


@pytest.fixture
def second() -> Iterator[SecondOpinion]:
    second = SecondOpinion()
    second.start()
    second.wait(120)
    yield second
    second.close()


def test_it_says_what_a_text_looks_like_and_how_sure_that_is(second: SecondOpinion):
    opinion = answers(second)

    assert opinion.label == "go"
    assert opinion.score > 0.9
    assert second.trouble is None


def test_a_text_that_rules_do_not_know_is_what_it_looks_like(second: SecondOpinion):
    answers(second)

    found = eventually(
        lambda: next(
            found
            for found in [decide(SQL, SQL, len(SQL), asked=second)]
            if found.decided_by is Decider.MAGIKA
        )
    )

    assert (found.kind.type, found.kind.super_type) == ("text", "text")
    assert found.kind.mime_type == "application/sql"
    assert 0.8 <= found.confidence <= 1


def test_it_is_shut_in_as_an_analysis_is(second: SecondOpinion):
    process = psutil.Process(second.pid)
    status = Path(f"/proc/{second.pid}/status").read_text()

    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    for thread in process.threads():
        threads = Path(f"/proc/{second.pid}/task/{thread.id}/status").read_text()
        assert "Seccomp:\t2" in threads
    if os.geteuid() == 0:
        assert process.uids().real != 0


def test_it_knows_no_secret_of_the_api(second: SecondOpinion):
    environment = psutil.Process(second.pid).environ()

    assert not [name for name in environment if name.startswith("ASSAY_")]


def test_one_that_is_killed_costs_no_wait_and_is_started_again(second: SecondOpinion):
    answers(second)
    killed = second.pid
    assert killed is not None

    os.kill(killed, signal.SIGKILL)
    eventually(lambda: second.pid != killed)
    began = time.monotonic()
    without = ask(second, GO)
    took = time.monotonic() - began

    assert without is None or without.label == "go"
    assert took < PATIENCE_SECONDS + TURN_SECONDS
    assert answers(second).label == "go"
    assert second.pid != killed


def test_its_death_is_a_trouble_until_another_answers(second: SecondOpinion):
    assert second.pid is not None

    os.kill(second.pid, signal.SIGKILL)
    trouble = eventually(lambda: second.trouble)

    assert "our own rules alone" in trouble.detail
    assert trouble.remedy
    assert eventually(lambda: second.trouble is None)


def test_one_that_stands_still_is_waited_for_once_and_no_longer(second: SecondOpinion):
    answers(second)
    assert second.pid is not None
    os.kill(second.pid, signal.SIGSTOP)
    took = []

    for _ in range(20):
        began = time.monotonic()
        assert ask(second, GO) is None
        took.append(time.monotonic() - began)

    assert took[0] < PATIENCE_SECONDS + TURN_SECONDS
    # While an answer is owed nobody else waits for one.
    assert sum(took) < 5 * PATIENCE_SECONDS + TURN_SECONDS
    trouble = second.trouble
    assert trouble is not None
    assert "has not answered" in trouble.detail
    os.kill(second.pid, signal.SIGCONT)
    # The answer that came late is not taken for that of another question.
    assert answers(second, SQL).label == "sql"


def test_one_that_never_answers_again_is_replaced():
    second = SecondOpinion(stuck_seconds=0)
    second.start()
    second.wait(120)
    answers(second)
    stopped = second.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)

    answered = answers(second)

    assert answered.label == "go"
    assert second.pid != stopped
    second.close()


def test_who_is_asked_by_many_at_once_answers_each_its_own(second: SecondOpinion):
    answers(second)
    wrong: list[Opinion] = []

    def keep_asking(content: bytes, label: str) -> None:
        for _ in range(20):
            opinion = ask(second, content)
            if opinion is not None and opinion.label != label:
                wrong.append(opinion)

    threads = [
        threading.Thread(target=keep_asking, args=(content, label))
        for content, label in [(GO, "go"), (SQL, "sql")] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_it_ends_when_it_is_closed(second: SecondOpinion):
    pid = second.pid
    assert pid is not None

    second.close()

    assert eventually(lambda: not psutil.pid_exists(pid))
    assert second.pid is None


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("stopped", [False, True])
def test_it_does_not_outlive_its_api(end: signal.Signals, *, stopped: bool):
    process = run(after="signal.pause()")
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[0])
    process.stdout.readline()
    if stopped:
        os.kill(pid, signal.SIGSTOP)

    process.send_signal(end)
    process.wait()
    process.stdout.close()

    assert eventually(lambda: not _lives(pid))


def test_without_magika_nothing_is_started_and_the_trouble_says_what_to_do():
    process = run(before="sys.modules['magika'] = None", after="second.close()")

    lines = said(process)

    assert lines[0].startswith("None Magika is not installed")
    assert lines[1] == "None"
    assert process.returncode == 0


def test_a_magika_that_does_not_load_is_a_trouble_and_no_more(tmp_path: Path):
    (tmp_path / "magika").mkdir()
    (tmp_path / "magika" / "__init__.py").write_text("raise OSError('broken')\n")
    process = run(
        before=f"sys.path.insert(0, {str(tmp_path)!r})", after="second.close()"
    )

    lines = said(process)

    # Before them is what the log says.
    assert lines[-2].startswith("None Magika's process ended, or cannot start")
    assert lines[-1] == "None"
    assert process.returncode == 0


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
