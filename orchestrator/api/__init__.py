"""
The HTTP API: shapes requests and answers. What happens is the steps' (``flow/``).
"""

from __future__ import annotations
