"""What authors test their analyzers with, in the real sandbox."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.replica import write_module
from workers.analyzer import Analyzer
from workers.cli.loading import get_analyzer
from workers.testing import AnalysisError, Bench, Switch, check_golden

SOURCE = """
from pathlib import Path
from workers import Analysis, File, Sample, analyzer

@analyzer("tested", version="1")
def tested(sample: Sample) -> Analysis:
    Path("head").write_bytes(sample.open().read(2))
    files = [File(kind="evidence", path="head", file_name="head.bin")]
    return Analysis(score=0, result={"bytes": sample.size}, files=files)
"""


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[Analyzer]:
    write_module(tmp_path, SOURCE, "tested_worker")
    yield get_analyzer(str(tmp_path / "tested_worker.py"))
    del sys.modules["tested_worker"]
    sys.path.remove(str(tmp_path))


def test_each_switch_ends_as_such_an_analyzer_would(tested: Analyzer):
    ends: dict[Switch, str] = {
        "crash": "crashed",
        "hang": "timed_out",
        "oom": "out_of_memory",
        "garbage": "bad_result",
    }
    began = time.monotonic()
    with Bench(tested) as bench:
        trials = {switch: bench.try_one(b"MZ", switch=switch) for switch in ends}
        after = bench.try_one(b"MZ")

    assert {switch: trial.outcome for switch, trial in trials.items()} == ends
    assert after.ok
    # Two seconds where nobody else uses the machine.
    assert time.monotonic() - began < 15


def test_golden_results_are_written_once_and_compared_from_then_on(
    tested: Analyzer, tmp_path: Path
):
    samples, golden = tmp_path / "samples", tmp_path / "golden"
    (samples / "below").mkdir(parents=True)
    (samples / "one.bin").write_bytes(b"MZ")
    (samples / "below" / "two").write_bytes(b"PK..")

    with pytest.raises(AnalysisError, match=r"one\.bin\.json: written now; read it"):
        check_golden(tested, samples, golden)
    check_golden(tested, samples, golden)
    (samples / "one.bin").write_bytes(b"MZ.")
    (samples / "below" / "two").unlink()
    with pytest.raises(AnalysisError) as told:
        check_golden(tested, samples, golden)

    assert '-      "bytes": 2\n+      "bytes": 3' in str(told.value)
    assert "two.json: there is no such sample any more" in str(told.value)
    assert '"file_name": "head.bin"' in (golden / "one.bin.json").read_text()
