"""
Sending on Redis: one pipeline for many messages, one for all queue lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kombu import Producer

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.contracts.names import REPORTS, report_queue, worker_queue
from orchestrator.messaging import redis_keys
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.link import Link
from orchestrator.messaging.outgoing import Outgoing, PublishResult
from orchestrator.messaging.policy import apply_to_redis
from orchestrator.messaging.redis_keys import TAKEN, worker_key
from orchestrator.messaging.task_message import task_body, task_headers, task_properties
from orchestrator.messaging.topology import redis_client


class RedisSender:
    """A ``Sender`` on Redis; declares nothing, because a list is made by its pushes."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._link = Link(broker_url)
        self._client = redis_client(broker_url)
        self._producer: Producer | None = None

    def send(self, messages: Sequence[Outgoing]) -> PublishResult:
        spoilt = self._find_spoilt({message.worker for message in messages})
        producer = self._open_producer()
        with producer.batch():
            for message in messages:
                if message.worker in spoilt:
                    continue
                queue = worker_queue(message.worker, rabbitmq=False)
                producer.publish(
                    task_body(message),
                    exchange=queue.exchange,
                    routing_key=queue.routing_key,
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers=task_headers(message),
                    **task_properties(message),
                )
        return PublishResult(
            refused=tuple(m for m in messages if m.worker in spoilt),
            error="; ".join(map(str, spoilt.values())) or None,
            spoilt=frozenset(spoilt),
        )

    def _find_spoilt(self, workers: Iterable[str]) -> dict[str, ForeignQueue]:
        """
        Return the workers whose queue is no list, and what is wrong.

        A push to one would fail, and nobody knew then which others had arrived.
        """
        keys = {worker_key(worker): worker for worker in workers}
        found = redis_keys.find_foreign(self._client, dict.fromkeys(keys, "list"))
        return {keys[name]: queue for name, queue in found.items()}

    def send_report(self, body: bytes, headers: Mapping[str, str]) -> None:
        queue = report_queue(rabbitmq=False)
        with redis_keys.naming_foreign(self._client, {REPORTS: "list"}):
            self._open_producer().publish(
                body,
                exchange=queue.exchange,
                routing_key=queue.routing_key,
                content_type="application/json",
                content_encoding="utf-8",
                headers=dict(headers),
            )

    def depths(self, queues: Iterable[str]) -> list[int]:
        pipe = self._client.pipeline(transaction=False)
        for name in queues:
            pipe.llen(name)
        # What is no list has no length, which is its worker's trouble alone.
        lengths = pipe.execute(raise_on_error=False)
        return [length if isinstance(length, int) else 0 for length in lengths]

    def report_backlog(self) -> int:
        return sum(self.depths([REPORTS, TAKEN]))

    def purge(self, queue: str) -> None:
        self._client.delete(queue)

    def admit(self, accounts: Sequence[Account]) -> None:
        apply_to_redis(self._broker_url, accounts, anew=False)

    def find_foreign(
        self, workers: Sequence[str], *, make: bool
    ) -> Sequence[ForeignQueue]:
        del make  # A list is made by its first push.
        keys = dict.fromkeys(map(worker_key, workers), "list")
        wanted = {**redis_keys.SHARED_KEYS, **keys}
        return list(redis_keys.find_foreign(self._client, wanted).values())

    def drop(self) -> None:
        self._producer = None
        self._link.close()

    def close(self) -> None:
        self._producer = None
        self._link.close()
        self._client.close()

    def _open_producer(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(self._link.channel())
        return self._producer
