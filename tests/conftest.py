"""
The fixtures of all tests.
"""

from __future__ import annotations

import signal

# Before those that import it: pytest rewrites the asserts of what it imports first.
pytest_plugins = [
    "tests.fixtures.stack",
    "tests.fixtures.api",
    "tests.fixtures.engine",
    "tests.fixtures.real_servers",
]


def pytest_configure() -> None:
    """Let whoever ends a run have what Ctrl-C has: fixtures clean up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
