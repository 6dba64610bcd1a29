"""
Speaks to the HTTP API for the commands: one envelope in, its data out.

Knows addresses and errors; what a command does with the data is the command's. Imports
neither the database nor Celery, so that a client command starts at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from orchestrator.domain.errors import AssayError

_PREFIX = "/sampledb/v2"

#: Bytes read from a file at a time; a progress bar moves this often.
_CHUNK_BYTES = 256 * 1024

#: Rows of one page; the API takes up to 100,000.
_PAGE = 1000

Progressed = Callable[[int], None]


class ClientError(AssayError):
    """The API said no, or nobody answered; the message is for people."""

    code = "client_error"


class Client:
    """
    A connection to the API.

    Every method raises :class:`ClientError` with one line that says what was wrong.
    """

    def __init__(self, api_url: str, api_key: str) -> None:
        self._url = api_url
        self._http = httpx.Client(
            base_url=api_url + _PREFIX,
            headers={"Argus-API-Key": api_key},
            timeout=httpx.Timeout(30, connect=5),
        )

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
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
            data = self._call("POST", "/sample", content=_counted(chunks, progressed))
        return str(data["sample"]["id"])

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
        except httpx.ConnectError:
            raise ClientError(
                f"nobody answers at {self._url}; is `assay up` running, and is"
                " ASSAY_API_URL right?"
            ) from None
        except httpx.HTTPError as error:
            raise ClientError(f"{self._url}: {type(error).__name__}") from None
        if answer.is_success:
            return answer.json()["data"]
        raise ClientError(_complaint(answer))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _counted(chunks: Iterator[bytes], progressed: Progressed) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        progressed(len(chunk))


def _complaint(answer: httpx.Response) -> str:
    status = f"{answer.status_code} {answer.reason_phrase}"
    try:
        messages = answer.json()["messages"]
    except (ValueError, KeyError, TypeError):
        return f"{status} from {answer.url.path}"
    said = "; ".join(
        f"{one['field']}: {one['message']}" if one.get("field") else one["message"]
        for one in messages
    )
    return f"{said or answer.url.path} ({status})"
