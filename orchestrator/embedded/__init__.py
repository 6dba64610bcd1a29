"""
PostgreSQL, Redis and a supervisor of our own, for one machine and for the tests.

Nothing here runs where the database and the broker are somebody else's.
"""

from __future__ import annotations
