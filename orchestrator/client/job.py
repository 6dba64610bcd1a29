"""
A job that somebody has ordered: as it stood when it was last asked for, and what can be
done with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Self
from uuid import UUID

from typing_extensions import override

from orchestrator.client.failures import WaitTimeoutError
from orchestrator.client.http import Client
from orchestrator.client.models import OVER, JobData, JobVerdict, Task
from orchestrator.client.patience import PATIENCE_SECONDS, patiently
from orchestrator.client.watch import Watch

#: Seconds between two looks: a short job is seen soon, a long one costs little, and one
#: that is told of nearly nothing.
_FIRST_LOOK = 0.05
_LONGEST_LOOK = 1.0
_TOLD_LOOK = 10.0
_FOREVER = float("inf")


class Job:
    """
    One analysis run of a sample. Every method that asks raises an ``AssayError``.
    """

    def __init__(self, client: Client, data: Mapping[str, Any]) -> None:
        self._client = client
        self._data = JobData.model_validate(data)

    @property
    def id(self) -> UUID:
        """Which job it is."""
        return self._data.id

    @property
    def state(self) -> str:
        """``enqueued``, ``executing``, ``done`` or ``timeout``, when last asked."""
        return self._data.state

    @property
    def is_over(self) -> bool:
        """Whether every task had ended when it was last asked for."""
        return self.state in OVER

    @property
    def sample_sha256(self) -> str:
        """Of which sample."""
        return self._data.analysed_sample.id

    @property
    def file_name(self) -> str | None:
        """Under which name it was submitted."""
        return self._data.file_name

    @property
    def open_tasks(self) -> int:
        """How many tasks had not ended when it was last asked for."""
        return self._data.open_tasks

    @property
    def priority(self) -> int:
        """From -9 to 9."""
        return self._data.priority

    @property
    def enqueued_at(self) -> datetime:
        """When it was ordered, in UTC."""
        return self._data.enqueued_timestamp

    @property
    def ended_at(self) -> datetime | None:
        """When its last task ended, in UTC."""
        return self._data.end_timestamp

    @property
    def verdict(self) -> JobVerdict | None:
        """Its newest verdict; ``None`` while there is none, or if nothing counted."""
        return self._data.verdict

    def refresh(self) -> Self:
        """Ask how it stands now."""
        self._data = JobData.model_validate(self._client.get(f"/job/{self.id}"))
        return self

    def take(self, data: Mapping[str, Any] | None) -> Self:
        """Take how it stands now from what was told, or ask."""
        if data is None:
            return self.refresh()
        self._data = JobData.model_validate(data)
        return self

    def wait(self, *, timeout: float | None = None) -> Self:
        """
        Return when it is over.

        Args:
            timeout: Seconds; ``None`` waits as long as it takes. Every job ends.

        Raises:
            WaitTimeoutError: It takes longer; it goes on, and may be waited for again.
            UnavailableError: Nobody has answered for five minutes, or when *timeout*
                was over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.refresh().is_over:
            return self
        with Watch(self._client, [str(self.id)]) as watch:
            pause = _FIRST_LOOK
            while not self.is_over:
                left = _FOREVER if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise WaitTimeoutError(
                        f"job {self.id} has {self.open_tasks} open tasks after"
                        f" {timeout:g} s; it goes on"
                    )
                told = watch.wait(min(pause, left))
                row = told.get(str(self.id)) if told else None
                patiently(partial(self.take, row), seconds=min(left, PATIENCE_SECONDS))
                # Whoever is told need not look; but what tells may be gone.
                longest = _LONGEST_LOOK if told is None else _TOLD_LOOK
                pause = min(pause * 1.5, longest)
        return self

    def tasks(self) -> list[Task]:
        """Return its tasks, by worker."""
        found = self._client.get_all(f"/job/{self.id}/tasks")
        return list(map(Task.model_validate, found))

    def cancel(self) -> Self:
        """Cancel those of its tasks that have not ended."""
        return self._put("cancel")

    def retry(self) -> Self:
        """Have its failed and timed-out tasks tried again."""
        return self._put("retry")

    def _put(self, verb: str) -> Self:
        self._data = JobData.model_validate(self._client.put(f"/job/{self.id}/{verb}"))
        return self

    @override
    def __repr__(self) -> str:
        verdict = f", {self.verdict.status}" if self.verdict else ""
        return f"<Job {self.id} {self.state}{verdict}>"
