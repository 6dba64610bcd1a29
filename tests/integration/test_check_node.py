"""
That a worker in JavaScript keeps the rules, on both brokers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.brokers import RabbitMQHost, rabbitmq, rabbitmq_hosts
from tests.fixtures.check import WORKERS, broken_rules
from tests.fixtures.rounds import only_long

__all__ = ["rabbitmq", "rabbitmq_hosts"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker, with what it needs."""
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


@only_long
def test_a_worker_in_javascript_keeps_the_rules(worker: Path):
    assert broken_rules("node", worker) == {}


def test_a_worker_in_javascript_keeps_the_rules_on_rabbitmq(
    worker: Path, rabbitmq: RabbitMQHost
):
    assert broken_rules("node", worker, broker_url=rabbitmq.url) == {}


def _do_without_node() -> None:
    reason = "npm is not on PATH; it comes with Node.js"
    if os.environ.get("ASSAY_TEST_REQUIRE_NODE"):
        pytest.fail(reason)
    pytest.skip(reason)
