"""
The steps of a job's path, one file each.

Each takes a transaction or a database and values; none reads a setting or a host clock.
"""

from __future__ import annotations
