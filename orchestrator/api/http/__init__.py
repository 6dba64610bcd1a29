"""
What surrounds every route: bodies, threads, envelopes, errors, pages and times.
"""

from __future__ import annotations
