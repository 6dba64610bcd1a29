"""
How the processes log: structlog, one event a line.

Console text in a terminal, JSON elsewhere. Never content, credentials or payloads.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from orchestrator.contracts import repeats
from orchestrator.quiet import OncePerMinute

log = structlog.get_logger()

#: Of what :mod:`orchestrator.contracts` says, which workers import without structlog.
#: What other libraries add to their records may be content.
_SHARED_FIELDS = frozenset(
    {
        "reason",
        "size_bytes",
        "sha256",
        "command",
        "error",
        "times",
        "queue",
        "wanted",
        "present",
        "hint",
    }
)


def configure(process: str) -> None:
    """Set logging up for this process; its name is on every line."""

    def name_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        # Not bound to the context: a request starts with an empty one, and so does
        # every thread.
        event["process"] = process
        return event

    renderer: Processor = (
        # Plain: the usual one shows local variables, and some of those are secrets.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    names: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.processors.add_log_level,
    ]
    rest: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        # Before the time is on it, by which no line is like another.
        processors=[*names, OncePerMinute(), *rest, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _take_over_libraries([*names, *rest], renderer)
    sys.excepthook = _log_crash
    threading.excepthook = _log_crash_of_thread


def _take_over_libraries(shared: list[Processor], renderer: Processor) -> None:
    """Let what libraries say go through the same renderer."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(repeats.OncePerMinute())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(_SHARED_FIELDS), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _log_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    log.critical("process.crashed", exc_info=(kind, error, trace))


def _log_crash_of_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else None
    log.critical("thread.crashed", thread=name, exc_info=args.exc_value)
