"""
The names that both sides know, and every queue of the system, built in one place.

The publisher passes these objects: names of workers registered later are unknown to
Celery's settings.
"""

from __future__ import annotations

from kombu import Exchange, Queue

#: Short name of each worker that comes with Assay; also of its package in
#: ``workers/analyzers``.
BUNDLED_WORKERS = ("document", "executable", "strings", "yara")

REPORTS = "reports"
WORKER_QUEUE_PREFIX = "worker."
MAINTENANCE = "maintenance"

#: Celery's exchanges for control commands, their answers and events, as its settings
#: name them by default.
MAILBOX = "celery.pidbox"
REPLIES = f"reply.{MAILBOX}"
EVENTS = "celeryev"

#: Celery control command that tells a replica which attempts are over.
STOP_COMMAND = "assay_stop"
TICK_TASK = "assay.tick"


def is_rabbitmq(broker_url: str) -> bool:
    """Whether *broker_url* names RabbitMQ (else it is Redis)."""
    return broker_url.startswith(("amqp://", "amqps://", "pyamqp://"))


def worker_queue(worker: str, *, rabbitmq: bool) -> Queue:
    """Return the queue of the worker *worker* (its short name)."""
    return _queue(worker_queue_name(worker), rabbitmq=rabbitmq)


def worker_queue_name(worker: str) -> str:
    """Return what that queue is called."""
    return f"{WORKER_QUEUE_PREFIX}{worker}"


def maintenance_queue(*, rabbitmq: bool) -> Queue:
    """Return the queue of the maintenance ticks."""
    return _queue(MAINTENANCE, rabbitmq=rabbitmq)


def report_queue(*, rabbitmq: bool) -> Queue:
    """
    Return the queue ``reports``.

    On RabbitMQ it hangs on a direct exchange of its own, the only one that workers may
    write to. On Redis the default exchange: named ones drop silently after a flush.
    """
    if not rabbitmq:
        return _queue(REPORTS, rabbitmq=False)
    return Queue(
        REPORTS,
        Exchange(REPORTS, type="direct", durable=True),
        routing_key=REPORTS,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"},
    )


def _queue(name: str, *, rabbitmq: bool) -> Queue:
    arguments = {"x-queue-type": "quorum"} if rabbitmq else None
    return Queue(
        name,
        Exchange(""),
        routing_key=name,
        durable=True,
        queue_arguments=arguments,
    )
