"""
What people see: typical output of the client's commands at 80 columns, word for word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.api import API, open_services, run_api
from tests.fixtures.commands import Assay
from tests.fixtures.golden import compare, steady
from tests.fixtures.stack import DatabaseServer

#: When the job that is over was ordered, by which its times are counted.
_BEGIN = "timestamptz '2026-11-28 21:05:03+00'"

_RESULT = {
    "summary": "A document that runs a macro when it is opened.",
    "findings": [
        {"kind": "macro_auto_exec", "name": "AutoOpen", "where": "vbaProject.bin"},
        {"kind": "url", "name": "https://example.org/a"},
    ],
    "reasons": [{"reason": "A macro runs by itself", "points": 60}],
    "truncated": {"strings": "200 of 5,120"},
}


@pytest.fixture(scope="module")
def api(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[API]:
    """An API of their own: lists have what others have made."""
    name = database_server.create()
    folder = tmp_path_factory.mktemp("samples")
    with (
        open_services(database_server.url_of(name), folder) as services,
        run_api(services, folder) as running,
    ):
        yield running
    database_server.drop(name)


@pytest.fixture(scope="module")
def scene(api: API) -> dict[str, Any]:
    """Return a job that is over, with a worker that failed, and one that is open."""
    workers = [api.add_worker("macros"), api.add_worker("letters")]
    sha256 = api.upload(b"a letter with a macro")
    name = "Invoice from a company with quite a long name, November 2026 (final).docm"
    over = api.add_job(sha256, workers=workers, fileName=name)
    ids = [over["id"], *_end(api, over)]
    _date(api, over["id"])
    waits = api.add_job(sha256, workers=["letters"], fileName="notes.txt", priority=2)
    ids += [waits["id"], api.tasks(waits["id"])[0]["id"]]
    return {"over": over["id"], "waits": waits["id"], "sha256": sha256, "ids": ids}


def _date(api: API, job: str) -> None:
    """Let a job have happened at the same time at every run."""
    for change in (
        (
            "UPDATE job SET enqueued_at = @, started_at = @ + interval '0.3 s',"
            " ended_at = @ + interval '62 s' WHERE id = :job"
        ),
        (
            "UPDATE job_task SET enqueued_at = @, queued_at = @, published_at = @ +"
            " interval '0.1 s', started_at = @ + interval '0.3 s', ended_at = @ +"
            " interval '2.55 s' WHERE job_id = :job"
        ),
        (
            "UPDATE task_event SET created_at = @ + interval '2.55 s' WHERE task_id IN"
            " (SELECT id FROM job_task WHERE job_id = :job)"
        ),
    ):
        api.run(change.replace("@", _BEGIN), job=job)


def _end(api: API, job: dict[str, Any]) -> list[str]:
    """End both tasks of a job; return what has an id of it."""
    sample = f"/sample/{job['analysedSample']['id']}"
    tasks = {task["worker"]: task["id"] for task in api.tasks(job["id"])}
    form = {
        "customer": "default",
        "userAgent": {"name": "macros", "version": "3"},
        "tlp": "clear",
        "analysisResult": _RESULT,
        "analysisScore": 60,
        "tags": [{"type": "behaviour", "value": "runs by itself"}],
        "triggeredDetections": [{"name": "AutoOpen", "assessment": "malicious"}],
    }
    analysis = api.admin.post(f"{sample}/analysis", json=form).json()["data"]
    where = f"{sample}/analysis/{analysis['analysisID']}/evidence"
    file = api.admin.post(f"{where}/macro.txt", content=b"Sub AutoOpen()\n").json()
    message = (
        'ValueError: no such letter\n  File "letters.py", line 12, in look\n'
        "    raise ValueError(letter)"
    )
    for worker, ending in (
        ("macros", {"state": "success", "analyses": [analysis["analysisID"]]}),
        ("letters", {"state": "failed", "message": message}),
    ):
        answer = api.admin.put(f"/job/{job['id']}/task/{tasks[worker]}", json=ending)
        assert answer.status_code == 200, answer.text
    return [*tasks.values(), analysis["analysisID"], file["data"]["id"]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("job show", ("job", "show", "over")),
        ("job show open", ("job", "show", "waits")),
        ("job explain", ("job", "explain", "waits")),
        ("task list", ("task", "list", "over")),
        ("task show", ("task", "show", "over/letters")),
        ("task show open", ("task", "show", "waits/letters")),
        ("analysis show", ("analysis", "show", "over/macros")),
        ("evidence list", ("evidence", "list", "over/macros")),
        ("verdict show", ("verdict", "show", "sha256")),
        ("sample show", ("sample", "show", "sha256")),
        ("worker show", ("worker", "show", "macros")),
        ("wrong id", ("job", "show", "ffffffff")),
        ("wrong worker", ("task", "show", "over/yara")),
        ("wrong command", ("job", "shwo")),
        ("wrong option", ("submit", "x", "--priority", "ten")),
    ],
)
def test_what_a_command_says_is_as_it_was_read(
    api: API, assay: Assay, scene: dict[str, Any], name: str, words: tuple[str, ...]
):
    typed = " ".join(words)
    command = [_known(scene, word) for word in words]

    seen = assay.on_a_terminal(*command)

    said = steady(seen, scene["ids"])
    compare(f"output/{name.replace(' ', '-')}", f"$ assay {typed}\n{said}")


def test_jobs_are_listed_and_made_as_it_was_read(
    api: API, assay: Assay, scene: dict[str, Any], folder: Path
):
    """In one test: what the second makes is the newest that the first would list."""
    listed = assay.on_a_terminal("job", "list", "--limit", "2")
    said = steady(listed, scene["ids"])
    compare("output/job-list", f"$ assay job list --limit 2\n{said}")

    (folder / "letter.txt").write_bytes(b"a letter")
    words = ("submit", folder / "letter.txt", folder / "none", "--worker", "letters")

    done = assay(*words, "--timeout", "0")

    said = steady(done.stderr + done.stdout, []).replace(f"{folder}/", "")
    # The column is as wide as the folder's name.
    compare(
        "output/submit",
        "$ assay submit letter.txt none --worker letters --timeout 0\n"
        + re.sub(" {2,}", "  ", said),
    )


def _known(scene: dict[str, Any], word: str) -> str:
    first, slash, rest = word.partition("/")
    return f"{scene.get(first, first)}{slash}{rest}"
