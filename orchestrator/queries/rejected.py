"""
Messages that the consumer refused: what they were, and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from orchestrator.db.tables import rejected_report
from orchestrator.db.unit_of_work import Transaction
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page

_LISTING = Listing(
    table=rejected_report,
    sorts={"timestamp": rejected_report.c.created_at},
    default=Order(name="timestamp", descending=True),
)

#: Bytes of a message that are shown: whoever sent it is not trusted.
SHOWN_MAX = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedView:
    """A message that was refused; ``beginning``: of its bytes, as far as is kept."""

    id: int
    kind: str
    reason: str
    beginning: bytes
    size_bytes: int
    sha256: str
    created_at: datetime


def list_rejected(tx: Transaction, paging: Paging) -> Page[RejectedView]:
    """Return one page of what was refused, the newest first."""
    beginning = func.substring(rejected_report.c.body, 1, SHOWN_MAX)
    statement = select(rejected_report, beginning.label("beginning"))
    rows, total = fetch_page(tx, _LISTING, statement, paging=paging)
    return Page(
        items=tuple(
            RejectedView(
                id=row.id,
                kind=row.kind,
                reason=row.reason,
                beginning=bytes(row.beginning),
                size_bytes=row.size_bytes,
                sha256=row.sha256,
                created_at=row.created_at,
            )
            for row in rows
        ),
        total=total,
    )
