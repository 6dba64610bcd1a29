"""
The orchestrator's end of the broker: gives out assignments, forged ones too, tells the
program to stop, and keeps all that it says. What that means is the rules' business.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from orchestrator.check.house import House, Manner
from orchestrator.contracts import names
from orchestrator.contracts.alive import Alive
from orchestrator.contracts.assignment import AssignedSample, Assignment, Where
from orchestrator.contracts.report import Report
from orchestrator.contracts.signature import body_signature
from orchestrator.contracts.wire import SIGNATURE_HEADER
from orchestrator.messaging.codec import RawMessage, decode_amqp, decode_redis
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.errors import BrokerError
from orchestrator.messaging.outgoing import Outgoing
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.task_message import task_body, task_headers
from orchestrator.messaging.topology import open_connection, redis_client

#: Seconds from one look into ``reports`` to the next.
_LOOK_SECONDS = 0.02

#: Of another of the service's keys: a worker knows one of several signatures.
_OTHER_SECRET = "of a key that this worker was never given"  # noqa: S105


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """An assignment that was given out, and how its sample comes."""

    outgoing: Outgoing
    manner: Manner

    @property
    def key(self) -> tuple[UUID, int]:
        """Its task and attempt."""
        return self.outgoing.task_id, self.outgoing.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A message of the program's that can be read; ``at``: on our monotonic clock."""

    message: Alive | Report
    at: float


