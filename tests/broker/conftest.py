"""
Both brokers for the tests of this folder.
"""

from __future__ import annotations

from tests.fixtures.brokers import (
    broker,
    module_broker,
    rabbitmq,
    rabbitmq_hosts,
    redis_server,
)
from tests.fixtures.rabbitmq_node import rabbitmq_node

__all__ = [
    "broker",
    "module_broker",
    "rabbitmq",
    "rabbitmq_hosts",
    "rabbitmq_node",
    "redis_server",
]
