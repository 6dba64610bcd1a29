"""
Analyzers that do what an author's may do at worst, one for each switch of ``testing``:
to see what becomes of it within the limits that the author's has.
"""

from __future__ import annotations

import os
import time
from typing import Any

from workers.analysis import Analysis
from workers.register import analyzer
from workers.sample import Sample

#: Bytes; taken, and never touched: the machine has them all the same.
_PIECE = 16 * 1024 * 1024


@analyzer("crash", version="1")
def crash(_: Sample) -> Analysis:
    """End the process, as a library that is written in C may."""
    os.abort()


@analyzer("hang", version="1")
def hang(_: Sample) -> Analysis:
    """Never return."""
    while True:
        time.sleep(1)


@analyzer("oom", version="1")
def oom(_: Sample) -> Analysis:
    """Take memory until there is none."""
    hoard: list[bytes] = []
    while True:
        hoard.append(bytes(_PIECE))


@analyzer("garbage", version="1")
def garbage(_: Sample) -> Any:
    """Return what is no analysis."""
    return {"score": "very high"}
