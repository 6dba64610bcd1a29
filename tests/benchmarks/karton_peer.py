"""
Karton, to compare with: consumers that do nothing, and a client that produces tasks.

Runs in ``.venv/bench``, where Karton is: ``karton_peer.py consumer NAME`` is a worker,
``karton_peer.py client`` reads a number of jobs from a line, creates them, and says so;
its router makes one task of each for every consumer. Configured by ``KARTON_…``;
``PEER_DONE`` is a file to which every task that ends adds one byte.
"""

from __future__ import annotations

import os
import sys

from karton.core import Config, Consumer, Producer, Task  # type: ignore[import-not-found]  # it is in .venv/bench

_HEADERS = {"type": "sample", "kind": "raw"}

_done = os.open(os.environ["PEER_DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Noop(Consumer):  # type: ignore[misc]  # Karton is not installed here
    """Looks at nothing."""

    filters = [_HEADERS]  # noqa: RUF012  (Karton's own way)

    def process(self, _: Task) -> None:
        os.write(_done, b".")


def serve() -> None:
    producer = Producer(Config(), identity="bench.client")
    for line in sys.stdin:
        for _ in range(int(line)):
            producer.send_task(Task(dict(_HEADERS), payload={"sample": "0" * 64}))
        print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "consumer":
        Noop(Config(), identity=f"bench.{sys.argv[2]}").loop()
    else:
        serve()
