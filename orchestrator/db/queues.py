"""
What the dispatcher last saw in the broker that is none of ours, for those who speak to
no broker. It is looked at often, so what nobody has seen for a while is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.db.tables import foreign_queue
from orchestrator.db.unit_of_work import Transaction

#: Several looks of a dispatcher. Without one nobody knows any more.
_SEEN_WITHIN = timedelta(seconds=30)


def replace_foreign(tx: Transaction, found: Sequence[ForeignQueue]) -> None:
    """Remember *found*, and forget what is ours again."""
    names = [queue.name for queue in found]
    tx.connection.execute(
        delete(foreign_queue).where(foreign_queue.c.name.not_in(names))
    )
    # In one order, for several dispatchers.
    for queue in sorted(found, key=lambda queue: queue.name):
        said = {
            "wanted": queue.wanted,
            "present": queue.present,
            "remedy": queue.remedy,
            "seen_at": tx.now,
        }
        tx.connection.execute(
            insert(foreign_queue)
            .values(name=queue.name, **said)
            .on_conflict_do_update(index_elements=["name"], set_=said)
        )


def list_foreign(tx: Transaction) -> list[ForeignQueue]:
    """Return what was seen lately, by name."""
    rows = tx.connection.execute(
        select(foreign_queue)
        .where(foreign_queue.c.seen_at > tx.now - _SEEN_WITHIN)
        .order_by(foreign_queue.c.name)
    )
    return [
        ForeignQueue(
            name=row.name, wanted=row.wanted, present=row.present, remedy=row.remedy
        )
        for row in rows
    ]
