"""
The author's guide: it names every argument and field there is, and every example of it
does what it shows.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workers import Analysis, Detection, File, Sample, Tag, analyzer

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/workers/writing.md").read_text()

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: Stands for anything within a line, and on a line of its own for any lines.
_ANYTHING = "…"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The author's: every module of the guide is there."""
    folder = tmp_path_factory.mktemp("author")
    for source in _blocks("python"):
        name = source.partition("\n")[0].removeprefix("# ")
        (folder / name).write_text(source)
    return folder


def test_the_examples_do_what_they_show(folder: Path):
    typed = [
        step.partition("\n")
        for block in _blocks("console")
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    assert len(typed) > 10

    for line, _, shown in typed:
        done = _type(line, folder)
        assert re.fullmatch(_pattern(shown), done.stdout), (
            f"{line}\n{done.stdout}{done.stderr}"
        )


def test_every_argument_and_field_is_in_the_guide():
    arguments = set(inspect.signature(analyzer).parameters)
    fields = {
        field.name
        for shape in (Analysis, File, Tag, Detection, Sample)
        for field in dataclasses.fields(shape)
    }
    words = set(re.findall(r"`(\w+)[`(=]|(\w+)=", GUIDE))
    told = {word for pair in words for word in pair}

    assert (arguments | fields) - told == set()


def _blocks(kind: str) -> list[str]:
    return [text for found, text in _BLOCK.findall(GUIDE) if found == kind]


def _type(line: str, folder: Path) -> subprocess.CompletedProcess[Any]:
    # What `assay worker …` becomes, without loading what finds that out.
    line = line.replace("assay worker", "python -m workers")
    line = re.sub("^python", sys.executable, line)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        # As in an installation; pytest's own configuration is the author's.
        env={**kept, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "-p no:randomly"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _pattern(shown: str) -> str:
    lines = shown.splitlines(keepends=True)
    return "".join(
        r"(?s:.*)" if line.strip() == _ANYTHING else _line(line) for line in lines
    )


def _line(shown: str) -> str:
    return r"[^\n]*".join(map(re.escape, shown.split(_ANYTHING)))
