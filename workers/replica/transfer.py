"""
Sample bytes in, files and large results out: over HTTP, with the attempt's token.

Every byte that comes in is hashed before anybody looks at it. Nothing here parses
content or decides what a failure means for the task.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar
from uuid import UUID

import httpx

from orchestrator.contracts.assignment import AssignedSample
from orchestrator.contracts.report import Reference
from orchestrator.contracts.signature import attempt_proof
from orchestrator.contracts.wire import OPAQUE_MIME_TYPE, PROOF_HEADER, TOKEN_HEADER

#: Long enough for a restart of the API, short beside the run time of a task.
RETRY_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 4.0
#: The answer comes only when a store far away has the last byte.
_UPLOAD_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_CHUNK_BYTES = 1024 * 1024
_TOO_MANY_REQUESTS = 429

_Result = TypeVar("_Result")


class TransferError(Exception):
    """
    Bytes did not get through.

    ``recoverable``: whether another attempt may fare better. ``missing``: the sample is
    not where it should be, or not what it should be.
    """

    def __init__(
        self, message: str, *, recoverable: bool, missing: bool = False
    ) -> None:
        super().__init__(message)
        self.recoverable = recoverable
        self.missing = missing


class AbandonedError(Exception):
    """The attempt was stopped while its bytes were under way."""


class _AwayError(Exception):
    """This try failed; the next may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One attempt's right to read its sample and to store files."""

    task_id: UUID
    attempt: int
    token: str
    stopped: threading.Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that goes into the store."""

    kind: Literal["child", "evidence", "result"]
    source: Path
    file_name: str | None = None
    mime_type: str = OPAQUE_MIME_TYPE


class Transfer:
    """
    One replica's way to the store, shared by its slots.

    Args:
        api_url: The orchestrator's address, without a slash at its end.
        secret: The worker's enrolment secret, of which each request has a proof.
        slots: How many requests may be open at once.
        retry_seconds: For how long to try again when nobody answers, or a 5xx comes.
    """

    def __init__(
        self,
        api_url: str,
        *,
        secret: str,
        slots: int,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._secret = secret
        self._retry_seconds = retry_seconds
        self._client = httpx.Client(
            timeout=httpx.Timeout(10.0, connect=5.0),
            limits=httpx.Limits(
                max_connections=slots * 2, max_keepalive_connections=slots
            ),
            # Proxies and .netrc of the machine are for people, not for samples.
            trust_env=False,
        )

    def deliver(self, sample: AssignedSample, target: Path, grant: Grant) -> None:
        """
        Write *sample*'s bytes to *target*, and verify them.

        Raises:
            TransferError: The bytes are not there, not right, or nobody answered.
            AbandonedError: The attempt was stopped meanwhile.
        """
        if sample.where.kind == "path":
            _copy(sample, target)
            return
        url, headers = sample.where.value, {}
        if sample.where.kind == "http":
            url, headers = self._api_url + url, self._credentials(grant)
        self._persist(
            lambda: self._download(url, headers, sample, target), grant.stopped
        )

    def upload(self, upload: Upload, grant: Grant) -> Reference:
        """
        Put a file into the store and return what a report says of it.

        Raises:
            TransferError: The store refused it, or nobody answered.
            AbandonedError: The attempt was stopped meanwhile.
        """
        url = (
            f"{self._api_url}/internal/task/{grant.task_id}/{grant.attempt}"
            f"/file/{upload.kind}"
        )
        parameters = {"mimeType": upload.mime_type}
        if upload.file_name is not None:
            parameters["fileName"] = upload.file_name
        headers = {
            **self._credentials(grant),
            "content-type": OPAQUE_MIME_TYPE,
            "content-length": str(upload.source.stat().st_size),
        }

        def put() -> Reference:
            with upload.source.open("rb") as content:
                answer = self._client.put(
                    url,
                    params=parameters,
                    headers=headers,
                    content=_chunks(content),
                    timeout=_UPLOAD_TIMEOUT,
                )
            _check_status(answer, what=f"upload of a file of kind {upload.kind}")
            return _stored(answer, upload)

        return self._persist(put, grant.stopped)

    def _credentials(self, grant: Grant) -> dict[str, str]:
        proof = attempt_proof(self._secret, grant.token)
        return {TOKEN_HEADER: grant.token, PROOF_HEADER: proof}

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _download(
        self, url: str, headers: dict[str, str], sample: AssignedSample, target: Path
    ) -> None:
        with (
            self._client.stream("GET", url, headers=headers) as answer,
            target.open("wb") as out,
        ):
            _check_status(answer, what=f"sample {sample.sha256}", is_sample=True)
            _receive(answer.iter_bytes(_CHUNK_BYTES), out, sample)

    def _persist(self, act: Callable[[], _Result], stopped: threading.Event) -> _Result:
        deadline = time.monotonic() + self._retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if stopped.is_set():
                raise AbandonedError
            try:
                with _translated():
                    return act()
            except _AwayError as error:
                if time.monotonic() + pause > deadline:
                    raise TransferError(str(error), recoverable=True) from error
            stopped.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        message = f"the API does not answer: {type(error).__name__}: {error}"
        raise _AwayError(message) from error
    except httpx.InvalidURL as error:
        raise TransferError(f"where.value: {error}", recoverable=False) from error


def _check_status(
    answer: httpx.Response, *, what: str, is_sample: bool = False
) -> None:
    if answer.is_success:
        return
    status = answer.status_code
    if answer.is_server_error or status == _TOO_MANY_REQUESTS:
        raise _AwayError(f"{what}: the API answered {status}")
    missing = is_sample and status == httpx.codes.NOT_FOUND
    raise TransferError(
        f"{what}: the API answered {status}", recoverable=False, missing=missing
    )


def _receive(chunks: Iterator[bytes], out: BinaryIO, sample: AssignedSample) -> None:
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > sample.size:
            break
        digest.update(chunk)
        out.write(chunk)
    if size != sample.size or digest.hexdigest() != sample.sha256:
        raise TransferError(
            f"what came for sample {sample.sha256} ({sample.size} bytes) has another"
            " hash or size",
            recoverable=False,
            missing=True,
        )


def _copy(sample: AssignedSample, target: Path) -> None:
    try:
        with Path(sample.where.value).open("rb") as source, target.open("wb") as out:
            _receive(_chunks(source), out, sample)
    except FileNotFoundError as error:
        # A store's folder that was unmounted has lost nothing.
        is_here = _store_folder(sample).is_dir()
        raise TransferError(
            f"sample {sample.sha256} is not in the shared folder",
            recoverable=not is_here,
            missing=is_here,
        ) from error
    except OSError as error:
        raise TransferError(
            f"sample {sample.sha256}: {error.strerror}", recoverable=True
        ) from error


def _store_folder(sample: AssignedSample) -> Path:
    # The store keeps samples as sha256/ab/cd/abcd….
    return Path(sample.where.value).parent.parent.parent


def _chunks(content: BinaryIO) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK_BYTES):
        yield chunk


def _stored(answer: httpx.Response, upload: Upload) -> Reference:
    try:
        body = answer.json()
        return Reference(
            kind=upload.kind,
            sha256=body["sha256"],
            size=body["size"],
            file_name=upload.file_name,
            mime_type=upload.mime_type,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise TransferError(
            "the API's answer to an upload has no sha256 and size", recoverable=True
        ) from error
