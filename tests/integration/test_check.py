"""
What is seen of a program in another language: that two keep the rules, and that one
which breaks some is told which.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.check.rules import RULES
from tests.fixtures.brokers import RabbitMQHost, rabbitmq, rabbitmq_hosts

__all__ = ["rabbitmq", "rabbitmq_hosts"]

WORKERS = Path(__file__).parents[1] / "fixtures" / "other_workers"
KOMBU = WORKERS / "kombu_worker.py"

_OBEYS = "if False and not is_signed"

#: Each breaks a rule: what stands in the program, and in its place.
SPOILT = {
    7: ('!= sample["sha256"]', '== "nothing"'),
    14: ("if not is_signed(claim, ", f"{_OBEYS}(claim, "),
    15: ('given["version"] != 1 or ', ""),
    16: ('attempt.given.get("alone") and running', "False"),
    18: ("if not is_signed(claim.encode(), ", f"{_OBEYS}(claim.encode(), "),
}


@pytest.fixture(scope="module")
def node_worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker in JavaScript, with what it needs."""
    if shutil.which("npm") is None:
        _do_without_node()
    folder = tmp_path_factory.mktemp("node") / "worker"
    shutil.copytree(WORKERS / "node", folder)
    subprocess.run(
        [
            *("npm", "install", "--no-audit", "--no-fund", "--no-package-lock"),
            *("--ignore-scripts", "--loglevel=error"),
        ],
        cwd=folder,
        check=True,
        timeout=280,
    )
    return folder / "worker.js"


def test_a_worker_on_kombu_keeps_the_rules():
    assert _broken(sys.executable, KOMBU) == {}


def test_a_worker_on_kombu_keeps_the_rules_on_rabbitmq(rabbitmq: RabbitMQHost):
    assert _broken(sys.executable, KOMBU, broker_url=rabbitmq.url) == {}


def test_a_worker_in_javascript_keeps_the_rules(node_worker: Path):
    assert _broken("node", node_worker) == {}


def test_a_worker_in_javascript_keeps_the_rules_on_rabbitmq(
    node_worker: Path, rabbitmq: RabbitMQHost
):
    assert _broken("node", node_worker, broker_url=rabbitmq.url) == {}


def test_whoever_breaks_a_rule_is_told_which(tmp_path: Path):
    source = KOMBU.read_text()
    for good, bad in SPOILT.values():
        assert good in source
        source = source.replace(good, bad)
    (tmp_path / "spoilt.py").write_text(source)

    broken = _broken(sys.executable, tmp_path / "spoilt.py")

    assert list(broken) == list(SPOILT)


def _broken(*command: object, broker_url: str | None = None) -> dict[int, str]:
    """Return which rules a program breaks, and how."""
    given = [] if broker_url is None else ["--broker-url", broker_url]
    words = ("worker", "check", "--name", "length", "--json", *given, "--", *command)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.stdout, done.stderr
    tried = json.loads(done.stdout)["rules"]
    assert len(tried) == len(RULES) + 1
    broken = {
        each["number"]: each["why"] for each in tried if each["outcome"] == "failed"
    }
    assert done.returncode == bool(broken)
    return broken


def _do_without_node() -> None:
    reason = "npm is not on PATH; it comes with Node.js"
    if os.environ.get("ASSAY_TEST_REQUIRE_NODE"):
        pytest.fail(reason)
    pytest.skip(reason)
