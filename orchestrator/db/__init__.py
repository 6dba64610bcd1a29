"""
PostgreSQL: tables, the unit of work, and one repository per aggregate.

Only the unit of work commits. No rule of the domain is decided here.
"""

from __future__ import annotations
