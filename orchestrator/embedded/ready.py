"""
Whether all of a stack works. Starts and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import httpx
from sqlalchemy import text

from orchestrator.db.unit_of_work import Database

#: Two heartbeats.
_HEARD_WITHIN = timedelta(seconds=10)


def api_client(api_url: str) -> httpx.Client:
    """Return what asks the API whether it is ready, again and again; to be closed."""
    # One for all questions, for making it costs more than asking. The API is on this
    # machine: of proxies none is asked.
    return httpx.Client(base_url=api_url, timeout=5, trust_env=False)


def missing_parts(
    api: httpx.Client, database_url: str, workers: Sequence[str]
) -> list[str]:
    """Return what does not work yet, in words; none when all of it does."""
    try:
        answer = api.get("/health/ready")
    except httpx.HTTPError:
        return ["the API"]
    if answer.status_code != httpx.codes.OK:
        return [f"the engine ({answer.text[:200]})"]
    live = _live_workers(database_url)
    return [f"a replica of {name}" for name in workers if name not in live]


def _live_workers(database_url: str) -> set[str]:
    database = Database(database_url, pool_size=1)
    with database.uow() as tx:
        rows = tx.connection.execute(
            text(
                "SELECT w.short_name FROM replica r JOIN worker w ON w.id = r.worker_id"
                " WHERE NOT r.leaving AND r.seen_at > :since"
            ),
            {"since": tx.now - _HEARD_WITHIN},
        )
        live = set(rows.scalars())
    database.close()
    return live
