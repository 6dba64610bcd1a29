from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.replica import ROOT, write_module
from tests.fixtures.waiting import PATIENCE_SECONDS

LENGTH = """
from workers import Analysis, Sample, analyzer

@analyzer("length", version="1")
def length(sample: Sample) -> Analysis:
    return Analysis(score=-1, result={"bytes": sample.size})
"""


def workers(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    return subprocess.run(
        [sys.executable, "-m", "workers", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def test_a_new_worker_can_be_tried_and_its_test_passes(tmp_path: Path):
    created = workers("new", "my_worker.py", folder=tmp_path)
    (tmp_path / "sample").write_bytes(b"MZ")

    tried = workers("try", "my_worker", "sample", "--json", folder=tmp_path)
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:celery"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )

    assert created.returncode == 0, created.stderr
    assert json.loads(tried.stdout)["analysis"]["result"]["head"] == "4d5a"
    assert tested.returncode == 0, tested.stdout


def test_new_does_not_overwrite_anything(tmp_path: Path):
    (tmp_path / "my_worker.py").write_text("mine")

    result = workers("new", "my_worker.py", folder=tmp_path)

    assert result.returncode == 2
    assert (tmp_path / "my_worker.py").read_text() == "mine"


def test_trying_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path):
    write_module(tmp_path, LENGTH)

    result = workers("try", "my_worker", "nothing", folder=tmp_path)

    assert (result.returncode, result.stderr) == (2, "nothing: no such file\n")


def test_conform_fails_for_an_analyzer_that_trips_over_an_empty_sample(tmp_path: Path):
    source = LENGTH.replace("sample.size}", "1 // sample.size}")
    write_module(tmp_path, source)

    result = workers("conform", "my_worker", folder=tmp_path)

    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert result.returncode == 1
    assert len(failed) == 1
    assert failed[0].startswith("FAIL empty: error: ")
    assert "ZeroDivisionError" in failed[0]


@pytest.mark.parametrize("arguments", [("run", "my_worker"), ("run", "no_such")])
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, arguments):
    write_module(tmp_path, LENGTH)

    result = workers(*arguments, folder=tmp_path)

    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_module_that_imports_what_is_not_installed_says_so(tmp_path: Path):
    write_module(tmp_path, "import not_installed_anywhere\n" + LENGTH)

    result = workers("run", "my_worker", folder=tmp_path)

    assert result.returncode == 2
    assert "imports not_installed_anywhere" in result.stderr


def test_plain_celery_says_in_one_line_which_setting_is_missing(tmp_path: Path):
    write_module(tmp_path, LENGTH)

    result = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "my_worker", "worker"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )

    assert result.returncode == 2
    assert result.stderr.startswith("ASSAY_BROKER_URL is not set")
