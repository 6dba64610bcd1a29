"""
The HTTP API: shapes requests and answers. What happens is for ``flow/`` and
``catalog/`` to say, what is read for ``queries/``.
"""

from __future__ import annotations
