"""
The fixtures of all tests.
"""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Before those that import it: pytest rewrites the asserts of what it imports first.
pytest_plugins = [
    "tests.fixtures.stack",
    "tests.fixtures.api",
    "tests.fixtures.engine",
    "tests.fixtures.real_servers",
]


def pytest_configure() -> None:
    # Whoever ends a run has what Ctrl-C has: fixtures clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # How long an example takes says how busy the machine is.
    settings.register_profile(
        "assay", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("assay")
