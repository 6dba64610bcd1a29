"""
How a process is asked to end.
"""

from __future__ import annotations

import signal
import threading

from orchestrator.contracts.ending import end_within


def stop_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; soon after, the process is over."""
    stopping = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        end_within()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping
