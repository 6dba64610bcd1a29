from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
NOBODY = {"ASSAY_API_URL": "http://127.0.0.1:9", "ASSAY_API_KEY": "k"}


def assay(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command without any setting of whoever runs the tests."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        env=environment(extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def environment(extra: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    return {**kept, "ASSAY_DATA_DIR": "/nonexistent", **extra}


def test_the_version_is_the_distributions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert assay("--version").stdout == f"assay {project['version']}\n"


@pytest.mark.parametrize("words", [(), ("job",), ("job", "show"), ("submit",)])
def test_help_is_asked_for_in_two_ways(words: tuple[str, ...]):
    short, long = assay(*words, "-h"), assay(*words, "--help")

    assert short.returncode == long.returncode == 0
    assert short.stdout == long.stdout
    assert short.stdout.startswith("Usage: assay")


def test_a_shell_learns_what_there_is():
    line = {"COMP_WORDS": "assay\njob\nsh", "COMP_CWORD": "2"}

    done = assay(**line, _ASSAY_COMPLETE="complete_bash")

    assert done.stdout.split() == ["show"]


@pytest.mark.parametrize(
    ("words", "settings", "code", "error"),
    [
        (("job", "show"), {}, 2, {"code": "usage", "field": "JOB"}),
        (
            ("submit", "x", "--priority", "ten"),
            {},
            2,
            {"code": "usage", "field": "--priority"},
        ),
        (("job", "show", "x", "--no-such"), {}, 2, {"code": "usage"}),
        (
            ("submit", "x", "--metadata", "case"),
            NOBODY,
            2,
            {"code": "usage", "field": "--metadata"},
        ),
        (
            ("job", "list"),
            {},
            2,
            {"code": "configuration", "field": "ASSAY_API_URL"},
        ),
        (("job", "show", "x"), NOBODY, 1, {"code": "invalid", "field": "JOB"}),
        (("task", "show", "x"), NOBODY, 1, {"code": "invalid", "field": "TASK"}),
        (("job", "list"), NOBODY, 1, {"code": "no_answer", "field": None}),
        (
            ("policy", "explain", "/no/such/file"),
            NOBODY,
            1,
            {"code": "client_error"},
        ),
    ],
)
def test_programs_are_told_of_errors_in_json(
    words: tuple[str, ...], settings: dict[str, str], code: int, error: dict[str, Any]
):
    done = assay(*words, "--json", **settings)
    plain = assay(*words, **settings)

    said = json.loads(done.stderr)["error"]
    assert (done.returncode, done.stdout) == (code, "")
    assert set(said) == {"code", "message", "field"}
    assert {**said, **error} == said
    assert (plain.returncode, plain.stdout) == (code, "")
    assert plain.stderr.startswith("assay: ")
    assert len(plain.stderr.splitlines()) == 1


def test_what_somebody_typed_does_nothing_to_a_terminal():
    assert "\x1b" not in assay("job", "show", "\x1b[2J", **NOBODY).stderr


@pytest.mark.parametrize("words", [("-h",), ("job", "list", "-h")])
def test_a_reader_that_goes_is_no_error_to_speak_of(words: tuple[str, ...]):
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        env=environment({}),
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    os.close(theirs)

    assert done.stderr == ""
    assert done.returncode == 1
