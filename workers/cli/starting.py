"""
Writes a worker to start from, with a test. It runs nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.contracts import names
from workers.cli.words import UsageError

_WORKER = '''\
"""An analyzer: looks at one sample and says what it found."""

from __future__ import annotations

from workers import Analysis, Sample, analyzer


@analyzer("{module}", version="1", accepts=["*"], run_seconds=30)
def {module}(sample: Sample) -> Analysis:
    """Say how long a sample is and how it begins."""
    with sample.open() as content:
        head = content.read(16)
    return Analysis(score=-1, result={{"bytes": sample.size, "head": head.hex()}})
'''

_TEST = """\
from __future__ import annotations

from workers.testing import analyze

from {module} import {module}


def test_it_says_how_long_a_sample_is_and_how_it_begins() -> None:
    analysis = analyze({module}, b"MZ")

    assert analysis.result == {{"bytes": 2, "head": "4d5a"}}
"""


def write_worker(given: Path) -> tuple[Path, Path]:
    """
    Write a worker and its test; return where they are.

    Args:
        given: The module's file, or a folder to be made that is called like it.

    Raises:
        UsageError: The name will not do, something is there already, or it can not be
            written there.
    """
    if given.suffix not in {"", ".py"}:
        raise UsageError(f"{given}: is no name for a Python module; name it NAME.py")
    path = given if given.suffix else given / f"{given.name}.py"
    module = path.stem
    test = path.with_name(f"test_{path.name}")
    _check_name(module)
    for target in (path, test):
        if target.exists():
            raise UsageError(f"{target} exists already; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_WORKER.format(module=module), encoding="utf-8")
        test.write_text(_TEST.format(module=module), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    return path, test


def _check_name(module: str) -> None:
    if not module.isidentifier():
        raise UsageError(f"{module!r} is no name for a Python module; use a-z, 0-9, _")
    # Imported in its place, it would break whoever needs the other.
    if module in {*sys.stdlib_module_names, *names.BUNDLED_WORKERS}:
        raise UsageError(
            f"{module!r} is the name of a bundled worker or of a part of Python's;"
            " choose another"
        )
