"""
Both brokers for the tests of this folder.
"""

from __future__ import annotations

from tests.fixtures.brokers import broker, rabbitmq, rabbitmq_hosts, redis_server

__all__ = ["broker", "rabbitmq", "rabbitmq_hosts", "redis_server"]
