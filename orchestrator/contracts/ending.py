"""
The end of a process that was asked to end, however much of it waits for an answer.

What it is in the middle of then is what one that is killed is in the middle of, and as
harmless. Asks nobody to end.
"""

from __future__ import annotations

import os
import signal
from typing import Final

#: Seconds. Most supervisors kill after ten; what answers at all is done long before.
END_SECONDS: Final = 8


def end_within(seconds: int = END_SECONDS) -> None:
    """Leave at once if it still runs then. For the main thread; a handler may call."""
    signal.signal(signal.SIGALRM, _leave)
    signal.alarm(seconds)


def _leave(_number: int, _frame: object) -> None:
    # Whatever else were done could wait for something.
    os.write(2, b'{"event": "process.cut_short", "level": "warning"}\n')
    os._exit(0)
