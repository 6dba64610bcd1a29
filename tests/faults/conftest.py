"""
Both brokers for the tests of this folder, and the accounts of what their faults cost.
"""

from __future__ import annotations

from tests.fixtures.brokers import (
    broker,
    module_broker,
    rabbitmq,
    rabbitmq_hosts,
    redis_server,
)
from tests.fixtures.ledger import ledger

__all__ = [
    "broker",
    "ledger",
    "module_broker",
    "rabbitmq",
    "rabbitmq_hosts",
    "redis_server",
]
