"""
Submitters: processes of their own that create jobs over HTTP, through Assay's client.

``python -m orchestrator.bench.submitters API_URL`` is one of them. Its first line is
its key, each further one a JSON list of samples' hashes: it creates a job for each, and
writes how many tasks they have.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from orchestrator.client.http import Client
from orchestrator.domain.errors import AssayError


class Submitter:
    """
    One of them, as whoever measures sees it.

    Args:
        process: Just started, with pipes.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, api_key: str) -> None:
        self._process = process
        self._say(api_key)

    def ask(self, samples: Sequence[str]) -> None:
        """Let it create a job for each of these samples."""
        self._say(json.dumps(list(samples)))

    def wait(self) -> int:
        """
        Return how many tasks the jobs have.

        Raises:
            AssayError: It ended before.
        """
        assert self._process.stdout is not None  # noqa: S101  (as above)
        line = self._process.stdout.readline()
        if not line:
            raise AssayError("a submitter ended before its jobs were created")
        return int(line)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101  (it was started with one)
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def _serve(api_url: str) -> None:
    with Client(api_url, sys.stdin.readline().strip()) as client:
        for line in sys.stdin:
            orders = ({"sampleSha256": sample} for sample in json.loads(line))
            tasks = sum(
                int(client.post("/job", order)["openTasks"]) for order in orders
            )
            print(tasks, flush=True)  # noqa: T201


if __name__ == "__main__":
    _serve(sys.argv[1])
