"""
Connections to PostgreSQL on which nobody waits for ever.

``statement_timeout`` is a promise of the server's, and worth nothing once it, or
whatever stands between, says nothing more; then the client hangs up. What is sent is
the caller's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow
from sqlalchemy import Engine, event
from typing_extensions import override

#: Seconds for one answer: well above what the server lets a statement take, so that a
#: busy one is not taken for a silent one.
ANSWER_SECONDS: Final = 8.0

#: Seconds where only small things are asked: for a lock, and whether it is there.
SMALL_ANSWER_SECONDS: Final = 5.0

#: libpq's. A server that vanished without a word, or a firewall that forgot us, is
#: noticed within half a minute: by silence where nothing is sent, by bytes that nobody
#: confirms (milliseconds) where something is.
KEPT_ALIVE: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

#: Seconds between two looks whether somebody interrupts us, as psycopg has it.
_LOOK_SECONDS: Final = 0.1


def _is_news(record: logging.LogRecord) -> bool:
    # What follows from the error that is being raised: whoever catches that speaks.
    return not str(record.msg).startswith("error ignored")


logging.getLogger("psycopg").addFilter(_is_news)


class LimitedConnection(psycopg.Connection[TupleRow]):
    """psycopg's, closed when an answer is late; its error is that of one that broke."""

    answer_seconds = ANSWER_SECONDS

    @override
    def wait(
        self,
        gen: PQGen[RV],
        interval: float = _LOOK_SECONDS,
        timeout: float | None = None,
    ) -> RV:
        if timeout is not None:
            # Whoever waits for a notice expects that none comes.
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except errors._WaitTimeout:  # noqa: SLF001  (there is no other)
            # It sends a goodbye if there is room for one, and waits for nothing.
            self.close()
            raise psycopg.OperationalError(
                f"the database did not answer within {self.answer_seconds:g} s"
            ) from None


class BriefConnection(LimitedConnection):
    """One on which only small things are asked."""

    answer_seconds = SMALL_ANSWER_SECONDS


def limit_waiting(engine: Engine) -> None:
    """Let every connection of *engine* be such a one."""

    def connect(
        _dialect: object, _record: object, words: Any, options: Any
    ) -> LimitedConnection:
        return LimitedConnection.connect(*words, **options)

    event.listen(engine, "do_connect", connect)
