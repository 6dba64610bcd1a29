"""
What a page does, as a command and as a request: for scripts, and for who learns them.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

_PREFIX = "/sampledb/v2"


@dataclass(frozen=True, slots=True)
class Hint:
    """``command``: of ``assay``; ``curl``: the same over HTTP."""

    command: str
    curl: str


def hint(command: str, method: str, path: str, body: Any = None) -> Hint:
    """
    Return how else to do it.

    Args:
        path: Below the API's prefix.
        body: JSON, if any is sent.
    """
    parts = ["curl -sS", '-H "Argus-API-Key: $ASSAY_API_KEY"']
    sends_by_itself = "POST" if body is not None else "GET"
    if method != sends_by_itself:
        parts.append(f"-X {method}")
    if body is not None:
        parts.append(f"--json {shlex.quote(json.dumps(body))}")
    parts.append(f'"$ASSAY_API_URL{_PREFIX}{path}"')
    return Hint(command, " ".join(parts))
