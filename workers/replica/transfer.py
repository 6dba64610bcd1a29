"""
Sample bytes in, files and large results out: over HTTP, with the attempt's token.

Every byte that comes in is hashed before anybody looks at it, and no more of them are
taken than were announced. Whoever is slow is waited for until the attempt's run time is
over or it is stopped, however the slowness is spread. Nothing here parses content or
decides what a failure means for the task.
"""

from __future__ import annotations

import hashlib
import json
import os
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
from workers.replica.sources import Sources, check_api_path
from workers.replica.watched import WatchedTransport, watched

#: Long enough for a restart of the API, short beside the run time of a task.
RETRY_SECONDS = 30.0

#: The API's word for a sample whose bytes are gone.
_SAMPLE_MISSING = "sample_missing"

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 4.0
#: Seconds of silence. A connection that is frozen costs a sample this long, not its run
#: time: it is asked for again on another.
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
#: An upload is answered when a store, perhaps far away, has the last byte: so many
#: seconds, and as many more as so many bytes a second make of its size.
_STORED_SECONDS = 20.0
_STORED_BYTES_A_SECOND = 5 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
#: The API answers an upload with a hash and a size.
_ANSWER_MAX_BYTES = 65_536
#: What is compressed on the way would be the sample after somebody has inflated it.
_AS_IT_IS = {"accept-encoding": "identity"}
_TOO_MANY_REQUESTS = 429

_Result = TypeVar("_Result")


class TransferError(Exception):
    """
    Bytes did not get through.

    ``recoverable``: whether another attempt may fare better, because the API, the store
    or this replica is at fault. ``missing``: the sample is not where it should be, or
    not what it should be.
    """

    def __init__(
        self, message: str, *, recoverable: bool, missing: bool = False
    ) -> None:
        super().__init__(message)
        self.recoverable = recoverable
        self.missing = missing


class AbandonedError(Exception):
    """The attempt was stopped while its bytes were under way."""


class OutOfTimeError(Exception):
    """The attempt's run time was over while its bytes were under way."""


class _AwayError(Exception):
    """This try failed; the next may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """
    One attempt's right to read its sample and to store files.

    ``deadline``: on ``time.monotonic``, when its run time is over.
    """

    task_id: UUID
    attempt: int
    token: str
    stopped: threading.Event
    deadline: float

    def seconds_left(self) -> float:
        """
        Return how long it may go on.

        Raises:
            AbandonedError: It was stopped.
            OutOfTimeError: Its run time is over.
        """
        if self.stopped.is_set():
            raise AbandonedError
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise OutOfTimeError
        return left


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
        sources: From where samples may be read, beside the API.
        ca_certs: A file of authorities that are trusted beside the public ones.
        retry_seconds: For how long to try again when nobody answers, or a 5xx comes.
    """

    def __init__(
        self,
        api_url: str,
        *,
        secret: str,
        slots: int,
        sources: Sources,
        ca_certs: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._secret = secret
        self._sources = sources
        self._retry_seconds = retry_seconds
        limits = httpx.Limits(
            max_connections=slots * 2, max_keepalive_connections=slots
        )
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            transport=WatchedTransport(limits, ca_certs=ca_certs),
            # Proxies and .netrc of the machine are for people, not for samples.
            trust_env=False,
            follow_redirects=False,
        )

    def deliver(self, sample: AssignedSample, target: Path, grant: Grant) -> None:
        """
        Write *sample*'s bytes to *target*, and verify them.

        Raises:
            RefusedSourceError: This replica reads nothing there; nothing was opened.
            TransferError: The bytes are not there, not right, or nobody answered.
            AbandonedError: The attempt was stopped meanwhile.
            OutOfTimeError: Its run time is over.
        """
        value = sample.where.value
        match sample.where.kind:
            case "path":
                self._copy(sample, target, grant)
                return
            case "url":
                url, headers = self._sources.check_url(value), _AS_IT_IS
            case "http":
                url = self._api_url + check_api_path(value)
                headers = {**_AS_IT_IS, **self._credentials(grant)}
        from_api = sample.where.kind == "http"
        self._persist(
            lambda: self._download(url, headers, sample, target, from_api=from_api),
            grant,
        )

    def upload(self, upload: Upload, grant: Grant) -> Reference:
        """
        Put a file into the store and return what a report says of it.

        Raises:
            TransferError: The store refused it, or nobody answered.
            AbandonedError: The attempt was stopped meanwhile.
            OutOfTimeError: Its run time is over.
        """
        url = (
            f"{self._api_url}/internal/task/{grant.task_id}/{grant.attempt}"
            f"/file/{upload.kind}"
        )
        parameters = {"mimeType": upload.mime_type}
        if upload.file_name is not None:
            parameters["fileName"] = upload.file_name
        size = upload.source.stat().st_size
        headers = {
            **_AS_IT_IS,
            **self._credentials(grant),
            "content-type": OPAQUE_MIME_TYPE,
            "content-length": str(size),
        }

        def put() -> Reference:
            with (
                upload.source.open("rb") as content,
                self._client.stream(
                    "PUT",
                    url,
                    params=parameters,
                    headers=headers,
                    content=_chunks(content, size),
                    timeout=_upload_timeout(size),
                ) as answer,
            ):
                _check_status(answer, what=f"upload of a file of kind {upload.kind}")
                return _stored(_answered(answer), upload)

        return self._persist(put, grant)

    def _credentials(self, grant: Grant) -> dict[str, str]:
        proof = attempt_proof(self._secret, grant.token)
        return {TOKEN_HEADER: grant.token, PROOF_HEADER: proof}

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _download(
        self,
        url: str,
        headers: dict[str, str],
        sample: AssignedSample,
        target: Path,
        *,
        from_api: bool,
    ) -> None:
        with (
            self._client.stream("GET", url, headers=headers) as answer,
            target.open("wb") as out,
        ):
            what = f"sample {sample.sha256}"
            if from_api:
                _check_status(answer, what=what)
                _check_name(answer, sample)
            else:
                _check_store(answer, what=what)
            announced = answer.headers.get("content-length", str(sample.size))
            if announced != str(sample.size):
                raise _another(sample)
            # As it comes: whole chunks would have to be waited for.
            _receive(answer.iter_raw(), out, sample)

    def _copy(self, sample: AssignedSample, target: Path, grant: Grant) -> None:
        grant.seconds_left()
        try:
            with (
                self._sources.open(sample.where.value) as source,
                target.open("wb") as out,
            ):
                if os.fstat(source.fileno()).st_size != sample.size:
                    raise _another(sample)
                chunks = _chunks(source, sample.size + 1, look=grant.seconds_left)
                _receive(chunks, out, sample)
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

    def _persist(self, act: Callable[[], _Result], grant: Grant) -> _Result:
        deadline = time.monotonic() + self._retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            grant.seconds_left()
            try:
                with _translated(), watched(grant.seconds_left):
                    return act()
            except _AwayError as error:
                # A run time that ends in between says less than what went wrong.
                if time.monotonic() + pause > min(deadline, grant.deadline):
                    raise TransferError(str(error), recoverable=True) from error
            grant.stopped.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        # Not the URL, which may be signed.
        who = error.request.url.host
        message = f"{who} does not answer: {type(error).__name__}: {error}"
        raise _AwayError(message) from error


