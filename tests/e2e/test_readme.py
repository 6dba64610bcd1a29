"""
The commands that the README shows to submitters, run as they stand there.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.fixtures.api import API, worker_form
from tests.fixtures.commands import Assay, succeed

README = (Path(__file__).parents[2] / "README.md").read_text()

#: Groups that ask the API alone.
_CLIENT = {"submit", "job", "task", "analysis", "evidence", "sample", "verdict"}

#: What a name stands for, in the order in which they are looked for.
_NAMES = {
    "JOB/WORKER": "latest/yara",
    "JOB…": "latest",
    "JOB": "latest",
    "SAMPLE": "latest",
    "FILE": "macro.txt",
    "~/Downloads": "FOLDER",
    # Nothing analyses here: that it is waited for is enough.
    "--wait": "--timeout=0",
}


def commands() -> list[str]:
    shown = re.findall(r"^\$ \.venv/bin/assay ([^#\n]+)", README, re.MULTILINE)
    named = re.findall(r"^\| (`assay [^|]+)", README, re.MULTILINE)
    listed = [each for row in named for each in re.findall(r"`assay ([^`]+)`", row)]
    return sorted(
        {each.strip() for each in (*shown, *listed) if each.split()[0] in _CLIENT}
    )


@pytest.mark.parametrize("command", commands())
def test_the_readmes_commands_do_what_they_say(
    api: API, assay: Assay, folder: Path, command: str
):
    api.admin.post("/worker", json=worker_form("yara"))
    (folder / "letter.txt").write_bytes(b"a letter")
    job = api.add_job(workers=["yara"])
    if command.startswith("job retry"):
        (task,) = api.tasks(job["id"])
        api.admin.put(f"/job/{job['id']}/task/{task['id']}", json={"state": "failed"})
    elif not command.startswith("job cancel"):
        succeed(api, job, score=5)
        analysis = assay.json("analysis", "show", "latest/yara")["analysisID"]
        sample = f"/sample/{job['analysedSample']['id']}"
        place = f"{sample}/analysis/{analysis}/evidence/macro.txt"
        assert api.admin.post(place, content=b"Sub").status_code == 201
    words = [_NAMES.get(word, word) for word in shlex.split(command)]
    given = [str(folder) if word == "FOLDER" else word for word in words]
    saves = ["--output", str(folder)] if "get" in words else []

    done = assay(*given, *saves)

    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


def test_the_readme_shows_every_group_of_the_client():
    assert {command.split()[0] for command in commands()} == _CLIENT
