"""
What Celery is told in a replica. It makes no application.
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts import names
from orchestrator.contracts.broker_tls import kombu_tls
from orchestrator.contracts.silence import CONNECT_SECONDS, HEARTBEAT_SECONDS
from workers.replica.settings import Settings


def celery_settings(
    worker: str, settings: Settings, *, consumer: type[Any]
) -> dict[str, Any]:
    """
    Return Celery's settings for a replica of *worker*.

    Args:
        consumer: The class of what keeps Celery's connection.
    """
    queue = names.worker_queue(worker, rabbitmq=settings.rabbitmq)
    url, tls = kombu_tls(settings.broker_url)
    return {
        "broker_url": url,
        "broker_use_ssl": tls.get("ssl"),
        "broker_transport_options": settings.transport_options,
        "broker_heartbeat": HEARTBEAT_SECONDS,
        "broker_connection_timeout": CONNECT_SECONDS,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [queue],
        "task_default_queue": queue.name,
        # Celery replaces the nameless exchange of a queue by this one.
        "task_default_exchange": "",
        "task_default_routing_key": queue.name,
        "task_create_missing_queues": False,
        "worker_pool": "threads",
        "worker_consumer": consumer,
        "worker_concurrency": settings.slots,
        # Celery itself reads no task.
        "worker_enable_prefetch_count_reduction": False,
        # It concerns late acknowledgement, which is not ours; off, it warns each time.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "worker_send_task_events": settings.events,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
