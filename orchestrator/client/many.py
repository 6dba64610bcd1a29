"""
Submitting many samples: each is uploaded, and their orders go out a hundred at a time.

What is wrong with one stops no other. Where the API has had enough for now, it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.client.failures import error_of, sentence_of
from orchestrator.client.http import Client, Progressed
from orchestrator.client.job import Job
from orchestrator.client.order import Order, Source, name_of, opened
from orchestrator.client.patience import AGAIN_SECONDS, patiently
from orchestrator.domain.errors import (
    AssayError,
    AuthenticationError,
    LimitExceededError,
    PermissionDeniedError,
    UnavailableError,
)

#: Orders of one request. The API takes more; these are placed in one transaction.
_TOGETHER = 100

#: Seconds that an order waits for others: the first jobs run while files are sent.
_TOGETHER_SECONDS = 1.0

#: What is wrong with all of them alike: then nothing more is sent.
_OF_ALL = (AuthenticationError, PermissionDeniedError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """What became of one source: its job, or why there is none."""

    source: Source
    job: Job | None = None
    error: AssayError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pending:
    source: Source
    body: dict[str, Any]


class Submitter:
    """
    Args:
        patience: Seconds for which an API that is away, or has had enough of this user
            for now, is asked again, each time.
        file_name: Of all of them, instead of their own.
    """

    def __init__(
        self,
        client: Client,
        order: Order,
        *,
        patience: float,
        file_name: str | None = None,
    ) -> None:
        self._client = client
        self._order = order
        self._patience = patience
        self._file_name = file_name
        self._pending: list[_Pending] = []
        self._since = 0.0

    def submit(
        self, sources: Iterable[Source], *, progressed: Progressed
    ) -> Iterator[Submitted]:
        """
        Yield what became of each, soon after it is known; of jobs in their order.

        Raises:
            AuthenticationError: Nobody is let in with this key.
            PermissionDeniedError: Its role may not submit.
        """
        for source in sources:
            try:
                self._upload(source, progressed)
            except _OF_ALL:
                raise
            except AssayError as error:
                yield Submitted(source=source, error=error)
            if self._is_time():
                yield from self._place()
        yield from self._place()

    def _upload(self, source: Source, progressed: Progressed) -> None:
        def send() -> Any:
            with opened(source) as file:
                return self._client.send_open("/sample", file, progressed=progressed)

        # What cannot be read from its beginning again is sent once.
        may_repeat = isinstance(source, str | Path | bytes)
        sent = self._patiently(send) if may_repeat else send()
        sha256 = str(sent["sample"]["id"])
        if not self._pending:
            self._since = time.monotonic()
        name = self._file_name or name_of(source)
        body = self._order.body(sha256, file_name=name)
        self._pending.append(_Pending(source=source, body=body))

    def _is_time(self) -> bool:
        waited = time.monotonic() - self._since
        return len(self._pending) >= _TOGETHER or (
            bool(self._pending) and waited > _TOGETHER_SECONDS
        )

    def _place(self) -> Iterator[Submitted]:
        left, self._pending = self._pending, []
        deadline = time.monotonic() + self._patience
        while left:
            try:
                results = self._patiently(partial(self._send, left))
            except _OF_ALL:
                raise
            except AssayError as error:
                yield from (Submitted(source=each.source, error=error) for each in left)
                return
            refused: list[_Pending] = []
            for pending, result in zip(left, results, strict=True):
                done = self._read(pending, result)
                may_wait = isinstance(done.error, LimitExceededError | UnavailableError)
                if may_wait and time.monotonic() < deadline:
                    refused.append(pending)
                else:
                    yield done
            left = refused
            if left:
                time.sleep(AGAIN_SECONDS)

    def _send(self, pending: Iterable[_Pending]) -> list[dict[str, Any]]:
        orders = [each.body for each in pending]
        results: list[dict[str, Any]] = self._client.post(
            "/job/bulk", {"orders": orders}
        )
        return results

    def _read(self, pending: _Pending, result: dict[str, Any]) -> Submitted:
        if result["job"] is not None:
            job = Job(self._client, result["job"])
            return Submitted(source=pending.source, job=job)
        error = error_of(result["code"], sentence_of(result["messages"]))
        return Submitted(source=pending.source, error=error)

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        return patiently(ask, seconds=self._patience)
