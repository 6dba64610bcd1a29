"""
Assay for Python programs: ``from orchestrator import Assay``.

Over HTTP alone: from any machine, with a key of the role user. What is asked is here;
how, is ``http.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from orchestrator.client.http import Client, Progressed, segment
from orchestrator.client.job import Job
from orchestrator.client.many import Submitted, Submitter
from orchestrator.client.models import Analysis, Found, Sample, Verdict
from orchestrator.client.order import Order, Source, name_of, opened
from orchestrator.client.settings import client_settings

#: Items of one page of a list.
_PAGE = 100

#: Seconds for which submit_many asks an API again that has had enough for now.
_PATIENCE = 300.0


class Assay:
    """
    A connection to the service; for one thread at a time.

    Every method raises an ``AssayError`` that says what was wrong and, where it is a
    field, which: ``NotFoundError``, ``InvalidError``, ``PermissionDeniedError``,
    ``LimitExceededError``, ``UnavailableError`` (try again) and the others of
    ``orchestrator.domain.errors``.

    Args:
        api_url: Like ``http://127.0.0.1:8000``.
        api_key: What ``assay key create`` printed.
        ca_certs: A file with certificates of authorities that are trusted beside the
            public ones, for an ``https://`` address.
    """

    def __init__(
        self, api_url: str, api_key: str, *, ca_certs: str | None = None
    ) -> None:
        self._client = Client(api_url.rstrip("/"), api_key, ca_certs=ca_certs)

    @classmethod
    def from_env(cls) -> Self:
        """
        Connect as the environment says, or what ``assay up`` wrote on this machine.

        Raises:
            ConfigurationError: A setting is missing; the message says which.
        """
        settings = client_settings()
        return cls(settings.api_url, settings.api_key, ca_certs=settings.ca_certs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def submit(  # noqa: PLR0913  (what may be said of a sample, by name)
        self,
        source: Source,
        *,
        file_name: str | None = None,
        priority: int = 0,
        workers: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        customer: str | None = None,
        tlp: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Upload a sample and order its analysis.

        Args:
            source: A path, the bytes themselves, or a file open in binary mode.
            file_name: For people; that of the path if left out.
            priority: -9 to 9; one step is worth ten minutes of waiting.
            workers: Short names; ``None`` leaves the choice to the policy.
            options: For the workers.
            customer: For whom, if not for your own customer.
            tlp: ``amber``, ``green`` or ``clear``: who may be shown it.
            metadata: Names and values of your own, which rules of the policy may match.
            idempotency_key: The same key and order give the first job again.

        Raises:
            SampleTooLargeError: It is above the service's ``ASSAY_SAMPLE_MAX_BYTES``.
            UnknownWorkerError: A worker is not registered.
            LimitExceededError: You have too many open tasks for now.
        """
        order = Order(
            priority=priority,
            workers=workers,
            options=options or {},
            customer=customer,
            tlp=tlp,
            metadata=metadata or {},
        )
        with opened(source) as file:
            stored = self._client.send_open("/sample", file)
        body = order.body(
            stored["sample"]["id"],
            file_name=file_name or name_of(source),
            key=idempotency_key,
        )
        return Job(self._client, self._client.post("/job", body))

    def submit_many(
        self,
        sources: Iterable[Source],
        order: Order | None = None,
        *,
        patience: float = _PATIENCE,
        progressed: Progressed = lambda _: None,
    ) -> Iterator[Submitted]:
        """
        Submit many samples, and yield what became of each; one that fails stops none.

        Args:
            order: The same for all.
            patience: Seconds for which the API is asked again, each time that it is
                away or has had enough of this user for now.
            progressed: Is told of bytes that were sent.

        Raises:
            AuthenticationError: Nobody is let in with this key.
            PermissionDeniedError: Its role may not submit.
        """
        submitter = Submitter(self._client, order or Order(), patience=patience)
        return submitter.submit(sources, progressed=progressed)

    def job(self, job_id: UUID | str) -> Job:
        """Return one job, by its id."""
        return Job(self._client, self._client.get(f"/job/{segment(str(job_id))}"))

    def jobs(
        self, *, states: Sequence[str] = (), sample_sha256: str | None = None
    ) -> Iterator[Job]:
        """
        Yield the jobs that you may see, the newest first, page by page.

        Args:
            states: Only those in one of these.
            sample_sha256: Only those of this sample.
        """
        wanted: dict[str, Any] = {"state": list(states)}
        if sample_sha256 is not None:
            wanted["sampleSha256"] = [sample_sha256]
        offset = 0
        while True:
            page = {**wanted, "limit": _PAGE, "offset": offset}
            found = self._client.post("/job/search", page)
            yield from (Job(self._client, each) for each in found)
            offset += len(found)
            if len(found) < _PAGE:
                return

    def sample(self, sha256: str) -> Sample:
        """Return one sample, by its SHA-256."""
        return Sample.model_validate(self._client.get(f"/sample/{segment(sha256)}"))

    def samples(self, *words: str) -> Iterator[Sample]:
        """
        Yield the samples that you may see, the newest first, page by page.

        Args:
            words: All of them are in its hashes, names, tags or metadata.
        """
        offset = 0
        while True:
            found = self._client.get(
                "/sample",
                keywords=list(words) or None,
                keywordMatchStrategy="all",
                # All of them, not those of the last month.
                indexStartTimestamp=0,
                limit=_PAGE,
                offset=offset,
            )
            yield from map(Sample.model_validate, found)
            offset += len(found)
            if len(found) < _PAGE:
                return

    def analyses(self, sha256: str) -> Iterator[Analysis]:
        """Yield what was found in a sample, the newest first."""
        found = self._client.get_all(f"/sample/{segment(sha256)}/analysis")
        yield from map(Analysis.model_validate, found)

    def verdicts(self, sha256: str) -> Iterator[Verdict]:
        """Yield the verdicts of a sample with all that counted, the newest first."""
        found = self._client.get_all(f"/sample/{segment(sha256)}/verdict")
        yield from map(Verdict.model_validate, found)

    def find(self, few: str) -> list[Found]:
        """Return what may be meant by a few characters of an id, hash or name."""
        return list(map(Found.model_validate, self._client.get("/find", q=few)))
