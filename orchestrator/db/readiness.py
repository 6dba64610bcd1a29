"""
Whether a process can begin to work with the database: it answers, and its tables are
there. Cheap, for whoever takes over; what else may be wrong with it is not looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from orchestrator.db.link import KEPT_ALIVE, BriefConnection
from orchestrator.db.sql_errors import find_hint
from orchestrator.db.unit_of_work import driver_url

_STEPS = Path(__file__).parent / "migrations" / "versions"
_STEP_BEFORE = re.compile(r'^down_revision.*"(\w+)"', re.MULTILINE)

#: Before what the server or the system says of a connection that there is not.
_FAILED = re.compile(r".*failed: (?:FATAL: +)?")

_NOT_MIGRATED = "the database is not migrated; run assay db upgrade"


def find_obstacle(url: str) -> str | None:
    """
    Return why nothing can be done there yet, in a sentence for people.

    A database ahead of this code is none: programs of before go on, as they must.
    """
    try:
        with BriefConnection.connect(
            driver_url(url),
            autocommit=True,
            # Nothing prepared: a pooler may give each transaction another session.
            prepare_threshold=None,
            application_name="assay start",
            **KEPT_ALIVE,
        ) as connection:
            return _NOT_MIGRATED if _is_behind(connection) else None
    except psycopg.Error as error:
        return _unanswered(url, error)


def _is_behind(connection: psycopg.Connection) -> bool:
    table = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if table is None or table[0] is None:
        return True
    at = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    # Read, not loaded: that takes as long as all the rest of a start.
    return at is None or at[0] in {
        step
        for path in _STEPS.glob("*.py")
        for step in _STEP_BEFORE.findall(path.read_text(encoding="utf-8"))
    }


def _unanswered(url: str, error: psycopg.Error) -> str:
    parts = make_url(url)
    host = parts.host or parts.query.get("host") or "the local socket"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # Of several addresses the first that was tried; below it stands advice.
    said = next((line for line in lines if _FAILED.match(line)), lines[0])
    sentence = f"the database does not answer at {host}:{parts.port or 5432}"
    hint = find_hint(error)
    remedy = f"; {hint.remedy}" if hint else ""
    return f"{sentence}: {_FAILED.sub('', said).strip()}{remedy}"
