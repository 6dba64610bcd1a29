"""
What both sides write to stderr, where nobody watches and in a terminal.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

ENGINE = """
import logging, threading, warnings
import structlog
from orchestrator.logs import configure
configure("api")
structlog.contextvars.clear_contextvars()
"""
REPLICA = """
import logging, threading, warnings
from workers.replica import logs
logs.configure(worker="yara", replica="yara-1@host")
log = logging.getLogger("workers.replica.app")
"""
SIDES = {"engine": ENGINE, "replica": REPLICA}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


def lines(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in python(code).stderr.splitlines()]


@pytest.mark.parametrize("side", SIDES)
def test_what_libraries_say_is_json_too(side: str):
    (line,) = lines(SIDES[side] + "logging.getLogger('amqp').warning('no %s', 'way')")

    assert (line["event"], line["level"]) == ("no way", "warning")
    assert line["process"] == {"engine": "api", "replica": "replica"}[side]
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("side", SIDES)
def test_what_libraries_say_for_their_own_sake_is_left_out(side: str):
    assert lines(SIDES[side] + "logging.getLogger('amqp').info('hello')") == []


@pytest.mark.parametrize("side", SIDES)
def test_a_warning_and_a_traceback_take_one_line_each(side: str):
    warning, failure = lines(
        f"{SIDES[side]}\nwarnings.warn('old')\n"
        "try:\n    1 / 0\n"
        "except ZeroDivisionError:\n    logging.getLogger('x').exception('broken')"
    )

    assert "UserWarning: old" in warning["event"]
    assert "ZeroDivisionError" in failure["exception"]


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("1 / 0", "process.crashed"),
        ("threading.Thread(target=lambda: 1 / 0).start()", "thread.crashed"),
    ],
)
def test_what_nobody_catches_is_logged_like_everything(code: str, event: str):
    (line,) = lines(ENGINE + code)

    assert (line["event"], line["level"]) == (event, "critical")
    assert "ZeroDivisionError" in line["exception"]


def test_an_attempts_ids_are_on_the_lines_of_its_thread_until_they_are_cleared():
    bound, other, cleared = lines(
        f"{REPLICA}\nlogs.bind(task='t', attempt=2)\nlogs.bind(job='j')\n"
        "log.info('one')\n"
        "other = threading.Thread(target=log.info, args=('other',))\n"
        "other.start()\nother.join()\nlogs.clear()\nlog.info('two')"
    )

    ids = {name: bound.get(name) for name in ("job", "task", "attempt")}
    assert ids == {"job": "j", "task": "t", "attempt": 2}
    assert not {"job", "task", "attempt"} & (set(other) | set(cleared))
    assert {line["replica"] for line in (bound, other, cleared)} == {"yara-1@host"}


def test_celerys_arguments_and_results_are_not_logged():
    (line,) = lines(
        REPLICA + "log.info('task', extra={'data': {'kwargs': 'x'}, 'n': 1})"
    )

    assert "data" not in line
    assert line["n"] == 1


def test_a_signal_handlers_line_is_like_every_other():
    (line,) = lines(REPLICA + "logs.write_at_once('replica.shutdown_asked', hint='h')")

    assert (line["event"], line["level"]) == ("replica.shutdown_asked", "info")
    assert (line["hint"], line["replica"]) == ("h", "yara-1@host")


@pytest.mark.parametrize("side", SIDES)
def test_somebody_at_a_terminal_gets_text(side: str):
    ours, theirs = pty.openpty()
    code = SIDES[side] + "logging.getLogger('amqp').warning('no way')"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)

    assert "no way" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_what_is_said_again_and_again_is_said_once_and_ends_nothing():
    ours = "structlog.get_logger().warning('broker.away')\n"
    theirs = "logging.getLogger('amqp').warning('no way')\n"

    said = lines(ENGINE + (ours + theirs) * 3 + "structlog.get_logger().info('end')")

    events = [line["event"] for line in said]
    assert events == ["broker.away", "no way", "end"]


def test_a_replicas_trouble_is_said_once_for_each_attempt():
    trouble = "log.warning('replica.trouble', extra={'reason': 'the API'})\n"
    bind = "logs.bind(task='{}')\n"
    code = "log = logging.getLogger('workers.x')\n" + trouble * 3
    code += "".join(bind.format(task) + trouble * 2 for task in ("a", "b"))

    said = lines(REPLICA + code)

    assert [line.get("task") for line in said] == [None, "a", "b"]
