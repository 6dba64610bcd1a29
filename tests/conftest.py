"""
The fixtures of all tests.
"""

from __future__ import annotations

import os
import signal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before those that import it: pytest rewrites the asserts of what it imports first.
pytest_plugins = [
    "tests.fixtures.stack",
    "tests.fixtures.api",
    "tests.fixtures.authority",
    "tests.fixtures.commands",
    "tests.fixtures.engine",
    "tests.fixtures.real_servers",
]


#: Files that take longest: they begin first, in this order, so that none is left
#: running alone at the end.
_LONGEST = (
    "e2e/test_embedded.py",
    "faults/test_outages.py",
    "faults/test_kills.py",
    "e2e/test_cli.py",
    "broker/test_flower.py",
    "e2e/test_demo.py",
    "faults/test_window.py",
    "broker/test_nodes.py",
    "console/test_pages.py",
    "console/test_live.py",
    "contracts/test_openapi.py",
    "e2e/test_doctor.py",
    "faults/test_frozen_links.py",
    "broker/test_publisher.py",
    "faults/test_clock_jumps.py",
    "integration/test_replica.py",
    "integration/test_metrics.py",
    "integration/test_replica_sources.py",
    "e2e/test_bench.py",
    "contracts/test_http_repeats.py",
    "broker/test_accounts.py",
    "faults/test_refusing_redis.py",
    "faults/test_upgrade.py",
    "faults/test_foreign_queues.py",
    "integration/test_api_server.py",
    "integration/test_sandbox_ordinary_user.py",
    "integration/test_api_matrix.py",
    "broker/test_quiet_trouble.py",
    "integration/test_replica_aside.py",
    "e2e/test_logs.py",
    # And of the tests that need no process.
    "unit/test_workers_transfer.py",
    "unit/test_demo_files.py",
    "unit/test_cli_arguments.py",
)

#: File → the process that runs its tests, where there are several.
_process_of: dict[str, str] = {}


def pytest_runtest_logreport(report: Any) -> None:
    """
    Insist that a file's tests run in one process, for what they share.

    A stack is a dozen processes, and starting it ten seconds of a machine's time: where
    two processes made one each, nothing would fail, and all take twice as long.
    """
    node = getattr(report, "node", None)
    if node is not None:
        name = report.nodeid.partition("::")[0]
        first = _process_of.setdefault(name, node.gateway.id)
        assert first == node.gateway.id, f"{name} runs in two processes at once"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what faults cost, where any were tried: one line for each."""
    # Here, for a folder's own are not asked where another runs the tests.
    from tests.fixtures.ledger import PROPERTY, table  # noqa: PLC0415  (asserts)

    reports = chain(*map(terminalreporter.getreports, ("passed", "failed")))
    # A test that balances twice ends with the sum.
    rows = {
        report.nodeid: value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    }
    if rows:
        terminalreporter.section("what faults cost")
        for line in table(list(rows.values())):
            terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    places = {root / name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_configure() -> None:
    # What tests speak to is on this machine; those of proxies set them themselves.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    # Whoever ends a run has what Ctrl-C has: fixtures clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # How long an example takes says how busy the machine is.
    settings.register_profile(
        "assay", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("assay")
