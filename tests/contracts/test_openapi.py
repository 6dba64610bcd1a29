"""
The OpenAPI document against the running API that serves it: requests made up from the
one, sent to the other, and every answer held against what is written.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.domain.values import Role
from tests.fixtures.api import API, open_services, run_api, worker_form
from tests.fixtures.rounds import IS_LONG

#: In the check the edges of every parameter and field; in the long rounds values made
#: up at random too, and one request after another that follows from it.
PHASES = "coverage,fuzzing,stateful" if IS_LONG else "coverage"

CONFIG = Path(__file__).with_name("schemathesis.toml")

AGENT = {"userAgent": {"name": "openapi", "version": "1"}, "tlp": "green"}


@pytest.fixture
def api(fresh_database_url: str, tmp_path: Path) -> Iterator[API]:
    """An API of its own: policies and workers change at random."""
    folder = tmp_path / "samples"
    with (
        open_services(fresh_database_url, folder) as services,
        run_api(services, folder) as running,
    ):
        yield running


def _things(client: httpx.Client) -> Mapping[str, str]:
    """Make one of everything; return its name for each dictionary."""

    def post(path: str, **sent: Any) -> dict[str, Any]:
        answer = client.post(path, **sent)
        assert answer.status_code in {200, 201}, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    # Above the size from which challenges are given.
    uploaded = post("/sample", content=secrets.token_bytes(4096))
    sha256 = uploaded["sample"]["id"]
    sample = f"/sample/{sha256}"
    submitted = {"fileName": "a.bin", "challengeToken": uploaded["challenge"], **AGENT}
    found = {"customer": "default", "analysisScore": 5, "analysisResult": [1], **AGENT}
    analysis = post(f"{sample}/analysis", json=found)["analysisID"]
    post("/worker", json=worker_form("reader"))
    job = post("/job", json={"sampleSha256": sha256, "workers": ["reader"]})["id"]
    (task,) = client.get(f"/job/{job}/tasks").json()["data"]
    rule = {
        "name": "A rule",
        "description": "For nobody's metadata",
        "match": {"submission": {"metaDataKey": ["a"], "metaDataValue": ["b"]}},
        "action": {"workers": {"add": ["reader"]}},
    }
    link = {"reference": sha256, "type": "child", **AGENT}
    return {
        "samples": sha256,
        "submissions": post(f"{sample}/submission", json=submitted)["id"],
        "analyses": analysis,
        "evidence": post(f"{sample}/analysis/{analysis}/evidence/a.txt")["id"],
        "links": post(f"{sample}/link", json=link)["id"],
        "workers": "reader",
        "jobs": job,
        "tasks": task["id"],
        "rules": post("/policy/default/rule", json=rule)["id"],
    }


def test_every_answer_is_as_documented(api: API, tmp_path: Path):
    things = _things(api.admin)
    config = tmp_path / "schemathesis.toml"
    dictionaries = "".join(
        f"\n[dictionaries.{name}]\nvalues = [{json.dumps(value)}]\n"
        for name, value in things.items()
    )
    config.write_text(CONFIG.read_text() + dictionaries)
    # It is made once, which takes a busy machine longer than that client waits.
    assert api.bare.get("/openapi.json").is_success

    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("--config-file", config, "run", "--checks", "all", "--no-color"),
            # It says that nothing but the API runs here; its own test is another.
            *("--exclude-path", "/health/ready", "--phases", PHASES),
            # A stream has no end that could be waited for.
            *("--exclude-path-regex", "/events$"),
            *("--header", f"Argus-API-Key:{api.key(Role.ADMINISTRATOR)}"),
            f"{api.url}/openapi.json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
