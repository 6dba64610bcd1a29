from __future__ import annotations

import json
import os
import re
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
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "ASSAY_DATA_DIR": str(folder / "nothing"),
        },
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


def test_a_try_reads_what_came_of_it_and_what_was_printed(tmp_path: Path):
    source = """
    from workers import Analysis, Detection, Sample, analyzer

    @analyzer("looker", version="1")
    def looker(sample: Sample) -> Analysis:
        print("depth is", sample.options["depth"] + 1, "\\x1b[31m")
        found = Detection(name="odd", assessment="malicious")
        return Analysis(score=75, result={"bytes": sample.size}, detections=[found])
    """
    write_module(tmp_path, source)
    (tmp_path / "sample").write_bytes(b"MZ")

    result = workers(
        "try", "./my_worker.py", "sample", "--option", "depth=3", folder=tmp_path
    )

    first, *rest = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"sample \(2 bytes\): success, 0\.\d+ s", first)
    assert rest == [
        "score 75: malicious",
        "detection odd: malicious",
        "result:",
        "  {",
        '    "bytes": 2',
        "  }",
        "printed:",
        "  depth is 4 \N{REPLACEMENT CHARACTER}[31m",
    ]


def test_a_traceback_is_of_the_authors_lines_alone(tmp_path: Path):
    source = LENGTH.replace("sample.size}", "missing(sample)}")
    write_module(tmp_path, "def missing(sample):\n    {}['key']\n" + source)
    (tmp_path / "sample").write_bytes(b"MZ")

    raised = workers("try", "my_worker", "sample", folder=tmp_path)
    write_module(tmp_path, "1 / 0\n" + source)
    broken = workers("try", "my_worker", "sample", folder=tmp_path)

    assert raised.returncode == 1
    assert re.findall(r'File "(.+)", line \d+, in (\w+)', raised.stdout) == [
        ("my_worker.py", "length"),
        ("my_worker.py", "missing"),
    ]
    assert "  KeyError: 'key'" in raised.stdout
    assert broken.returncode == 2
    assert broken.stderr.splitlines()[:2] == [
        "my_worker can not be imported: ZeroDivisionError: division by zero",
        '  File "my_worker.py", line 1, in <module>',
    ]


def test_who_hides_behind_a_bundled_workers_name_is_told(tmp_path: Path):
    write_module(tmp_path, LENGTH.replace('"length"', '"yara"'), "strings")
    (tmp_path / "sample").write_bytes(b"MZ")

    bundled = workers("try", "strings", "sample", folder=tmp_path)
    mine = workers("try", "./strings.py", "sample", "--json", folder=tmp_path)

    hint = "strings is the bundled worker; for strings.py type ./strings.py\n"
    assert bundled.stderr == hint
    assert "entropy" in bundled.stdout
    assert json.loads(mine.stdout)["analysis"]["result"] == {"bytes": 2}
    assert "has the name of the bundled worker" in mine.stderr


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
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "ASSAY_DATA_DIR": str(tmp_path / "nothing"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )

    assert result.returncode == 2
    assert result.stderr.startswith("ASSAY_BROKER_URL is not set")
    assert "`assay worker register length`, where the service runs" in result.stderr


@pytest.mark.parametrize("slots", ["0", "-3", "100000", "two"])
def test_a_number_of_slots_that_is_none_is_a_usage_error(slots: str, tmp_path: Path):
    write_module(tmp_path, LENGTH)

    result = workers("run", "my_worker", f"--slots={slots}", folder=tmp_path)

    assert result.returncode == 2
    assert result.stderr.endswith(f"'{slots}' must be a number from 1 to 1024\n")


def test_a_module_that_leaves_says_so(tmp_path: Path):
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")

    result = workers("try", "leaves.py", "leaves.py", folder=tmp_path)

    assert result.returncode == 2
    assert result.stderr.startswith("leaves can not be imported: SystemExit: 3\n")


@pytest.mark.parametrize("name", ["", ".", "..length", "my-worker"])
def test_a_name_that_is_none_is_a_usage_error(name: str, tmp_path: Path):
    (tmp_path / "sample").write_bytes(b"MZ")

    result = workers("try", name, "sample", folder=tmp_path)

    assert result.returncode == 2
    assert result.stderr.startswith(f"{name!r} is no name of a worker")


def test_new_writes_nothing_that_can_not_be_run(tmp_path: Path):
    result = workers("new", "my_worker.txt", folder=tmp_path)

    assert result.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_new_says_where_it_can_not_write(tmp_path: Path):
    (tmp_path / "file").touch()

    result = workers("new", "file/my_worker.py", folder=tmp_path)

    assert (result.returncode, result.stderr) == (2, "file: File exists\n")


def test_what_is_called_like_a_part_of_python_is_not_run(tmp_path: Path):
    """The current folder may be one of samples."""
    for name in ("json", "jsonschema", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it ran')\n")
    (tmp_path / "sample").write_bytes(b"MZ")

    command = (sys.executable, "-P", "-m", "orchestrator")
    result = subprocess.run(
        [*command, "worker", "try", "strings", "sample"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )

    assert result.returncode == 0, result.stderr


def test_what_enrols_runs_nothing_of_the_current_folder(tmp_path: Path):
    write_module(tmp_path, LENGTH)
    (tmp_path / "json.py").write_text("raise SystemExit('it ran')\n")
    stack = tmp_path / "nothing"
    stack.mkdir()
    (stack / "env").write_text("ASSAY_API_URL=http://127.0.0.1:1\n")

    result = subprocess.run(
        [sys.executable, "-P", "-m", "workers", "run", "my_worker"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ASSAY_DATA_DIR": str(stack)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )

    assert result.returncode == 2
    assert "did not enrol length: ASSAY_SECRET_KEY is not set" in result.stderr
