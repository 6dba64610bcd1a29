"""
The broker: how messages leave for replicas, and how reports are read.

Knows Redis, RabbitMQ and Celery's wire format; it knows no database and no states.
"""

from __future__ import annotations
