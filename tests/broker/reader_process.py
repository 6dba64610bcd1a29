"""
A reader of reports in a process of its own, to be killed by a test.

Arguments: the broker's URL; the epoch; the file to which it appends what it read, which
is for the test what a consumer has committed; a file to make when the moment to kill it
has come; and that moment. It stands still there, except while ``reading``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from orchestrator.messaging.report_source import open_report_source

MOMENTS = ("taken", "half committed", "committed", "acknowledged", "reading")


class Victim:
    def __init__(self, moment: str, reached: Path) -> None:
        self._moment = moment
        self._reached = reached

    def passes(self, moment: str) -> None:
        if moment == self._moment:
            self._reached.touch()
            if moment != "reading":
                signal.pause()


def main(
    broker_url: str, epoch: str, committed_path: str, reached: str, moment: str
) -> None:
    victim = Victim(moment, Path(reached))
    committed = os.open(committed_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source = open_report_source(broker_url, epoch=int(epoch))
    while True:
        messages = source.batch(wait_seconds=0.5)
        if messages:
            victim.passes("reading")
            victim.passes("taken")
        for number, message in enumerate(messages):
            os.write(committed, message.body + b"\n")
            if number >= len(messages) // 2:
                victim.passes("half committed")
        if messages:
            victim.passes("committed")
        source.ack()
        if messages:
            victim.passes("acknowledged")


if __name__ == "__main__":
    main(*sys.argv[1:])
