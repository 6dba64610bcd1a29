"""
What a person looks at and fetches: analyses, their files, samples; and hostile ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.api import API
from tests.fixtures.commands import Assay

#: Markup, an escape sequence, one of a single byte, and a mark that turns text around.
HOSTILE = "[red]x[/red]\x1b[2J\x9b2J\u202egpj.exe"
SHOWN = "[red]x[/red]\ufffd[2J\ufffd2J\ufffdgpj.exe"


@pytest.fixture
def analysed(api: API) -> dict[str, Any]:
    """Return a job that is over, whose analysis has a file and hostile words."""
    job = api.add_job(fileName=HOSTILE)
    (task,) = api.tasks(job["id"])
    sample = f"/sample/{job['analysedSample']['id']}"
    form = {
        "customer": "default",
        "userAgent": {"name": task["worker"], "version": "1"},
        "tlp": "clear",
        "analysisResult": {"findings": [{"kind": "macro", "where": HOSTILE}]},
        "analysisScore": 80,
    }
    answer = api.admin.post(f"{sample}/analysis", json=form)
    assert answer.status_code == 200, answer.text
    analysis = answer.json()["data"]["analysisID"]
    # As a worker reports it: nobody asks of those that they hold to an alphabet.
    api.run(
        "UPDATE analysis SET tags = CAST(:tags AS jsonb),"
        " detections = CAST(:detections AS jsonb) WHERE id = :id",
        id=analysis,
        tags=json.dumps([{"type": "family", "value": HOSTILE}]),
        detections=json.dumps([{"name": HOSTILE, "assessment": "malicious"}]),
    )
    added = api.admin.post(
        f"{sample}/analysis/{analysis}/evidence/macro.txt", content=b"Sub AutoOpen()"
    )
    assert added.status_code == 201, added.text
    ended = api.admin.put(
        f"/job/{job['id']}/task/{task['id']}",
        json={"state": "success", "analyses": [analysis], "message": HOSTILE},
    )
    assert ended.status_code == 200, ended.text
    return {**job, "worker": task["worker"], "analysis": analysis}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    saved = tmp_path / "saved"
    saved.mkdir()
    return saved


def test_an_analysis_is_shown_by_its_worker_or_its_id(
    assay: Assay, analysed: dict[str, Any]
):
    sha256 = analysed["analysedSample"]["id"]

    by_worker = assay.json("analysis", "show", f"{analysed['id']}/{analysed['worker']}")
    by_id = assay.json("analysis", "show", f"{sha256}/{analysed['analysis']}")
    text = assay("analysis", "show", f"{analysed['id'][-8:]}/{analysed['worker']}")

    assert by_worker == by_id
    assert by_id["analysisID"] == analysed["analysis"]
    assert f"family {SHOWN}" in text.stdout
    assert '"kind": "macro"' in text.stdout


def test_a_worker_without_an_analysis_says_how_its_task_stands(api: API, assay: Assay):
    job = api.add_job()
    (task,) = api.tasks(job["id"])

    done = assay("analysis", "show", f"{job['id']}/{task['worker']}")

    assert done.returncode == 1
    assert (
        f"{task['worker']} has no analysis in this job: it is enqueued" in done.stderr
    )


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize(
    "words",
    [
        ("job", "list", "--limit", "1000"),
        ("job", "show", "JOB"),
        ("job", "watch", "JOB"),
        ("task", "list", "JOB"),
        ("task", "show", "JOB/WORKER"),
        ("analysis", "show", "JOB/WORKER"),
        ("evidence", "list", "JOB/WORKER"),
        ("sample", "show", "SHA256"),
        ("verdict", "show", "SHA256"),
        ("job", "explain", "JOB"),
    ],
    ids=" ".join,
)
def test_words_of_a_sample_do_nothing_to_a_terminal(
    assay: Assay, analysed: dict[str, Any], words: tuple[str, ...], *, is_terminal: bool
):
    known = {
        "JOB/WORKER": f"{analysed['id']}/{analysed['worker']}",
        "JOB": analysed["id"],
        "SHA256": analysed["analysedSample"]["id"],
    }
    command = [known.get(word, word) for word in words]
    text = assay.on_a_terminal(*command) if is_terminal else assay(*command).stdout

    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "\x1b[2J" not in text
    says_names = {("job", "show"), ("analysis", "show"), ("sample", "show")}
    assert words[:2] not in says_names or SHOWN in text


def test_evidence_is_listed_and_saved_under_its_hash(
    assay: Assay, analysed: dict[str, Any], place: Path
):
    where = f"{analysed['id']}/{analysed['worker']}"
    (listed,) = assay.json("evidence", "list", where)

    done = assay("evidence", "get", where, "macro.txt", "--output", place)
    again = assay("evidence", "get", where, listed["checksum"][:8], "--output", place)
    forced = assay("evidence", "get", where, listed["id"], "--output", place, "--force")

    assert done.returncode == forced.returncode == 0, done.stderr
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert "may be malicious" in done.stderr
    (file,) = place.iterdir()
    assert file.name == listed["checksum"]
    assert file.read_bytes() == b"Sub AutoOpen()"


def test_evidence_is_named_by_a_hash_in_any_case(
    assay: Assay, analysed: dict[str, Any], place: Path
):
    where = f"{analysed['id']}/{analysed['worker']}"
    (listed,) = assay.json("evidence", "list", where)
    digits = listed["checksum"][-8:].upper()

    assert assay("evidence", "get", where, digits, "--output", place).returncode == 0


def test_evidence_that_is_not_there_says_what_is(
    assay: Assay, analysed: dict[str, Any]
):
    done = assay("evidence", "get", f"{analysed['id']}/{analysed['worker']}", "x")

    assert done.returncode == 1
    assert "this analysis has macro.txt" in done.stderr


def test_a_sample_is_saved_as_it_is_or_in_a_zip(api: API, assay: Assay, place: Path):
    content = b"harmless" + os.urandom(8)
    sha256 = api.upload(content)
    assert hashlib.sha256(content).hexdigest() == sha256

    raw = assay("sample", "get", sha256, "--output", place / "raw")
    safe = assay.json("sample", "get", sha256, "--safe", "--output", place)

    assert "may be malicious" in raw.stderr
    assert (place / "raw").read_bytes() == content
    assert safe["path"] == str(place / f"{sha256}.zip")
    assert (place / f"{sha256}.zip").read_bytes().startswith(b"PK")


def test_a_sample_goes_through_a_pipe_and_onto_no_terminal(api: API, assay: Assay):
    sha256 = api.upload(b"through a pipe")

    piped = assay("sample", "get", sha256, "--output", "-")
    seen = assay.on_a_terminal("sample", "get", sha256, "--output", "-")

    assert piped.stdout == "through a pipe"
    assert "through a pipe" not in seen
    assert "does not go onto a terminal" in seen


def test_what_cannot_be_saved_leaves_nothing(assay: Assay, place: Path):
    done = assay("sample", "get", "ab" * 32, "--output", place)
    nowhere = assay("sample", "get", "ab" * 32, "--output", place / "no" / "such")

    assert done.returncode == nowhere.returncode == 1
    assert "404" in done.stderr
    assert "cannot be written" in nowhere.stderr
    assert list(place.iterdir()) == []


def test_what_is_no_file_is_not_replaced_by_one(api: API, assay: Assay, place: Path):
    os.mkfifo(place / "pipe")

    done = assay("sample", "get", api.upload(), "--output", place / "pipe", "--force")
    long = assay("sample", "get", api.upload(), "--output", place / ("x" * 300))

    assert done.returncode == long.returncode == 1
    assert "is no ordinary file" in done.stderr
    assert "cannot be written" in long.stderr
    assert (place / "pipe").is_fifo()


def test_a_link_is_not_followed_to_overwrite(api: API, assay: Assay, place: Path):
    sha256 = api.upload()
    (place / sha256).symlink_to(place / "elsewhere")

    done = assay("sample", "get", sha256, "--output", place)

    assert done.returncode == 1
    assert not (place / "elsewhere").exists()
