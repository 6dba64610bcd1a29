"""
The wire: every message between the orchestrator and a replica, and nothing else.

The only package of the orchestrator that workers may import. It does no I/O, but for
``node``: how a Celery process of either side takes what comes.
"""

from __future__ import annotations
