"""
Processes whose database or broker is not as it must be: they say so, and no more.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.field import bare
from tests.fixtures.nursery import Forked
from tests.fixtures.waiting import eventually

#: After its first complaint: long enough for some more tries.
_SECONDS = 2

_AWAY = "redis://127.0.0.1:1/0"


def said_by(command: str, folder: Path, **settings: str) -> list[dict[str, Any]]:
    """Run a process until it complains, and a while longer; return its lines."""
    said = folder / command
    process = Forked(
        *("orchestrator", command),
        environment={
            **bare(),
            "ASSAY_SECRET_KEY": "test:" + "5a" * 32,
            "ASSAY_SAMPLE_STORE": str(folder / "samples"),
            "ASSAY_DATA_DIR": str(folder / "data"),
            **settings,
        },
        log=said,
    )
    eventually(lambda: '"warning"' in said.read_text())
    time.sleep(_SECONDS)
    process.terminate()
    process.wait(30)
    return [json.loads(line) for line in said.read_text().splitlines()]


@pytest.mark.parametrize("command", ["dispatch", "consume"])
def test_a_database_of_another_version_is_a_line_and_a_remedy(
    command: str, empty_database_url: str, tmp_path: Path
):
    lines = said_by(
        command,
        tmp_path,
        ASSAY_DATABASE_URL=empty_database_url,
        ASSAY_BROKER_URL=_AWAY,
    )

    trouble = [line for line in lines if line["level"] == "warning"]
    assert [line["hint"] for line in trouble] == [
        "its tables are of another version: assay db upgrade"
    ]
    assert not [line for line in lines if "exception" in line]


@pytest.mark.parametrize("command", ["dispatch", "consume"])
def test_a_broker_that_is_away_is_a_line_for_each_thing_that_it_stops(
    command: str, fresh_database_url: str, tmp_path: Path
):
    lines = said_by(
        command,
        tmp_path,
        ASSAY_DATABASE_URL=fresh_database_url,
        ASSAY_BROKER_URL=_AWAY,
    )

    trouble = [line for line in lines if line["level"] != "info"]
    assert 1 <= len(trouble) <= 2
    assert not [line for line in lines if "exception" in line]
