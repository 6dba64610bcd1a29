"""
Flower on our broker: what replicas run and how it ended, for operators.

It reads; the truth is in the database, and commands to workers are the dispatcher's.
Credentials come from settings and reach neither a command line nor a log.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from importlib.util import find_spec
from types import FrameType

import structlog

from orchestrator.celery_app import build_celery_app
from orchestrator.config import Settings, require
from orchestrator.domain.errors import ConfigurationError

log = structlog.get_logger()

#: Tasks and replicas that it remembers; it has no other memory.
_TASKS_MAX = 10_000
_REPLICAS_MAX = 1_000

#: Milliseconds for replicas to answer; they may be starting an analyzer.
_INSPECT_MS = 3_000.0

#: Seconds after which a replica that is gone leaves the page.
_FORGET_SECONDS = 3_600

#: With this, Flower would ask nobody for a password.
_OPEN_DOOR = "FLOWER_UNAUTHENTICATED_API"


def run_flower(settings: Settings, *, allow_control: bool) -> None:
    """
    Serve Flower until stopped.

    Args:
        allow_control: Whether its buttons work. Assay knows nothing of what they do.

    Raises:
        ConfigurationError: Flower is not installed, or a setting is missing.
    """
    if find_spec("flower") is None:
        raise ConfigurationError(
            "Flower is not installed: pip install 'assay[operations]'"
        )
    user = require(settings.flower_user, "FLOWER_USER")
    password = require(settings.flower_password, "FLOWER_PASSWORD")
    app = build_celery_app(settings)
    os.environ.pop(_OPEN_DOOR, None)

    # Importing it defines its options; other commands do without.
    from flower.app import Flower  # noqa: PLC0415
    from flower.urls import settings as pages  # noqa: PLC0415
    from tornado.options import options  # noqa: PLC0415

    options.address = settings.api_host
    options.port = settings.flower_port
    options.basic_auth = [f"{user}:{password}"]
    options.read_only = not allow_control
    options.persistent = False
    options.max_tasks = _TASKS_MAX
    options.max_workers = _REPLICAS_MAX
    options.inspect_timeout = _INSPECT_MS
    options.purge_offline_workers = _FORGET_SECONDS
    flower = Flower(capp=app, options=options, **pages)
    port = flower.start_http_server()
    atexit.register(flower.stop)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    log.info("flower.started", port=port, read_only=not allow_control)
    flower.start()


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
