"""
Whether a pooler stands before the database that gives each transaction another session.

PgBouncer's transaction mode does. What is said of a session (LISTEN, advisory locks,
prepared statements) is then said of anybody's: two consumers would both be active.
"""

from __future__ import annotations

import psycopg

from orchestrator.db.link import KEPT_ALIVE, LimitedConnection
from orchestrator.domain.errors import ConfigurationError

_SETTING = "ASSAY_DATABASE_DIRECT_URL"


def shares_sessions(url: str) -> bool:
    """
    Whether two connections at once are one session of the server's.

    Args:
        url: As psycopg reads it.

    Raises:
        OperationalError: The database is away.
    """
    with (
        LimitedConnection.connect(url, autocommit=True, **KEPT_ALIVE) as first,
        LimitedConnection.connect(url, autocommit=True, **KEPT_ALIVE) as second,
    ):
        # Twice: somebody else may have had the session in between.
        return any(_session(first) == _session(second) for _ in range(2))


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


def _session(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None  # noqa: S101  (an aggregate-free SELECT has one row)
    return int(row[0])
