"""
Sending on Redis: one pipeline for many messages, one for all queue lengths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.contracts.envelope import redis_envelope
from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.contracts.names import REPORTS
from orchestrator.messaging import redis_keys
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.outgoing import Outgoing, PublishResult
from orchestrator.messaging.policy import apply_to_redis
from orchestrator.messaging.redis_keys import TAKEN, worker_key
from orchestrator.messaging.task_message import task_body, task_headers, task_properties
from orchestrator.messaging.topology import redis_client


class RedisSender:
    """A ``Sender`` on Redis; declares nothing, because a list is made by its pushes."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._client = redis_client(broker_url)

    def send(self, messages: Sequence[Outgoing]) -> PublishResult:
        spoilt = self._find_spoilt({message.worker for message in messages})
        waiting: dict[str, list[str]] = defaultdict(list)
        for message in messages:
            if message.worker not in spoilt:
                key = worker_key(message.worker)
                waiting[key].append(_envelope(message, key))
        pipe = self._client.pipeline(transaction=False)
        for key, envelopes in waiting.items():
            pipe.lpush(key, *envelopes)
        pipe.execute()
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
        with redis_keys.naming_foreign(self._client, {REPORTS: "list"}):
            self._client.lpush(REPORTS, redis_envelope(body, headers, queue=REPORTS))

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
        self._client.close()

    def close(self) -> None:
        self._client.close()


def _envelope(message: Outgoing, queue: str) -> str:
    body = task_body(message)
    headers = task_headers(message, body)
    properties = task_properties(message)
    return redis_envelope(body.encode(), headers, queue=queue, properties=properties)
