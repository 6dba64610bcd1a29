"""
Being told which jobs have changed, by the live stream, instead of asking.

A thread with a connection of its own reads the stream; whoever waits asks the API for
the jobs that it names. Where there is no stream, or it breaks off, everybody asks as if
there were none.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Self

from orchestrator.client.http import Client
from orchestrator.domain.errors import AssayError

JSONObject = dict[str, Any]

#: Jobs that one stream is asked for; of more, all that changes is listened to.
_NAMED_MAX = 100


class Watch:
    """
    Args:
        client: For the address and the key; it is not used.
        job_ids: Of which one wants to hear.
        with_tasks: Also that a task of theirs has changed.
    """

    def __init__(
        self, client: Client, job_ids: Collection[str], *, with_tasks: bool = False
    ) -> None:
        self._client = client.another()
        self._with_tasks = with_tasks
        self._job_ids = frozenset(job_ids)
        self._changed: dict[str, JSONObject | None] = {}
        self._said = threading.Condition()
        self._is_told = False
        self._is_left = False
        self._thread = threading.Thread(
            target=self._run, name="assay-watch", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # It ends with the stream, at the latest at the next comment.
        self._is_left = True

    def wait(self, seconds: float) -> dict[str, JSONObject | None] | None:
        """
        Return the jobs that have changed, as soon as there is one.

        Returns:
            Id → the job as it is now, ``None``: ask for it. Maybe none, when the time
            is over; ``None`` for all: nobody tells, ask.
        """
        with self._said:
            self._said.wait_for(lambda: self._changed, seconds)
            changed, self._changed = self._changed, {}
            return changed if changed or self._is_told else None

    def _run(self) -> None:
        try:
            with self._client:
                self._read()
        except AssayError:
            # An API without a stream, or one that goes away: who waits asks it.
            pass
        finally:
            self._is_told = False

    def _read(self) -> None:
        job_ids = self._job_ids
        path, named = "/events", {"job": sorted(job_ids)}
        if len(job_ids) == 1:
            # One that ends with its job: nothing of it is left.
            path, named = f"/job/{next(iter(job_ids))}/events", {}
        elif len(job_ids) > _NAMED_MAX:
            named = {}
        with self._client.lines(path, **named) as lines:
            # What changed before this moment nobody tells.
            self._tell(dict.fromkeys(job_ids))
            self._is_told = True
            for kind, data in _events(lines):
                if self._is_left:
                    return
                self._hear(kind, data)

    def _hear(self, kind: str, data: str) -> None:
        if kind == "reset":
            self._tell(dict.fromkeys(self._job_ids))
        elif kind == "job":
            row = json.loads(data)
            if row["id"] in self._job_ids:
                self._tell({row["id"]: row})
        elif kind == "task" and self._with_tasks:
            job_id = json.loads(data)["job"]
            if job_id in self._job_ids:
                self._tell({job_id: None})

    def _tell(self, changed: dict[str, JSONObject | None]) -> None:
        with self._said:
            self._changed |= changed
            self._said.notify_all()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield (event, data); a comment is an event without a name."""
    kind, data = "", ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif not line:
            yield kind, data
            kind, data = "", ""