@dataclass
class _Heard:
    said: list[Said] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Desk:
    """
    Args:
        broker_url: As the orchestrator reaches it.
        worker: The short name.
        secret: Its enrolment secret.
        house: Where samples are to be had.
    """

    def __init__(
        self, broker_url: str, *, worker: str, secret: str, house: House
    ) -> None:
        self._broker_url = broker_url
        self._rabbitmq = names.is_rabbitmq(broker_url)
        self.worker = worker
        self._secret = secret
        self._house = house
        self._stopper = Stopper(broker_url)
        self._heard = _Heard()
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def assign(
        self,
        content: bytes,
        *,
        manner: Manner | None = None,
        where: Where | None = None,
        timeout_seconds: float = 60.0,
        alone: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> Given:
        """
        Give out an assignment.

        Args:
            manner: How its sample comes; as it is, if nothing is said.
            where: Instead of the API.
            extra: Fields beside those that an assignment has, or other values of them.
        """
        given = self.prepare(
            content,
            manner=manner,
            where=where,
            timeout_seconds=timeout_seconds,
            alone=alone,
            extra=extra,
        )
        self.give(given)
        return given

    def prepare(
        self,
        content: bytes,
        *,
        manner: Manner | None = None,
        where: Where | None = None,
        timeout_seconds: float = 60.0,
        alone: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> Given:
        """Make an assignment, and keep it."""
        manner = manner or Manner()
        place = self._house.lay_out(content, manner)
        assignment = Assignment(
            job_id=place.job_id,
            task_id=place.task_id,
            attempt=place.attempt,
            worker=self.worker,
            sample=AssignedSample(
                sha256=place.sha256,
                size=len(content),
                file_name="a sample.bin",
                where=where or Where(kind="http", value=place.path),
            ),
            timeout_seconds=timeout_seconds,
            alone=alone,
        )
        outgoing = self._outgoing(assignment, place.token, extra)
        return Given(outgoing=outgoing, manner=manner)

    def give(self, given: Given) -> None:
        """Give out what was made, once more if it was before."""
        with self._publisher() as publisher:
            result = publisher.publish([given.outgoing])
        if result.error:
            raise BrokerError(result.error)

    def forge(
        self,
        given: Given,
        *,
        body: bytes | None = None,
        headers: Mapping[str, object] | None = None,
        **properties: str,
    ) -> None:
        """
        Put something into the worker's queue that looks like *given*.

        Args:
            headers: In place of those that it has.
        """
        text = task_body(given.outgoing)
        own = {**task_headers(given.outgoing, text), **(headers or {})}
        queue = names.worker_queue(self.worker, rabbitmq=self._rabbitmq)
        with open_connection(self._broker_url) as connection:
            connection.Producer().publish(
                text.encode() if body is None else body,
                exchange="",
                routing_key=queue.routing_key,
                headers=own,
                **{
                    "content_type": "application/json",
                    "content_encoding": "utf-8",
                    **properties,
                },
            )

    def stop(
        self,
        replica: str,
        *given: Given,
        drain: bool | None = None,
        secrets: Sequence[str] | None = None,
    ) -> None:
        """Tell the program that these attempts are over, or to take nothing more."""
        self._stopper.stop(
            replica,
            [each.key for each in given],
            secrets=self._secrets if secrets is None else secrets,
            drain=drain,
        )

    def waiting(self) -> int:
        """Return how many messages wait in the worker's queue."""
        with self._publisher() as publisher:
            return publisher.queue_depths([self.worker])[self.worker]

    def alives(self) -> list[Alive]:
        """Return every heartbeat."""
        return [m for m in self._messages() if isinstance(m, Alive)]

    def beats(self) -> list[float]:
        """Return when each heartbeat came."""
        return [s.at for s in list(self._heard.said) if isinstance(s.message, Alive)]

    def reports(self, given: Given) -> list[Report]:
        """Return what was said of an attempt."""
        said = [m for m in self._messages() if isinstance(m, Report)]
        return [each for each in said if (each.task_id, each.attempt) == given.key]

    def ends(self, given: Given) -> list[Report]:
        """Return what was said of the end of an attempt."""
        return [each for each in self.reports(given) if each.kind != "executing"]

    def wrong(self) -> list[str]:
        """Return what the orchestrator would have refused of what was said, and why."""
        return list(self._heard.wrong)

    def read_all(self) -> None:
        """Return once all is read that is in ``reports`` now."""
        with self._publisher() as publisher:
            while publisher.report_backlog():
                time.sleep(_LOOK_SECONDS)
        # What was taken last is heard before the next look.
        time.sleep(2 * _LOOK_SECONDS)

    def forget(self) -> None:
        """Forget who spoke, and what was given out and not taken."""
        self._heard.said.clear()
        queue = names.worker_queue(self.worker, rabbitmq=self._rabbitmq)
        with open_connection(self._broker_url) as connection:
            connection.default_channel.queue_purge(queue.name)

    def close(self) -> None:
        """Let go of the broker."""
        self._ended.set()
        self._reader.join()
        self._stopper.close()

    def _publisher(self) -> AbstractContextManager[Publisher]:
        # A new one each time: RabbitMQ gives up who says nothing for a while.
        return closing(Publisher(self._broker_url))

    @property
    def _secrets(self) -> tuple[str, ...]:
        return _OTHER_SECRET, self._secret

    def _messages(self) -> list[Alive | Report]:
        return [each.message for each in list(self._heard.said)]

    def _outgoing(
        self, assignment: Assignment, token: str, extra: Mapping[str, Any] | None
    ) -> Outgoing:
        body = assignment.model_dump_json()
        if extra:
            body = merged(body, extra)
        return Outgoing(
            worker=self.worker,
            job_id=assignment.job_id,
            task_id=assignment.task_id,
            attempt=assignment.attempt,
            sample_sha256=assignment.sample.sha256,
            token=token,
            body=body,
            secrets=self._secrets,
        )

    def _read(self) -> None:
        read = self._read_rabbitmq if self._rabbitmq else self._read_redis
        while not self._ended.is_set():
            # The broker's trouble is what some rule is about; it is asked again.
            with suppress(Exception):
                read()
            self._ended.wait(_LOOK_SECONDS)

    def _read_redis(self) -> None:
        with redis_client(self._broker_url) as client:
            while not self._ended.is_set():
                raw = client.rpop(names.REPORTS)
                if isinstance(raw, bytes):
                    self._hear(decode_redis(raw))
                else:
                    self._ended.wait(_LOOK_SECONDS)

    def _read_rabbitmq(self) -> None:
        with open_connection(self._broker_url) as connection:
            channel = connection.channel()
            while not self._ended.is_set():
                got: Any = channel.basic_get(names.REPORTS, no_ack=True)
                if got is None:
                    connection.heartbeat_check(2)
                    self._ended.wait(_LOOK_SECONDS)
                    continue
                told = got.properties
                kind, code = told.get("content_type"), told.get("content_encoding")
                self._hear(decode_amqp(got.body, kind, code, got.headers))

    def _hear(self, raw: RawMessage) -> None:
        problem = raw.problem or self._problem(raw)
        if problem:
            self._heard.wrong.append(problem)
            return
        kind: type[Alive | Report] = Alive if _is_alive(raw.body) else Report
        try:
            message = kind.model_validate_json(raw.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            path = ".".join(map(str, first["loc"]))
            self._heard.wrong.append(f"{kind.__name__.lower()}: {path}: {first['msg']}")
            return
        if message.worker != self.worker:
            self._heard.wrong.append(f"worker: {message.worker!r} is another's")
        self._heard.said.append(Said(message=message, at=time.monotonic()))

    def _problem(self, raw: RawMessage) -> str | None:
        expected = body_signature(self._secret, raw.body)
        if raw.headers.get(SIGNATURE_HEADER) == expected:
            return None
        shown = raw.body[:80].decode(errors="replace")
        return f"the header {SIGNATURE_HEADER} is not of these bytes: {shown}…"


def _is_alive(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["type"] == "alive")
    except (ValueError, TypeError, LookupError):
        return False


def merged(body: str, extra: Mapping[str, Any]) -> str:
    """Return the JSON of an object with these fields in it."""
    return json.dumps({**json.loads(body), **extra})
