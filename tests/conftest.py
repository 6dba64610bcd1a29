"""
The fixtures of all tests.
"""

from __future__ import annotations

pytest_plugins = [
    "tests.fixtures.engine",
    "tests.fixtures.stack",
]
