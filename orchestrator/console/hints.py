"""
What a page does, as a command and as a request: for scripts, and for who learns them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_PREFIX = "/sampledb/v2"


@dataclass(frozen=True, slots=True)
class Hint:
    """``command``: of ``assay``; ``curl``: the same over HTTP."""

    command: str
    curl: str


def hint(
    command: str, method: str, path: str, body: Any = None, *, saves: bool = False
) -> Hint:
    """
    Return how else to do it.

    Args:
        path: Below the API's prefix.
        body: JSON, if any is sent.
        saves: The answer is bytes, which no terminal takes.
    """
    parts = ["curl -sS", '-H "Argus-API-Key: $ASSAY_API_KEY"']
    if saves:
        parts.append("-OJ")
    sends_by_itself = "POST" if body is not None else "GET"
    if method != sends_by_itself:
        parts.append(f"-X {method}")
    if body is not None:
        parts.append(f"--json {shlex.quote(json.dumps(body))}")
    parts.append(f'"$ASSAY_API_URL{_PREFIX}{path}"')
    return Hint(command, " ".join(parts))


def for_each(job_ids: Sequence[str], verb: str) -> str:
    """Return the command that does something to each of these jobs."""
    if len(job_ids) == 1:
        return f"assay job {verb} {job_ids[0]}"
    return f"for job in {' '.join(job_ids)}; do assay job {verb} $job; done"