def _check_store(answer: httpx.Response, *, what: str) -> None:
    """Of an object store, whose words are its own."""
    if answer.is_success:
        return
    status = answer.status_code
    said = f"{what}: the store answered {status}"
    if answer.is_server_error or status == _TOO_MANY_REQUESTS:
        raise _AwayError(said)
    missing = status == httpx.codes.NOT_FOUND
    raise TransferError(said, recoverable=not missing, missing=missing)


def _check_status(answer: httpx.Response, *, what: str) -> None:
    """Of the API: what is not in its own words is somebody else's, between us."""
    if answer.is_success:
        return
    status = answer.status_code
    if answer.is_server_error or status == _TOO_MANY_REQUESTS:
        raise _AwayError(f"{what}: the API answered {status}")
    code = _code(answer)
    if code is None:
        raise _not_the_api(what, answer)
    # Whoever is not let in has a secret that is no longer the worker's.
    is_ours = status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
    raise TransferError(
        f"{what}: the API answered {status} ({code})",
        recoverable=is_ours,
        missing=code == _SAMPLE_MISSING,
    )


def _check_name(answer: httpx.Response, sample: AssignedSample) -> None:
    # A page that asks for a password comes with 200 too.
    if sample.sha256 not in answer.headers.get("content-disposition", ""):
        raise _not_the_api(f"sample {sample.sha256}", answer)


def _code(answer: httpx.Response) -> str | None:
    """Return the word by which our API says what is wrong; ``None``: it is another."""
    try:
        code = json.loads(_answered(answer))["metaData"]["code"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return code if isinstance(code, str) else None


def _not_the_api(what: str, answer: httpx.Response) -> TransferError:
    return TransferError(
        f"{what}: {answer.status_code} came, and not from Assay's API; see where"
        " ASSAY_API_URL leads, and what stands between",
        recoverable=True,
    )


def _receive(chunks: Iterator[bytes], out: BinaryIO, sample: AssignedSample) -> None:
    """Write what comes, and not a byte more than was announced."""
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > sample.size:
            break
        digest.update(chunk)
        out.write(chunk)
    if size != sample.size or digest.hexdigest() != sample.sha256:
        raise _another(sample)


def _another(sample: AssignedSample) -> TransferError:
    return TransferError(
        f"what came for sample {sample.sha256} ({sample.size} bytes) has another"
        " hash or size",
        recoverable=False,
        missing=True,
    )


def _store_folder(sample: AssignedSample) -> Path:
    # The store keeps samples as sha256/ab/cd/abcd….
    return Path(sample.where.value).parent.parent.parent


def _chunks(
    content: BinaryIO, most_bytes: int, *, look: Callable[[], object] | None = None
) -> Iterator[bytes]:
    left = most_bytes
    while left and (chunk := content.read(min(_CHUNK_BYTES, left))):
        if look is not None:
            look()
        left -= len(chunk)
        yield chunk


def _upload_timeout(size: int) -> httpx.Timeout:
    read = _STORED_SECONDS + size / _STORED_BYTES_A_SECOND
    return httpx.Timeout(10.0, connect=5.0, read=read)


def _answered(answer: httpx.Response) -> bytes:
    body = bytearray()
    for part in answer.iter_raw():
        body += part
        if len(body) > _ANSWER_MAX_BYTES:
            raise TransferError(
                f"the API's answer is above {_ANSWER_MAX_BYTES} bytes",
                recoverable=True,
            )
    return bytes(body)


def _stored(answer: bytes, upload: Upload) -> Reference:
    try:
        body = json.loads(answer)
        return Reference(
            kind=upload.kind,
            sha256=body["sha256"],
            size=body["size"],
            receipt=body["receipt"],
            file_name=upload.file_name,
            mime_type=upload.mime_type,
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TransferError(
            "the API's answer to an upload has no sha256, size and receipt",
            recoverable=True,
        ) from error
