"""
What stands in the API's place: tells a replica whether it is enrolled, and gives out
samples in the manner that a rule needs. Keeps what it was asked, and by whom.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from uuid import UUID, uuid4

from typing_extensions import override

from orchestrator.contracts.signature import attempt_proof, enrolment_proof
from orchestrator.contracts.wire import PROOF_HEADER, TOKEN_HEADER

#: Bytes beyond a sample's size that are offered; and of these, what a network holds
#: without anybody having read it.
_TOO_MANY = 64 * 1024 * 1024
BUFFERED_BYTES = 16 * 1024 * 1024
_CHUNK = 256 * 1024

#: How long a sample that drips is held back at the longest.
_HELD_SECONDS = 120.0

How = Literal["whole", "slow", "other", "long", "elsewhere", "away", "missing", "over"]

_REFUSALS = {
    "missing": (HTTPStatus.NOT_FOUND, "sample_missing"),
    "over": (HTTPStatus.PRECONDITION_FAILED, "illegal_transition"),
}


@dataclass(kw_only=True)
class Manner:
    """
    How one sample comes, and what of it was taken.

    ``go``: let a ``slow`` one go on. ``asked``: how often it was asked for, with the
    token and the proof. ``sent``: bytes that were taken of a ``long`` one.
    """

    how: How = "whole"
    go: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    sent: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a sample is laid out, and the attempt that may read it."""

    job_id: UUID
    task_id: UUID
    attempt: int
    token: str
    sha256: str
    path: str
    content: bytes = field(repr=False)
    manner: Manner


class House:
    """
    Args:
        worker: The short name, and ``secret``: its enrolment secret.
        trap: Where a redirect leads.
    """

    def __init__(self, worker: str, secret: str, *, trap: str = "") -> None:
        self._worker = worker
        self._secret = secret
        self.trap = trap
        #: Whether who asks is told that it may not work.
        self.refuses = False
        #: How often it was asked so, with the right proof.
        self.enrolments = 0
        #: What was asked that should not have been, in words.
        self.wrong: list[str] = []
        self._places: dict[str, Place] = {}
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def lay_out(self, content: bytes, manner: Manner) -> Place:
        """Lay out a sample for an attempt of its own."""
        task_id, attempt = uuid4(), 1
        place = Place(
            job_id=uuid4(),
            task_id=task_id,
            attempt=attempt,
            token=f"check.{uuid4().hex}",
            sha256=hashlib.sha256(content).hexdigest(),
            path=f"/internal/task/{task_id}/{attempt}/sample",
            content=content,
            manner=manner,
        )
        self._places[f"/internal/task/{task_id}/{attempt}"] = place
        return place

    def close(self) -> None:
        """Let everybody go."""
        for place in self._places.values():
            place.manner.go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer_enrolment(self, path: str, proof: str | None) -> HTTPStatus:
        """Say whether a replica may work."""
        if path != f"/internal/worker/{self._worker}":
            self.wrong.append(f"GET {path}: there is no such worker")
            return HTTPStatus.UNAUTHORIZED
        if proof != enrolment_proof(self._secret, self._worker):
            self.wrong.append(
                f"GET {path}: {PROOF_HEADER} is not of 'enrolment\\n<name>'"
            )
            return HTTPStatus.UNAUTHORIZED
        self.enrolments += 1
        return HTTPStatus.UNAUTHORIZED if self.refuses else HTTPStatus.NO_CONTENT

    def find(self, path: str, token: str | None, proof: str | None) -> Place | None:
        """Return the place that a request may read from, or write to."""
        folder = path.partition("?")[0].rsplit("/sample", 1)[0].split("/file/")[0]
        place = self._places.get(folder)
        if place is None:
            self.wrong.append(f"{path}: no assignment names it")
            return None
        if token != place.token:
            self.wrong.append(f"{path}: {TOKEN_HEADER} is not that of the assignment")
            return None
        if proof != attempt_proof(self._secret, token):
            self.wrong.append(f"{path}: {PROOF_HEADER} is not of 'attempt\\n<token>'")
            return None
        return place


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, house: House) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.house = house

    @override
    def handle_error(self, *_: object) -> None:
        """Say nothing: whoever was cut off had its reasons."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        proof = self.headers[PROOF_HEADER]
        if self.path.startswith("/internal/worker/"):
            self._answer(self.server.house.answer_enrolment(self.path, proof))
            return
        place = self.server.house.find(self.path, self.headers[TOKEN_HEADER], proof)
        if place is None:
            self._refuse(HTTPStatus.UNAUTHORIZED, "unauthenticated")
            return
        place.manner.asked += 1
        with suppress(OSError):
            self._give(place)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"] or 0))
        shown = self.headers[TOKEN_HEADER], self.headers[PROOF_HEADER]
        if self.server.house.find(self.path, *shown) is None:
            self._refuse(HTTPStatus.UNAUTHORIZED, "unauthenticated")
            return
        digest = hashlib.sha256(content).hexdigest()
        stored = {"sha256": digest, "size": len(content), "receipt": "check"}
        self._answer(HTTPStatus.OK, json.dumps(stored).encode())

    def _give(self, place: Place) -> None:
        how = place.manner.how
        if how in _REFUSALS:
            self._refuse(*_REFUSALS[how])
        elif how == "away" and place.manner.asked == 1:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
        elif how == "elsewhere":
            self._answer(
                HTTPStatus.FOUND, location=f"{self.server.house.trap}/{place.sha256}"
            )
        else:
            self._send(place)

    def _send(self, place: Place) -> None:
        size = len(place.content)
        is_long = place.manner.how == "long"
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "application/octet-stream")
        self.send_header(
            "content-disposition", f'attachment; filename="{place.sha256}"'
        )
        if is_long:
            self.send_header("connection", "close")
            self.close_connection = True
        else:
            self.send_header("content-length", str(size))
        self.end_headers()
        for part in _parts(place):
            self.wfile.write(part)
            place.manner.sent += len(part)

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        body = {"responseCode": status, "messages": [], "metaData": {"code": code}}
        self._answer(status, json.dumps(body).encode())

    def _answer(
        self, status: HTTPStatus, body: bytes = b"", *, location: str = ""
    ) -> None:
        self.send_response(status)
        if location:
            self.send_header("location", location)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing: what was asked is kept."""


def _parts(place: Place) -> Iterator[bytes]:
    content, manner = place.content, place.manner
    match manner.how:
        case "slow":
            yield content[:1]
            manner.go.wait(_HELD_SECONDS)
            yield content[1:]
        case "other":
            yield bytes(byte ^ 1 for byte in content)
        case "long":
            yield content
            for _ in range(_TOO_MANY // _CHUNK):
                yield bytes(_CHUNK)
        case _:
            yield content
