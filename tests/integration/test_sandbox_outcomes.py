"""How analyses end, seen from the replica: real processes, one outcome per test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.sandboxes import ANALYZERS, planned_run, run, sandbox
from workers.analysis import Classification, File
from workers.sandbox.sandbox import (
    BadResult,
    Crashed,
    Finished,
    OutOfMemory,
    Raised,
    Run,
    Sandbox,
    SandboxError,
    Stopped,
    TimedOut,
)

MEBIBYTE = 1024**2


@pytest.fixture(scope="module", name="sandbox")
def sandbox_of_behaviours(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ANALYZERS)
        scratch = tmp_path_factory.mktemp("scratch")
        with sandbox(
            "sandbox_behaviours", "behave", scratch, memory_bytes=512 * MEBIBYTE
        ) as started:
            yield started


def test_an_analysis_comes_back_with_everything_it_says(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)
    kept = {}

    with sandbox("sandbox_ok", "ok", tmp_path / "s") as started:
        outcome = run(
            started,
            planned_run(content=b"hello", depth=3),
            collect=lambda file, path: kept.update({file.path: path.read_text()}),
        )

    assert isinstance(outcome, Finished)
    assert outcome.analysis["score"] == 7
    assert outcome.analysis["result"]["text"] == "hello"
    assert outcome.analysis["result"]["options"] == {"depth": 3}
    assert outcome.analysis["tags"] == [{"type": "family", "value": "none"}]
    assert outcome.analysis["message"] == "fine"
    assert outcome.files == (
        File(kind="evidence", path="evidence.txt", file_name="e.txt"),
    )
    assert kept == {"evidence.txt": "seen hello"}
    assert outcome.duration_seconds > 0


def test_an_exception_comes_back_with_its_traceback(sandbox):
    outcome = run(sandbox, planned_run(do="raises"))

    assert isinstance(outcome, Raised)
    assert (outcome.kind, outcome.recoverable) == ("error", False)
    assert outcome.message.startswith("ValueError: no such section\n")
    assert "in _raises" in outcome.message


@pytest.mark.parametrize("behaviour", ["raises", "raises_over_a_path", "segfaults"])
def test_a_failure_tells_no_folder_of_this_machine(sandbox, behaviour):
    outcome = run(sandbox, planned_run(do=behaviour))

    assert isinstance(outcome, Raised | Crashed)
    assert "sandbox_behaviours.py" in outcome.message
    assert '"/' not in outcome.message
    assert "'/" not in outcome.message


def test_a_long_exception_is_cut(sandbox):
    outcome = run(sandbox, planned_run(do="raises_much"))

    assert isinstance(outcome, Raised)
    assert len(outcome.message) <= 8 * 1024
    assert "in _raises_much" in outcome.message


def test_an_author_may_say_that_another_try_helps(sandbox):
    outcome = run(sandbox, planned_run(do="recoverable"))

    assert isinstance(outcome, Raised)
    assert (outcome.kind, outcome.recoverable) == ("error", True)


def test_an_author_may_say_that_the_sample_is_not_for_it(sandbox):
    kind = Classification(type="text", mime_type="text/plain")
    asked = replace(planned_run(do="unsupported"), classification=kind)

    outcome = run(sandbox, asked)

    assert isinstance(outcome, Raised)
    assert outcome.kind == "unsupported"
    assert outcome.message == (
        "behave: not a PE file; it was given text (text/plain) and takes everything"
    )


def test_leaving_python_is_an_error_not_a_crash(sandbox):
    outcome = run(sandbox, planned_run(do="system_exit"))

    assert isinstance(outcome, Raised)
    assert outcome.message.startswith("SystemExit: 3")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("exits", "exit code 3"),
        ("kills_itself", "killed by SIGKILL"),
        ("segfaults", "killed by SIGSEGV"),
        ("prints_and_dies", "the last words"),
    ],
)
def test_a_crash_says_how_and_what_was_printed_last(sandbox, behaviour, words):
    outcome = run(sandbox, planned_run(do=behaviour))

    assert isinstance(outcome, Crashed)
    assert words in outcome.message


def test_a_crash_of_native_code_shows_the_python_stack(sandbox):
    outcome = run(sandbox, planned_run(do="segfaults"))

    assert isinstance(outcome, Crashed)
    assert "in _segfaults" in outcome.message


def test_an_analysis_that_eats_memory_is_out_of_memory(sandbox):
    assert isinstance(run(sandbox, planned_run(do="eats_memory")), OutOfMemory)


def test_an_analysis_that_takes_too_long_is_killed_and_shows_its_stack(sandbox):
    outcome = run(sandbox, planned_run(0.5, do="hangs"))

    assert isinstance(outcome, TimedOut)
    assert "killed after 0.5 s" in outcome.message
    assert "in a_loop_with_a_name_to_find" in outcome.message


def test_an_analysis_that_ignores_all_signals_is_killed_too(sandbox):
    assert isinstance(run(sandbox, planned_run(0.5, do="ignores_signals")), TimedOut)


def test_an_analysis_can_be_stopped(sandbox):
    stopped = threading.Event()
    timer = threading.Timer(0.3, stopped.set)
    timer.start()

    outcome = run(sandbox, planned_run(do="hangs"), stopped=stopped)

    timer.join()
    assert outcome == Stopped()


def test_what_is_stopped_before_it_begins_never_begins(sandbox):
    stopped = threading.Event()
    stopped.set()

    def deliver(target: Path, _: float) -> None:
        raise AssertionError

    planned = Run(deliver=deliver, sha256="0" * 64, size=0, timeout_seconds=1)
    assert run(sandbox, planned, stopped=stopped) == Stopped()


def test_the_slot_works_again_after_each_bad_end(sandbox):
    for behaviour in ("exits", "kills_itself", "eats_memory", "hangs"):
        run(sandbox, planned_run(0.5, do=behaviour))

        assert isinstance(run(sandbox, planned_run(do="fine")), Finished), behaviour


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"score": 101}, "score"),
        ({"score": -2}, "score"),
        ({"score": "7"}, "score"),
        ({"score": True}, "score"),
        ({"score": 1.5}, "score"),
        ({"score": None}, "score"),
        ({"score": 1, "tags": [{"type": "colour", "value": "red"}]}, "tags.0.type"),
        ({"score": 1, "tags": "red"}, "tags"),
        ({"score": 1, "detections": [{"name": "x"}]}, "detections.0.assessment"),
        ({"score": 1, "override": "maybe"}, "override"),
        ({"score": 1, "internet_access": "no"}, "internet_access"),
        ({"score": 1, "possible_detections": -1}, "possible_detections"),
        ({"score": 1, "files": [{"kind": "child"}]}, "files.0.path"),
        ({"score": 1, "message": "x" * 70_000}, "message"),
    ],
)
def test_a_bad_result_names_the_field(sandbox, fields, named):
    outcome = run(sandbox, planned_run(do="returns", fields=fields))

    assert isinstance(outcome, BadResult)
    assert outcome.message.startswith(f"{named}: ")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("returns_a_string", "returned str; it must return an Analysis"),
        ("returns_a_set", "result: not JSON: a value of type set"),
        ("returns_nan", "result: not JSON"),
        ("returns_too_much", "result: 1782"),
    ],
)
def test_what_is_not_an_analysis_is_a_bad_result(sandbox, behaviour, words):
    outcome = run(sandbox, planned_run(do=behaviour))

    assert isinstance(outcome, BadResult)
    assert words in outcome.message


FORGED = {
    "kind": "finished",
    "analysis": {
        "score": 0,
        "result": None,
        "tags": [],
        "detections": [],
        "possible_detections": None,
        "override": None,
        "profile": None,
        "internet_access": False,
        "files": [],
        "message": None,
    },
}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "rubbish",
        "[]",
        "null",
        '{"kind": "ready"}',
        '{"kind": "finished"}',
        '{"kind": "raised", "surprise": 1}',
        "[" * 100_000,
        '{"kind": "raised", "message": "\\ud800"}',
        json.dumps(FORGED).replace('"result": null', '"result": NaN'),
        json.dumps(FORGED).replace('"result": null', '"result": 1e999'),
        json.dumps({**FORGED, "references": [{"kind": "child", "sha256": "0" * 64}]}),
    ],
)
def test_whatever_a_child_sends_is_a_bad_result_at_worst(sandbox, body):
    outcome = run(sandbox, planned_run(do="writes_to_the_channel", body=body))

    assert isinstance(outcome, BadResult)


def test_a_child_cannot_announce_more_than_it_may_send(sandbox):
    outcome = run(
        sandbox, planned_run(do="writes_to_the_channel", body="", size=2**32 - 1)
    )

    assert outcome == BadResult(message="answer: more than 4194304 bytes")


def test_a_child_that_announces_and_sends_nothing_times_out(sandbox):
    outcome = run(
        sandbox, planned_run(0.5, do="writes_to_the_channel", body="", size=100)
    )

    assert isinstance(outcome, TimedOut)


def test_an_answer_that_drips_costs_the_replica_next_to_nothing(sandbox):
    begun = time.thread_time()

    outcome = run(sandbox, planned_run(2.0, do="drips"))

    assert isinstance(outcome, TimedOut), outcome
    assert time.thread_time() - begun < 0.2


def test_a_child_that_hangs_up_is_not_waited_for(sandbox):
    """From outside it looks as a death does that is not yet seen: it is one."""
    assert isinstance(run(sandbox, planned_run(do="hangs_up")), Crashed)


def test_an_answer_prepared_for_the_next_sample_is_never_read(sandbox):
    run(sandbox, planned_run(do="answers_twice"))

    outcome = run(sandbox, planned_run(do="fine"))

    assert isinstance(outcome, Finished)


def test_what_an_analyzer_prints_does_not_disturb_its_answer(sandbox):
    assert isinstance(run(sandbox, planned_run(do="prints")), Finished)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../sample",
        "link",
        "linked/passwd",
        "folder",
        "missing",
        ".",
        "a\0",
    ],
)
def test_only_regular_files_of_the_scratch_are_collected(sandbox, path):
    seen = []

    outcome = run(
        sandbox,
        planned_run(do="names_files", paths=[path]),
        collect=lambda _, at: seen.append(at),
    )

    assert isinstance(outcome, BadResult)
    assert outcome.message.startswith("files: ")
    assert seen == []


def test_a_file_that_is_missing_is_named_without_a_place_of_ours(sandbox):
    outcome = run(sandbox, planned_run(do="names_files", paths=["missing"]))

    assert isinstance(outcome, BadResult)
    assert outcome.message == "files: 'missing': No such file or directory"


def test_a_file_in_a_folder_may_be_named_twice(sandbox):
    seen = []

    outcome = run(
        sandbox,
        planned_run(do="names_files", paths=["inner/real", "inner/real"]),
        collect=lambda _, at: seen.append(at.read_bytes()),
    )

    assert isinstance(outcome, Finished)
    assert seen == [b"evidence", b"evidence"]


def test_what_delivery_raises_is_raised_and_the_slot_works_again(sandbox):
    def deliver(target: Path, _: float) -> None:
        target.write_bytes(b"half")
        raise ConnectionError("the store is away")

    planned = Run(deliver=deliver, sha256="0" * 64, size=0, timeout_seconds=1)
    with pytest.raises(ConnectionError):
        run(sandbox, planned)

    assert isinstance(run(sandbox, planned_run(do="fine")), Finished)


def test_what_collecting_raises_is_raised_and_the_slot_works_again(sandbox):
    def collect(file: File, path: Path) -> None:
        raise ConnectionError("the store is away")

    with pytest.raises(ConnectionError):
        run(
            sandbox,
            planned_run(do="names_files", paths=["inner/real"]),
            collect=collect,
        )

    assert isinstance(run(sandbox, planned_run(do="fine")), Finished)


def test_a_module_that_does_not_import_says_why(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)

    with (
        pytest.raises(SandboxError, match="the rules do not compile"),
        sandbox("sandbox_broken", "broken", tmp_path / "s"),
    ):
        pass


def test_a_module_without_that_analyzer_says_so(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)

    with (
        pytest.raises(SandboxError, match="holds no analyzer named 'other'"),
        sandbox("sandbox_ok", "other", tmp_path / "s"),
    ):
        pass


def test_a_memory_limit_below_the_import_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)

    with (
        pytest.raises(SandboxError, match="memory_bytes: 1048576 is too little"),
        sandbox("sandbox_ok", "ok", tmp_path / "s", memory_bytes=MEBIBYTE),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "said"),
    [("threads", "started 1 threads"), ("shared", "made memory that is shared")],
)
def test_a_module_that_leaves_what_no_fork_copies_is_warned_about(
    tmp_path, monkeypatch, name, said
):
    monkeypatch.syspath_prepend(ANALYZERS)
    sandbox = Sandbox(
        f"sandbox_{name}",
        analyzer_name=name,
        slots=1,
        scratch=tmp_path / "s",
        network=False,
        memory_bytes=512 * MEBIBYTE,
    )

    try:
        warnings = sandbox.start()
    finally:
        sandbox.close()

    assert any(said in warning for warning in warnings)
