"""
Fixtures of the tests in a browser.
"""

from __future__ import annotations

from tests.fixtures.browser import browser, stage, user

__all__ = ["browser", "stage", "user"]
