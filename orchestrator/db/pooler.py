"""
Whether a pooler stands before the database that gives each transaction another session.

PgBouncer's transaction mode does. What is said of a session (LISTEN, advisory locks,
prepared statements) is then said of anybody's: two consumers would both be active.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import psycopg

from orchestrator.db.link import KEPT_ALIVE, LimitedConnection
from orchestrator.domain.errors import ConfigurationError

#: Looked at together; the more, the fewer servers of a busy pooler are left.
_CONNECTIONS = 4

#: How often: each time a busy pooler may happen to give everybody what they had.
_LOOKS = 5

_SETTING = "ASSAY_DATABASE_DIRECT_URL"


def shares_sessions(url: str) -> bool:
    """
    Whether a session is ours between two transactions, and nobody else's.

    Args:
        url: As psycopg reads it.

    Raises:
        OperationalError: The database is away.
    """
    with ExitStack() as stack:
        first, *others = (
            stack.enter_context(
                # Nothing prepared: it would be in somebody else's session next time.
                LimitedConnection.connect(
                    url, autocommit=True, prepare_threshold=None, **KEPT_ALIVE
                )
            )
            for _ in range(_CONNECTIONS)
        )
        return any(_is_shared(first, others) for _ in range(_LOOKS))


def refuse_shared_sessions(url: str, direct_url: str | None) -> None:
    """
    See that sessions are our own where they have to be.

    Raises:
        ConfigurationError: They are not; it names the setting.
        OperationalError: The database is away.
    """
    if direct_url is None:
        if shares_sessions(url):
            raise ConfigurationError(
                "ASSAY_DATABASE_URL leads to a pooler that gives each transaction"
                f" another session; set {_SETTING} too, to the server itself, for"
                " LISTEN and locks",
                field=_SETTING,
            )
    elif shares_sessions(direct_url):
        raise ConfigurationError(
            f"{_SETTING} leads to a pooler as well; set it to the server itself",
            field=_SETTING,
        )


def _is_shared(first: psycopg.Connection, others: Sequence[psycopg.Connection]) -> bool:
    own = _session(first)
    try:
        for other in others:
            # Held open: where the first one's was free it is this one's now, and the
            # first is given another. Else somebody took it, or it is its turn.
            other.execute("BEGIN")
            if _session(other) == own or _session(first) != own:
                return True
        return False
    finally:
        for other in others:
            other.rollback()


def _session(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None  # noqa: S101  (an aggregate-free SELECT has one row)
    return int(row[0])
