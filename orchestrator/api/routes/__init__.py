"""
One router per resource: reads the request, asks one step or query, shapes the answer.
"""

from __future__ import annotations
