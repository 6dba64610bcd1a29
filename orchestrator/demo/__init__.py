"""
What ``assay demo`` runs: a stack of its own, a set of files, and what became of them.
"""

from __future__ import annotations
