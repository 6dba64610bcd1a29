"""
The fixtures of all tests.
"""

from __future__ import annotations

# Before those that import it: pytest rewrites the asserts of what it imports first.
pytest_plugins = [
    "tests.fixtures.stack",
    "tests.fixtures.api",
    "tests.fixtures.engine",
]
