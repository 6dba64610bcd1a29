"""
The pages, one module each. What they show is read by ``queries/``.
"""

from __future__ import annotations
