"""
What the database says is wrong, by its five characters (SQLSTATE), and what that means:
it is away, a value is at fault, or nobody but the deployment is.

psycopg sorts errors by kinds that are not these: a value too big for an index is an
``OperationalError`` there, a database that takes no writes an ``InternalError``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError

#: A statement that was ended, because it took too long or somebody asked for it.
QUERY_CANCELED: Final = "57014"

#: Values that are too big for what they go into.
_PROGRAM_LIMIT: Final = "54"

#: Statements that no value makes wrong: a table is missing, or a right.
SYNTAX_OR_ACCESS: Final = "42"

#: The database takes nothing on this connection, or nothing at all: it takes no writes
#: (a standby, or one that was demoted), it ended the session, it is going down or not
#: up yet, or whoever stands between has given us another's session.
_AWAY: Final = frozenset(
    {
        "25006",  # read_only_sql_transaction
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P04",  # database_dropped
        "57P05",  # idle_session_timeout
        "26000",  # invalid_sql_statement_name
        "42P05",  # duplicate_prepared_statement
    }
)


def sql_state(error: BaseException | None) -> str:
    """Return the database's five characters for *error*; empty if it said none."""
    cause = error.orig if isinstance(error, StatementError) else error
    return getattr(cause, "sqlstate", None) or ""


def is_away(error: Exception) -> bool:
    """Whether nothing at all can be asked of the database now."""
    state = sql_state(error)
    kinds = (OperationalError, psycopg.OperationalError)
    return isinstance(error, kinds) and (not state or state in _AWAY)


def is_transient(error: Exception) -> bool:
    """Whether trying the same transaction again may succeed."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    return not sql_state(error).startswith(_PROGRAM_LIMIT)


def told(error: BaseException) -> dict[str, str]:
    """
    Return what a log says of an error of the database: its kind, and what helps.

    Never its text, which may hold values.
    """
    cause = error.orig if isinstance(error, StatementError) else error
    said = {"error": type(cause or error).__name__}
    hint = find_hint(error)
    return said if hint is None else {**said, "hint": f"{hint.detail}: {hint.remedy}"}


class Hint(NamedTuple):
    """What is wrong with the database, and what to do about it."""

    detail: str
    remedy: str


def find_hint(error: BaseException) -> Hint | None:
    """Return what is known to help where the database says such an error."""
    text, state = str(error), sql_state(error)
    of_text = (hint for words, hint in _POOLERS.items() if words in text)
    of_state = (hint for start, hint in _HINTS.items() if state.startswith(start))
    return next(of_text, None) or next(of_state, None)


_NOT_TAKEN: Final = Hint(
    "a pooler does not take what we say", "set ASSAY_DATABASE_DIRECT_URL"
)
_OTHERS_SESSIONS: Final = Hint(
    "a pooler gives us others' sessions", "set ASSAY_DATABASE_DIRECT_URL"
)
#: By PgBouncer's words: what it says of a connection has no state, and of all that it
#: does not take the same one.
_POOLERS: Final = {
    "statement pooling mode": Hint(
        "a pooler in statement mode takes no transaction",
        "set its pool_mode to transaction",
    ),
    "unsupported startup parameter": _NOT_TAKEN,
}

_HINTS: Final = {
    "25006": Hint(
        "it takes no writes: a standby, or default_transaction_read_only",
        "let ASSAY_DATABASE_URL lead to the primary",
    ),
    "08P01": _NOT_TAKEN,
    "42P05": _OTHERS_SESSIONS,
    "26000": _OTHERS_SESSIONS,
    "42501": Hint("our role lacks a right there", "let it own the tables"),
    "42": Hint("its tables are of another version", "assay db upgrade"),
    "53100": Hint("its disk is full", "make room on it"),
    "53300": Hint("it has too many connections", "raise its max_connections"),
    "28": Hint("it does not let us in", "see ASSAY_DATABASE_URL"),
    "3D000": Hint("there is no such database", "see ASSAY_DATABASE_URL"),
}


def treat_away_alike(engine: Engine) -> None:
    """
    Let every error that says that the database is away be an ``OperationalError``, and
    throw its connections away: behind the same name may be another server by now.
    """
    event.listen(engine, "handle_error", _away, retval=True)


def _away(context: ExceptionContext) -> BaseException | None:
    cause = context.original_exception
    if sql_state(cause) not in _AWAY or not isinstance(cause, Exception):
        return None
    context.is_disconnect = True
    return OperationalError(
        context.statement,
        None,
        cause,
        hide_parameters=True,
        connection_invalidated=True,
    )
