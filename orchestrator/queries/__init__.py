"""
What is read: one file per list or page. Nothing here writes.
"""

from __future__ import annotations
