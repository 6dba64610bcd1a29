"""
Asks the orchestrator whether this replica still speaks for its worker.

While it does not, the replica takes nothing: what it would take, a replica with the
present secret can do. A heartbeat that is refused tells a replica nothing, or anybody
could stop one by forging its heartbeats.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from urllib.parse import quote

import httpx

from orchestrator.contracts.https import CA_CERTS, why_untrusted
from orchestrator.contracts.signature import enrolment_proof
from orchestrator.contracts.wire import PROOF_HEADER, REPLICA_HEADER
from workers.replica.identity import wall_clock
from workers.replica.skew import Skew
from workers.replica.watched import WatchedTransport, watched

log = logging.getLogger(__name__)

#: Seconds from one question to the next while nobody answers.
_UNANSWERED_SECONDS = 5.0

#: Seconds for the whole of an answer.
_ANSWER_SECONDS = 5.0

#: Not enrolled any more; more replicas than a worker may have.
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PRECONDITION_FAILED)

#: Bytes of an answer that are shown; what is above is not read.
_SHOWN_BYTES = 2_000


class _TooLongError(Exception):
    """The answer is not there, and its time is over."""


class Standing(Enum):
    """What the orchestrator says; an API that does not answer refuses nobody."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """One replica's question. ``skew``: what the answers say of our clock."""

    api_url: str
    worker: str
    secret: str = field(repr=False)
    replica: str
    ca_certs: str | None = None
    skew: Skew = field(default_factory=Skew)

    def ask(self) -> Standing:
        """Ask once; say in the log what is wrong, if something is."""
        name = quote(self.worker, safe="")
        url = f"{self.api_url.rstrip('/')}/internal/worker/{name}"
        shown = {
            PROOF_HEADER: enrolment_proof(self.secret, self.worker),
            REPLICA_HEADER: self.replica,
        }
        until = time.monotonic() + _ANSWER_SECONDS

        def look() -> float:
            # A server that drips is no better than one that says nothing.
            left = until - time.monotonic()
            if left <= 0:
                raise _TooLongError
            return left

        asked = wall_clock()
        transport = WatchedTransport(
            httpx.Limits(max_connections=1), ca_certs=self.ca_certs
        )
        try:
            with (
                watched(look),
                httpx.Client(
                    timeout=_ANSWER_SECONDS, transport=transport, trust_env=False
                ) as client,
                client.stream("GET", url, headers=shown) as answer,
            ):
                date, answered = answer.headers.get("date"), wall_clock()
                self.skew.note(date, asked=asked, answered=answered)
                return _standing(answer)
        except (httpx.HTTPError, httpx.InvalidURL, _TooLongError) as error:
            said = {"error": type(error).__name__, "hint": self._hint(error)}
            log.warning("enrolment.unanswered", extra=said)
            return Standing.UNANSWERED

    def _hint(self, error: Exception) -> str:
        place, why = _place(self.api_url), why_untrusted(error)
        if why is None:
            return f"the API does not answer at {place}"
        return (
            f"the certificate of the API at {place} is not trusted: {why}; set"
            f" {CA_CERTS} to the file of its authority"
        )


def _place(url: str) -> str:
    # Without what somebody may have written before the host.
    return url.partition("//")[2].rpartition("@")[2].rstrip("/")


def _standing(answer: httpx.Response) -> Standing:
    status = answer.status_code
    if status == HTTPStatus.NO_CONTENT:
        return Standing.ACCEPTED
    if status not in _REFUSALS:
        log.warning("enrolment.unanswered", extra={"status": status})
        return Standing.UNANSWERED
    said = next(answer.iter_raw(_SHOWN_BYTES), b"").decode("utf-8", "replace")
    log.error("enrolment.refused", extra={"said": said, "takes_work": False})
    return Standing.REFUSED


class Watch:
    """
    The thread that goes on asking.

    Args:
        ask: Asks once.
        on_change: Called in the thread with whether the replica may take work.
        every_seconds: From one question to the next.
    """

    def __init__(
        self,
        ask: Callable[[], Standing],
        on_change: Callable[[bool], None],
        *,
        every_seconds: float,
    ) -> None:
        self._ask = ask
        self._on_change = on_change
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._may_work = True
        self._thread = threading.Thread(
            target=self._run, name="assay-enrolment", daemon=True
        )

    def wait_until_not_refused(self, stopping: Callable[[], bool]) -> None:
        """Ask, and go on asking while the answer is no, until *stopping* says so."""
        while self._ask() is Standing.REFUSED and not stopping():
            pause = self._every_seconds
            while pause > 0 and not stopping():
                # A signal's handler sets no event: it takes no lock.
                self._ended.wait(0.2)
                pause -= 0.2

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a question that is under way is left alone."""
        self._ended.set()

    def _run(self) -> None:
        soon = min(_UNANSWERED_SECONDS, self._every_seconds)
        pause = soon
        while not self._ended.wait(pause):
            standing = self._ask()
            unanswered = standing is Standing.UNANSWERED
            pause = soon if unanswered else self._every_seconds
            may_work = standing is not Standing.REFUSED
            if not unanswered and may_work != self._may_work:
                self._may_work = may_work
                self._on_change(may_work)
