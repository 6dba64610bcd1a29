"""
Speaks to the HTTP API for the commands: one envelope in, its data out.

Knows addresses and errors; what a command does with the data is the command's. Imports
neither the database nor Celery, so that a client command starts at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from orchestrator.client.loopback import direct_mounts
from orchestrator.config import client_settings
from orchestrator.domain.errors import AssayError, ConfigurationError

_PREFIX = "/sampledb/v2"

#: Bytes read from a file at a time; a progress bar moves this often.
_CHUNK_BYTES = 256 * 1024

#: Rows of one page; the API takes up to 100,000.
_PAGE = 1000

#: What to do about a status, where the API cannot know it.
_HINTS = {401: "; is ASSAY_API_KEY right?"}

Progressed = Callable[[int], None]


class ClientError(AssayError):
    """The API said no, or nobody answered; the message is for people."""

    code = "client_error"


class Client:
    """
    A connection to the API.

    Every method raises :class:`ClientError` with one line that says what was wrong, or
    :class:`ConfigurationError` where it is the address or the key.
    """

    def __init__(self, api_url: str, api_key: str) -> None:
        if not api_key.isascii() or not api_key.isprintable():
            raise ConfigurationError(
                "ASSAY_API_KEY: no key has such characters; copy it again",
                field="ASSAY_API_KEY",
            )
        self._url = api_url
        try:
            self._http = httpx.Client(
                base_url=api_url + _PREFIX,
                headers={"Argus-API-Key": api_key},
                timeout=httpx.Timeout(30, connect=5),
                # Of this machine itself no proxy is asked; else HTTP_PROXY and its
                # kin say so.
                mounts=direct_mounts(api_url),
            )
        except httpx.InvalidURL:
            raise _no_address(api_url) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
                chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
                body = _counted(chunks, progressed)
                # Announced, so that what is too large is refused before it is sent.
                size = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
                return self._call(
                    "POST", path, content=body, headers=size, params=parameters
                )
        except OSError as error:
            raise ClientError(f"cannot be read: {error.strerror}") from None

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

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send *body* and return the answer's data."""
        return self._call("POST", path, json=body)

    def put(self, path: str) -> Any:
        """Ask for a change that needs no words."""
        return self._call("PUT", path, json={})

    def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._http.request(method, path, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise ClientError(
                f"nobody answers at {self._url}; is `assay up` running, and is"
                " ASSAY_API_URL right?"
            ) from None
        except httpx.UnsupportedProtocol:
            raise _no_address(self._url) from None
        except httpx.TimeoutException:
            raise ClientError(f"{self._url} took too long; try again") from None
        except httpx.HTTPError as error:
            raise ClientError(
                f"{self._url} broke off ({type(error).__name__}); try again"
            ) from None
        return _data_of(answer)


def connect() -> Client:
    """
    Connect as the settings say.

    Raises:
        ConfigurationError: The address or the key is not set, or is not valid.
    """
    settings = client_settings()
    return Client(settings.api_url, settings.api_key)


def segment(name: str) -> str:
    """
    Return what a person typed as one segment of a path, whatever it holds.

    Raises:
        ClientError: It is nothing, or what a path does not take as a name.
    """
    if name in {"", ".", ".."}:
        raise ClientError(f"'{name}' is no name or id; say which one is meant")
    return quote(name, safe="")


def _counted(chunks: Iterator[bytes], progressed: Progressed) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        progressed(len(chunk))


def _data_of(answer: httpx.Response) -> Any:
    envelope = _envelope_of(answer)
    if answer.is_success and envelope is not None:
        return envelope.get("data")
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    if envelope is None:
        raise ClientError(
            f"{answer.url} answered {status}, and not as Assay does; is ASSAY_API_URL"
            " right?"
        )
    said = _one_line("; ".join(_sentences(envelope))) or answer.url.path
    hint = _HINTS.get(answer.status_code, "")
    raise ClientError(f"{said}{hint} ({status})")


def _envelope_of(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        document = answer.json()
    except ValueError:
        return None
    is_envelope = isinstance(document, dict) and "responseCode" in document
    return document if is_envelope else None


def _sentences(envelope: dict[str, Any]) -> Iterator[str]:
    for message in envelope.get("messages") or ():
        about = f"{message['field']}: " if message.get("field") else ""
        yield f"{about}{message.get('message', '')}"


def _one_line(text: str) -> str:
    # It goes to a terminal, and whoever answered may be anybody.
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def _no_address(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"ASSAY_API_URL: {url!r} is no address; give one like http://127.0.0.1:8000",
        field="ASSAY_API_URL",
    )
