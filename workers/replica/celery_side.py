"""
What Celery's worker is told of messages that it does not read itself: for Flower, for
``inspect``, and for its own loop.

The step stands where Celery's ``Tasks`` would. It takes part in nothing that decides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.mingle import Mingle
from typing_extensions import override

from orchestrator.contracts.node.consumer import NodeConsumer, RemoteControl
from workers.replica.gate import Message

#: Events that wait for Celery's thread before another sends them: for a connection is
#: not for two.
_NEVER = 10**9


class Record:
    """An attempt in hand, as ``inspect`` and Flower show it."""

    __slots__ = (
        "__weakref__",
        "_message",
        "_node",
        "_since",
        "eventer",
        "name",
        "task",
    )

    def __init__(self, message: Message, task: Any, node: str) -> None:
        self._message = message
        self._node = node
        self._since: float | None = None
        self.task = task
        self.name = task.name
        #: Celery gives each that is in hand its new one. We ask its consumer.
        self.eventer: Any = None

    @property
    def id(self) -> str:
        return self._message.celery_id

    @property
    def acknowledged(self) -> bool:
        """Whether it was taken up: from then on the broker has forgotten it."""
        return self._since is not None

    def begin(self) -> None:
        """It is taken up."""
        self._since = time.time()  # noqa: TID251  (shown to people, as Celery does)

    def info(self, *, safe: bool = False) -> dict[str, Any]:
        """Return what Celery's own requests say of themselves."""
        del safe  # Nothing of the content is ever shown.
        return {
            "id": self.id,
            "name": self.name,
            "args": "()",
            "kwargs": self._message.shown,
            "type": self.name,
            "hostname": self._node,
            "time_start": self._since,
            "acknowledged": self.acknowledged,
            "delivery_info": {
                "exchange": "",
                "routing_key": self.task.app.conf.task_default_queue,
                "priority": 0,
                "redelivered": False,
            },
            "worker_pid": os.getpid(),
        }


class Records:
    """
    Keeps a record of each attempt in hand in Celery's state, and tells of it in events.

    Safe to use from any thread.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._records: dict[Message, Record] = {}
        # Celery's, once it runs: it may be another after a connection was lost.
        self._consumer: Any = None

    def received(self, message: Message, task: Any) -> None:
        """It waits for a slot."""
        record = Record(message, task, self._node)
        self._records[message] = record
        state.task_reserved(record)
        self._tell(
            "task-received",
            record,
            name=record.name,
            args="()",
            kwargs=message.shown,
            root_id=record.id,
            parent_id=None,
            retries=0,
            eta=None,
            expires=None,
        )

    def begin(self, message: Message) -> None:
        """A slot has taken it up."""
        record = self._records[message]
        record.begin()
        state.task_accepted(record)
        self._tell("task-started", record)

    def end(self, message: Message, result: str, *, seconds: float) -> None:
        """It is over, and worked."""
        record = self._forget(message)
        self._tell("task-succeeded", record, result=repr(result), runtime=seconds)

    def fail(self, message: Message, reason: str) -> None:
        """It is over, and did not work."""
        said = f"AnalysisFailedError({reason!r})"
        self._tell("task-failed", self._forget(message), exception=said, traceback="")

    def listen(self, consumer: Any) -> None:
        """Let *consumer*'s loop send what there is to tell."""
        self._consumer = consumer
        if consumer.event_dispatcher is not None:
            consumer.event_dispatcher.buffer_limit = _NEVER

    def _forget(self, message: Message) -> Record:
        record = self._records.pop(message)
        state.task_ready(record)
        return record

    def _tell(self, kind: str, record: Record, **fields: Any) -> None:
        dispatcher = getattr(self._consumer, "event_dispatcher", None)
        if dispatcher is not None and dispatcher.enabled:
            dispatcher.send(kind, uuid=record.id, **fields)


class _Queues:
    """Stands where Celery has its consumer of tasks: says which queue is read."""

    on_message: Callable[..., None] | None = None

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    @property
    def queues(self) -> list[Any]:
        is_read = self._consumer.app.replica.takes_work
        return list(self._consumer.app.conf.task_queues) if is_read else []

    def consume(self) -> None:
        """Nothing is read on Celery's own connection."""


class _NoLimit:
    """Stands where Celery has the number of messages that may wait."""

    value = prev = 0

    def update(self) -> None:
        """There is nothing to change."""


class IntakeStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Lets the replica take work while Celery's own connection stands."""

    # Others require Celery's by this name.
    name = "celery.worker.consumer.tasks.Tasks"
    requires = (Mingle,)

    def __init__(self, c: Any, **options: Any) -> None:
        c.task_consumer = c.qos = None
        super().__init__(c, **options)

    @override
    def start(self, c: Any) -> None:
        c.task_consumer, c.qos = _Queues(c), _NoLimit()
        c.app.replica.follow(c)

    @override
    def stop(self, c: Any) -> None:
        c.app.replica.follow(None)

    @override
    def shutdown(self, c: Any) -> None:
        self.stop(c)


class _Control(RemoteControl):
    requires = (IntakeStep,)


_CELERYS_OWN = "celery.worker.consumer.tasks:Tasks"


class IntakeConsumer(NodeConsumer):
    """Celery's consumer with that step, which reads nothing but the mailbox."""

    class Blueprint(NodeConsumer.Blueprint):
        default_steps = (
            *(
                step
                for step in NodeConsumer.Blueprint.default_steps
                if step not in {_CELERYS_OWN, RemoteControl}
            ),
            IntakeStep,
            _Control,
        )

    @override
    def create_task_handler(self, *_: Any, **__: Any) -> Callable[[Any], None]:
        return lambda message: self.discard("not read by us", message)
