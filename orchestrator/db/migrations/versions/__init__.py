"""
The steps from an empty database to :mod:`orchestrator.db.tables`, run by Alembic.
"""

from __future__ import annotations
