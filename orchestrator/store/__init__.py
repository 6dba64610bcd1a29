"""
Sample bytes, and whatever else is large. It knows no database.
"""

from __future__ import annotations

from orchestrator.store.folder import folder_of
from orchestrator.store.intake import (
    HEAD_BYTES,
    TAIL_BYTES,
    Digests,
    Measured,
    Received,
    measure,
)
from orchestrator.store.locate import Locator, locator
from orchestrator.store.samples import CHUNK_BYTES, SampleStore

__all__ = [
    "CHUNK_BYTES",
    "HEAD_BYTES",
    "TAIL_BYTES",
    "Digests",
    "Locator",
    "Measured",
    "Received",
    "SampleStore",
    "folder_of",
    "locator",
    "measure",
]
