"""
How random bytes look: Shannon entropy, for the analyzers that look for packed data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def shannon(counts: Iterable[int]) -> float:
    """Entropy in bits per symbol of a histogram; 0 for an empty one."""
    present = [count for count in counts if count]
    total = sum(present)
    return -sum(n / total * math.log2(n / total) for n in present) or 0.0
