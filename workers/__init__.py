"""
What the author of an analyzer imports.

A worker is eight lines; see ``README.md``. Nothing here imports Celery.
"""

from __future__ import annotations

from workers.analysis import (
    Analysis,
    Classification,
    Detection,
    File,
    Recoverable,
    Tag,
    Unsupported,
)
from workers.analyzer import Analyzer
from workers.register import analyzer
from workers.sample import Sample

__all__ = [
    "Analysis",
    "Analyzer",
    "Classification",
    "Detection",
    "File",
    "Recoverable",
    "Sample",
    "Tag",
    "Unsupported",
    "analyzer",
]
