"""
The API for the tests of this folder.
"""

from __future__ import annotations

from tests.fixtures.api import api, database_url, services, store_folder

__all__ = ["api", "database_url", "services", "store_folder"]
