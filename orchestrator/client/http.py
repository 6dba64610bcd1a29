"""
Speaks to the HTTP API: one envelope in, its data out.

Knows addresses; what the data mean is the caller's. Imports neither the database nor
Celery, so that a program that submits starts at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

import httpx

from orchestrator.client.failures import (
    ClientError,
    NoAnswerError,
    data_of,
    envelope_of,
    no_address,
)
from orchestrator.client.loopback import direct_mounts
from orchestrator.client.settings import client_settings
from orchestrator.contracts.https import CA_CERTS, trusting, why_untrusted
from orchestrator.domain.errors import ConfigurationError, InvalidError

_PREFIX = "/sampledb/v2"

#: Bytes read from a file at a time; a progress bar moves this often.
_CHUNK_BYTES = 256 * 1024

#: Seconds; of a live stream a comment comes every 15.
_STREAM_TIMEOUT = httpx.Timeout(40, connect=5)

#: Rows of one page; the API takes up to 100,000.
_PAGE = 1000

Progressed = Callable[[int], None]


class Client:
    """
    A connection to the API.

    Every method raises an error with one line that says what was wrong: what the API
    said (``failures.py``), :class:`NoAnswerError`, :class:`ClientError` where something
    else answers, or :class:`ConfigurationError` for the address or the key.
    """

    def __init__(
        self, api_url: str, api_key: str, *, ca_certs: str | None = None
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable():
            raise ConfigurationError(
                "ASSAY_API_KEY: no key has such characters; copy it again",
                field="ASSAY_API_KEY",
            )
        self._url = api_url
        self._key = api_key
        self._ca_certs = ca_certs
        try:
            self._http = httpx.Client(
                base_url=api_url + _PREFIX,
                headers={"Argus-API-Key": api_key},
                timeout=httpx.Timeout(30, connect=5),
                # Of this machine itself no proxy is asked; else HTTP_PROXY and its
                # kin say so.
                mounts=direct_mounts(api_url),
                verify=trusting(ca_certs, trust_env=True),
            )
        except httpx.InvalidURL:
            raise no_address(api_url) from None

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
        self._http.close()

    def upload(self, path: Path, *, progressed: Progressed = lambda _: None) -> str:
        """Upload a file, a chunk at a time; return its SHA-256."""
        return str(self.send("/sample", path, progressed=progressed)["sample"]["id"])

    def send(
        self,
        path: str,
        file_path: Path,
        *,
        progressed: Progressed = lambda _: None,
        **parameters: object,
    ) -> Any:
        """Send a file as the body, a chunk at a time, and return the answer's data."""
        try:
            with file_path.open("rb") as file:
                return self.send_open(path, file, progressed=progressed, **parameters)
        except OSError as error:
            raise ClientError(f"cannot be read: {error.strerror}") from None

    def send_open(
        self,
        path: str,
        file: IO[bytes],
        *,
        progressed: Progressed = lambda _: None,
        **parameters: object,
    ) -> Any:
        """Send an open file, from where it stands to its end, as the body."""
        begin = file.tell()
        size = file.seek(0, os.SEEK_END) - begin
        file.seek(begin)
        chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
        return self._call(
            "POST",
            path,
            content=_counted(chunks, size, progressed),
            # Announced, so that what is too large is refused before it is sent.
            headers={"Content-Length": str(size)},
            params=parameters,
        )

    def another(self) -> Client:
        """Return another connection to the same API: for another thread."""
        return Client(self._url, self._key, ca_certs=self._ca_certs)

    @contextmanager
    def lines(self, path: str, **parameters: list[str]) -> Iterator[Iterator[str]]:
        """Open a stream of lines; it ends when the API ends it."""
        with (
            self._named_errors(),
            self._http.stream(
                "GET", path, params=parameters, timeout=_STREAM_TIMEOUT
            ) as answer,
        ):
            if not answer.is_success:
                answer.read()
                data_of(answer)
            yield answer.iter_lines()

    def session(self) -> Any:
        """Return whose key it is, and how large a sample may be."""
        return self._call("GET", f"{self._url}/authentication/v1/session")

    def get(self, path: str, **parameters: object) -> Any:  # JSON, as the API has it
        """Return the data at *path*."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._call("GET", path, params=given)

    def get_all(self, path: str, **parameters: object) -> list[Any]:
        """Return every item of a list, page by page."""
        items: list[Any] = []
        while True:
            page = self.get(path, limit=_PAGE, offset=len(items), **parameters)
            items += page
            if len(page) < _PAGE:
                return items

    def download(self, path: str, target: IO[bytes]) -> int:
        """Write what is at *path*, as it is, to *target*; return how many bytes."""
        with self._named_errors(), self._http.stream("GET", path) as answer:
            if not answer.is_success:
                answer.read()
                data_of(answer)
            return sum(map(target.write, answer.iter_bytes(_CHUNK_BYTES)))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send *body* and return the answer's data."""
        return self._call(
            "POST",
            path,
            content=_document(body),
            headers={"Content-Type": "application/json"},
        )

    def put(self, path: str) -> Any:
        """Ask for a change that needs no words."""
        return self._call("PUT", path, json={})

    def delete(self, path: str) -> Any:
        """Ask for the end of something."""
        return self._call("DELETE", path)

    def troubles(self) -> list[dict[str, str]]:
        """Return what the API says of itself that is not as it should be."""
        # It is not ready either while something is missing, and says both.
        envelope = envelope_of(self._request("GET", f"{self._url}/health/ready"))
        found = (envelope or {}).get("data") or {}
        return list(found.get("troubles", ()))

    def _call(self, method: str, path: str, **request: Any) -> Any:
        return data_of(self._request(method, path, **request))

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._named_errors():
            return self._http.request(method, path, **request)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        if self._http.is_closed:
            raise ClientError("this connection has been closed; open another")
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreached(error) from None
        except httpx.UnsupportedProtocol:
            raise no_address(self._url) from None
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise ClientError(
                "what was asked for is too long, or not text; say which one is meant"
            ) from None
        except httpx.TimeoutException:
            raise NoAnswerError(f"{self._url} took too long; try again") from None
        except httpx.HTTPError as error:
            raise NoAnswerError(
                f"{self._url} broke off ({type(error).__name__}); try again"
            ) from None

    def _unreached(self, error: httpx.TransportError) -> NoAnswerError:
        why = why_untrusted(error)
        if why is not None:
            return NoAnswerError(
                f"the certificate of {self._url} is not trusted: {why}; is"
                f" ASSAY_API_URL right, and the file of its authority in {CA_CERTS}?"
            )
        return NoAnswerError(
            f"nobody answers at {self._url}; is `assay up` running, and is"
            " ASSAY_API_URL right?"
        )


def connect() -> Client:
    """
    Connect as the settings say.

    Raises:
        ConfigurationError: The address or the key is not set, or is not valid.
    """
    settings = client_settings()
    return Client(settings.api_url, settings.api_key, ca_certs=settings.ca_certs)


def segment(name: str) -> str:
    """
    Return what a person typed as one segment of a path, whatever it holds.

    Raises:
        ClientError: It is nothing, or what a path does not take as a name.
    """
    if name in {"", ".", ".."}:
        raise ClientError(f"'{name}' is no name or id; say which one is meant")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise ClientError("what is no text is no name or id") from None


def _document(body: dict[str, Any]) -> bytes:
    try:
        # Half a surrogate pair goes as an escape: the API says in which field it is.
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"cannot be written as JSON: {error}") from None


def _counted(
    chunks: Iterator[bytes], size: int, progressed: Progressed
) -> Iterator[bytes]:
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
        progressed(len(chunk))
    if left:
        # As a log file that is written to: it would not be the sample that was meant.
        raise ClientError("cannot be sent: it changes while it is read")
