"""
The wire: every message between the orchestrator and a replica, and nothing else.

The only package of the orchestrator that workers may import. It does no I/O.
"""

from __future__ import annotations
