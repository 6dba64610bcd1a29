"""
How a replica logs: one event a line, JSON where nobody watches, text in a terminal.

The form is that of the orchestrator's processes, without their library. Owns which ids
a line carries. Never content, credentials or payloads.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from typing_extensions import override

from orchestrator.contracts.repeats import OncePerMinute

_NOTHING: Final[Mapping[str, object]] = {}

#: What every line of this thread is about.
_BOUND: ContextVar[Mapping[str, object]] = ContextVar("assay_log_ids")

#: What the standard library puts into a record; the rest are an event's own fields.
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
)

#: Celery's own: arguments and results, which are nobody's business.
_UNWANTED: Final = frozenset({"data"})


def configure(*, worker: str, replica: str) -> None:
    """Let every logger of this process write our lines to stderr."""
    who = {"process": "replica", "worker": worker, "replica": replica}
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OncePerMinute(about=lambda: _BOUND.get(_NOTHING)))
    handler.setFormatter(_Text() if sys.stderr.isatty() else _JSON(who))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # Of what libraries say only the warnings; of ours everything but details.
    logging.getLogger("workers").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


def bind(**ids: object) -> None:
    """Let every further line of this thread carry these ids too."""
    _BOUND.set({**_BOUND.get(_NOTHING), **ids})


def clear() -> None:
    """Let no further line of this thread carry an id."""
    _BOUND.set(_NOTHING)


def write_at_once(event: str, **fields: object) -> None:
    """Log from a signal handler, which must not wait for a lock or enter a buffer."""
    record = logging.makeLogRecord({"msg": event, "levelname": "INFO", **fields})
    for handler in logging.getLogger().handlers:
        os.write(2, f"{handler.format(record)}\n".encode())


class _Text(logging.Formatter):
    """For a terminal."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        # Of a failure's message: what an analyzer says does nothing to a terminal.
        fields = [
            "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
            for name, value in _fields(record).items()
            if (text := f"{name}={value}")
        ]
        words = [f"{record.levelname.lower():8}", record.getMessage(), *fields]
        trace = [self.formatException(record.exc_info)] if record.exc_info else []
        return "\n".join([" ".join(words), *trace])


class _JSON(logging.Formatter):
    """One object a line, with the keys of the orchestrator's."""

    def __init__(self, who: Mapping[str, object]) -> None:
        super().__init__()
        self._who = who

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "event": record.getMessage(),
            **_fields(record),
            **self._who,
            "level": record.levelname.lower(),
            "timestamp": _moment(record.created),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    own = vars(record).items()
    extra = {
        name: value
        for name, value in own
        if name not in _STANDARD and name not in _UNWANTED
    }
    return {**_BOUND.get(_NOTHING), **extra}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
