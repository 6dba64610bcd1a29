"""
What ``assay bench`` runs: one file per benchmark, on a testbed of its own.
"""

from __future__ import annotations
