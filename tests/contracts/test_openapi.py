"""
The OpenAPI document against the running stack that serves it: requests made up from the
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

from tests.fixtures.api import PREFIX, worker_form
from tests.fixtures.embedded import Held, cleared, hold

CONFIG = Path(__file__).with_name("schemathesis.toml")

AGENT = {"userAgent": {"name": "openapi", "version": "1"}, "tlp": "green"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Held]:
    """A stack of its own: policies and workers change at random."""
    with cleared(tmp_path / "data") as data_dir, hold(data_dir) as running:
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


def test_every_answer_is_as_documented(stack: Held, tmp_path: Path):
    key = {"Argus-API-Key": stack.info["api_key"]}
    with httpx.Client(base_url=stack.info["api_url"] + PREFIX, headers=key) as client:
        things = _things(client)
    config = tmp_path / "schemathesis.toml"
    dictionaries = "".join(
        f"\n[dictionaries.{name}]\nvalues = [{json.dumps(value)}]\n"
        for name, value in things.items()
    )
    config.write_text(CONFIG.read_text() + dictionaries)

    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("--config-file", config, "run", "--checks", "all", "--no-color"),
            *("--header", f"Argus-API-Key:{stack.info['api_key']}"),
            f"{stack.info['api_url']}/openapi.json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
