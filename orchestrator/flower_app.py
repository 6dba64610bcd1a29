"""
Flower on our broker: what replicas run and how it ended, for operators.

It reads; the truth is in the database, and commands to workers are the dispatcher's.
Credentials come from settings and reach neither a command line nor a log.
"""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from types import FrameType
from typing import Any

import structlog
from celery.app.control import Control
from typing_extensions import override

from orchestrator.celery_app import build_celery_app
from orchestrator.config import Settings, require
from orchestrator.contracts.names import STOP_COMMAND
from orchestrator.contracts.node.commands import ANSWERED, REFUSED
from orchestrator.domain.errors import ConfigurationError

log = structlog.get_logger()

#: Tasks and replicas that it remembers; it has no other memory.
_TASKS_MAX = 10_000
_REPLICAS_MAX = 1_000

#: Milliseconds for replicas to answer; they may be starting an analyzer.
_INSPECT_MS = 3_000.0

#: Seconds after which a replica that is gone leaves the page.
_FORGET_SECONDS = 3_600

#: What it sends by itself: a request for heartbeats, which come every two seconds
#: anyway, and one for events, which replicas send as their own setting says.
_UNASKED = frozenset({"heartbeat", "enable_events"})

#: With this, Flower would ask nobody for a password.
_OPEN_DOOR = "FLOWER_UNAUTHENTICATED_API"


def run_flower(settings: Settings, *, allow_control: bool) -> None:
    """
    Serve Flower until stopped.

    Args:
        allow_control: Whether it takes commands at all. Those to replicas and to
            maintenance are answered that they are refused, as these would answer.

    Raises:
        ConfigurationError: Flower is not installed, a setting is missing, or somebody
            has its port.
    """
    if find_spec("flower") is None:
        raise ConfigurationError(
            "Flower is not installed: pip install 'assay[operations]'"
        )
    credentials = _credentials(settings)
    app = build_celery_app(settings)
    app.control_cls = _Questions
    os.environ.pop(_OPEN_DOOR, None)

    # Importing it defines its options; other commands do without.
    from flower.app import Flower  # noqa: PLC0415
    from flower.urls import settings as pages  # noqa: PLC0415
    from tornado.options import options  # noqa: PLC0415

    options.address = settings.api_host
    options.port = settings.flower_port
    options.basic_auth = [credentials]
    options.read_only = not allow_control
    # It would switch them on everywhere: at replicas that were told to send none, and
    # at maintenance, whose ticks would soon be all that it remembers.
    options.enable_events = False
    options.persistent = False
    options.max_tasks = _TASKS_MAX
    options.max_workers = _REPLICAS_MAX
    options.inspect_timeout = _INSPECT_MS
    options.purge_offline_workers = _FORGET_SECONDS
    flower = _without_commands(Flower(capp=app, options=options, **pages))
    flower.add_transform(_no_guessing())
    port = _listen(flower, settings)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    url = f"http://{settings.api_host}:{port}"
    log.info("flower.started", url=url, read_only=not allow_control)
    flower.start()


def _listen(flower: Any, settings: Settings) -> int:
    try:
        return int(flower.start_http_server())
    except OSError as error:
        reason = (error.strerror or "cannot be bound").lower()
        raise ConfigurationError(
            f"ASSAY_FLOWER_PORT: {settings.api_host}:{settings.flower_port}: {reason};"
            " set it to a free port",
            field="ASSAY_FLOWER_PORT",
        ) from None


class _Questions(Control):  # type: ignore[misc]  # Celery has no types
    """Sends what replicas answer, and nothing else, whoever asks it to."""

    def broadcast(self, command: str, *arguments: Any, **options: Any) -> Any:
        if command in set(ANSWERED) - {STOP_COMMAND}:
            return super().broadcast(command, *arguments, **options)
        if command in _UNASKED:
            return None
        raise PermissionError(REFUSED)


def _without_commands(flower: Any) -> Any:
    """
    Return *flower*, each command of which says that it was refused.

    It waits for no answer to some of them, ``revoke`` among them, and would tell that
    they were carried out.
    """
    # As above: only where Flower runs.
    from flower.api import control  # noqa: PLC0415
    from flower.urls import handlers  # noqa: PLC0415
    from tornado.web import HTTPError, authenticated  # noqa: PLC0415

    class Refused(control.ControlHandler):  # type: ignore[misc]  # it has no types
        @authenticated
        async def post(self, _: str) -> None:
            raise HTTPError(403, "%s", REFUSED)

    commands = [
        rule[0]
        for rule in handlers
        if isinstance(rule, tuple) and rule[1].__module__ == control.__name__
    ]
    flower.add_handlers(".*", [(command, Refused) for command in commands])
    return flower


def _credentials(settings: Settings) -> str:
    user = require(settings.flower_user, "FLOWER_USER")
    password = require(settings.flower_password, "FLOWER_PASSWORD")
    if ":" in user or not f"{user}{password}".isascii():
        # The first ends the name; with others Flower answers nobody.
        raise ConfigurationError(
            "ASSAY_FLOWER_USER, ASSAY_FLOWER_PASSWORD: use ASCII characters alone, and"
            " no colon in the user",
            field="ASSAY_FLOWER_USER",
        )
    return f"{user}:{password}"


def _no_guessing() -> type[Any]:
    """Return what forbids browsers to guess of which type an answer is."""
    # Of Flower's kin: other commands do without.
    from tornado.web import OutputTransform  # noqa: PLC0415

    class NoGuessing(OutputTransform):
        @override
        def transform_first_chunk(
            self, status_code: int, headers: Any, chunk: bytes, finishing: bool
        ) -> tuple[int, Any, bytes]:
            headers["X-Content-Type-Options"] = "nosniff"
            return status_code, headers, chunk

    return NoGuessing


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing is to be kept, and threads that wait for replicas would hold us up.
    os._exit(0)
