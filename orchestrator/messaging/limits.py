"""
How much one batch of reports holds, on either broker.
"""

from __future__ import annotations

from typing import Final

#: Above a few hundred, a bigger batch no longer makes the commit cheaper per report,
#: and a batch that fails takes longer to halve.
BATCH_MAX_MESSAGES: Final = 500

#: Bytes. Sixteen reports of the largest size: what a consumer may hold in memory.
BATCH_MAX_BYTES: Final = 16 * 1024 * 1024
