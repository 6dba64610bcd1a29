"""
The units in ``docs/operations/systemd``, as far as systemd's own analysis goes;
``make tour`` runs them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.main import get_command

from orchestrator import cli
from orchestrator.contracts.ending import END_SECONDS
from orchestrator.contracts.names import BUNDLED_WORKERS
from tests.fixtures.containers import ENGINE, ROOT
from tests.tour.page import blocks
from workers.__main__ import _parser
from workers.analyzer import Analyzer

OPERATIONS = ROOT / "docs" / "operations"
UNITS = {path.stem: path for path in (OPERATIONS / "systemd").glob("*.service")}
PAGE = (OPERATIONS / "three-machines.md").read_text()

#: Whom the page starts.
_STARTED = {
    name: set(words.split(","))
    for name, words in re.findall(r"enable --now (assay\S*@)\{(\S+)\}", PAGE)
}

#: Of ten: what a service that may do anything has is 9.6.
_EXPOSED_MAX = 2.1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units, starting programs that there are here."""
    for unit in UNITS.values():
        text = unit.read_text().replace("/opt/assay/.venv/bin/assay", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_systemd_has_nothing_to_say_of_a_unit(folder: Path):
    broken = folder / "assay@.service"
    instances = [f"{unit}{'api' if unit == 'assay@' else 'yara'}" for unit in UNITS]

    for each in instances:
        assert _said("verify", "--man=no", str(folder / f"{each}.service")) == ""
    broken.write_text(broken.read_text().replace("UMask", "Umasque"))
    assert "Umasque" in _said("verify", "--man=no", str(folder / "assay@api.service"))


def test_a_unit_may_do_little_beside_its_work(folder: Path):
    for unit in UNITS:
        said = _said("security", "--offline=true", f"{unit}some.service", folder=folder)
        (level,) = re.findall(r"exposure level for .*: ([0-9.]+)", said)
        assert float(level) <= _EXPOSED_MAX, said


def test_the_page_starts_every_process_and_every_bundled_worker():
    """Flower is for who wants it."""
    processes = {service["command"][0] for service in ENGINE.values()}

    assert _STARTED["assay@"] == processes - {"db", "flower"}
    assert _STARTED["assay-worker@"] == set(BUNDLED_WORKERS)


def test_a_unit_starts_what_there_is():
    engine, worker = _settings("assay@"), _settings("assay-worker@")
    for name in _STARTED["assay@"]:
        cli._compose(name)
        assert name in get_command(cli.app).commands  # type: ignore[attr-defined]
    command, group, *words = worker["ExecStart"].replace("%i", "yara").split()

    assert engine["ExecStart"] == "/opt/assay/.venv/bin/assay %i"
    assert (command, group) == ("/opt/assay/.venv/bin/assay", "worker")
    assert _parser().parse_args(words).name == "yara"


def test_who_stops_a_unit_waits_longer_than_its_process_does():
    engine, worker = _settings("assay@"), _settings("assay-worker@")
    grace = int(worker["Environment"].removeprefix("ASSAY_STOP_GRACE_SECONDS="))

    # What a replica needs to give back what it does not end.
    assert int(worker["TimeoutStopSec"]) >= grace + 20
    assert grace == Analyzer.__dataclass_fields__["run_seconds"].default
    assert int(engine["TimeoutStopSec"]) > END_SECONDS
    assert engine["KillMode"] == worker["KillMode"] == "mixed"


def test_every_block_of_the_page_is_typed_by_the_tour():
    typed = blocks(PAGE)

    assert len(typed) == PAGE.count("```sh\n") == PAGE.count("```") / 2
    assert {name for block in typed for name in block.machines} == {
        *("data", "engine", "workers")
    }


def _settings(unit: str) -> Mapping[str, str]:
    lines = UNITS[unit].read_text().splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name: value for name, equals, value in pairs if equals}


def _said(*words: str, folder: Path | None = None) -> str:
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("ASSAY_TEST_REQUIRE_SYSTEMD"):
            pytest.fail("there is no systemd-analyze")
        pytest.skip("there is no systemd-analyze")
    paths = {"SYSTEMD_UNIT_PATH": str(folder)} if folder else {}
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *words],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
