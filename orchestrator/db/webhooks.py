"""
Webhooks, and their deliveries: one row for each message to one webhook, written with
what it tells of.

A delivery waits while it has a time at which it is due; who takes it moves that time on
by a lease, so that another takes it where the first one dies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, insert, select, text, update

from orchestrator.db.bulk import insert_rows, update_rows
from orchestrator.db.tables import webhook, webhook_delivery
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.webhooks import RESTS_FROM, Occasion

#: Whoever is told of this occasion, by customer.
Listening = Mapping[tuple[Occasion, UUID], Sequence[UUID]]

#: Of one webhook at a time: a slow one takes no more of those who call.
EACH_MAX = 2

#: So long a try may take with all that surrounds it; then it is somebody else's.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWebhook:
    """A webhook to be; ``created_by``: the user, if it was one."""

    id: UUID
    customer_id: UUID
    created_by: UUID | None
    url: str
    occasions: Sequence[Occasion]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """
    A delivery to be. Of the three ids those are there that name what it tells of: the
    task with its job, the verdict with its job unless it was said by hand.
    """

    id: UUID
    webhook_id: UUID
    occasion: Occasion
    job_id: UUID | None = None
    task_id: UUID | None = None
    verdict_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery that is ours for a lease; ``body``: that of the first try."""

    id: UUID
    webhook_id: UUID
    customer_id: UUID
    url: str
    occasion: Occasion
    job_id: UUID | None
    task_id: UUID | None
    verdict_id: UUID | None
    happened_at: datetime
    tries: int
    failures: int
    body: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """
    What became of a try. ``due_at``: of the next one; ``status``: of the answer.

    ``rest_until``: so long the webhook is left alone, where it was its failure.
    ``is_gone``: for good.
    """

    delivery_id: UUID
    webhook_id: UUID
    tries: int
    delivered: bool
    status: int | None
    error: str | None
    due_at: datetime | None = None
    rest_until: datetime | None = None
    is_gone: bool = False


def list_listening(tx: Transaction) -> Listening:
    """Return who is to be told of what."""
    rows = tx.connection.execute(
        select(webhook.c.id, webhook.c.customer_id, webhook.c.occasions).where(
            webhook.c.off_at.is_(None)
        )
    )
    found: dict[tuple[Occasion, UUID], list[UUID]] = {}
    for row in rows:
        for occasion in row.occasions:
            key = Occasion(occasion), row.customer_id
            found.setdefault(key, []).append(row.id)
    return found


def add_webhook(tx: Transaction, new: NewWebhook) -> None:
    """Insert a webhook."""
    tx.connection.execute(
        insert(webhook).values(
            id=new.id,
            customer_id=new.customer_id,
            created_by=new.created_by,
            url=new.url,
            occasions=[occasion.value for occasion in new.occasions],
        )
    )


def list_urls(tx: Transaction, customer_id: UUID) -> dict[UUID, str]:
    """Return what a customer has called, by id; what is off too."""
    rows = tx.connection.execute(
        select(webhook.c.id, webhook.c.url).where(webhook.c.customer_id == customer_id)
    )
    return {row.id: row.url for row in rows}


def find_webhook_for_update(tx: Transaction, webhook_id: UUID) -> RowMapping | None:
    """Return a webhook's row, locked."""
    query = select(webhook).where(webhook.c.id == webhook_id).with_for_update()
    return tx.connection.execute(query).mappings().one_or_none()


def delete_webhook(tx: Transaction, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries."""
    tx.connection.execute(delete(webhook).where(webhook.c.id == webhook_id))


def add_deliveries(tx: Transaction, new: Sequence[NewDelivery]) -> None:
    """Insert deliveries, due at once."""
    rows = [
        {
            "id": delivery.id,
            "webhook_id": delivery.webhook_id,
            "occasion": delivery.occasion.value,
            "job_id": delivery.job_id,
            "task_id": delivery.task_id,
            "verdict_id": delivery.verdict_id,
            "tries": 0,
            "due_at": tx.now,
        }
        for delivery in new
    ]
    insert_rows(tx, webhook_delivery, rows)


def claim_deliveries(tx: Transaction, *, limit: int) -> list[Claimed]:
    """
    Take what is due, the longest first, of each webhook as much as it may have at a
    time. Nobody else is given it before its lease ends.
    """
    # Counted and taken by one at a time, or two would each take a webhook's last place.
    tx.one_at_a_time("deliver")
    values = {
        "now": tx.now,
        "until": tx.now + LEASE,
        "most": limit,
        "each": EACH_MAX,
        "few": RESTS_FROM,
    }
    rows = tx.connection.execute(_CLAIM, values).mappings()
    return [
        Claimed(**{**row, "occasion": Occasion(row["occasion"])})
        for row in sorted(rows, key=lambda row: row["id"])
    ]


def save_bodies(tx: Transaction, bodies: Mapping[UUID, str]) -> None:
    """Write down what claimed deliveries say: the same on every try."""
    rows = [{"id": each, "body": body} for each, body in bodies.items()]
    update_rows(tx, webhook_delivery, rows)


def save_outcomes(tx: Transaction, outcomes: Sequence[Outcome]) -> None:
    """
    Write down what became of tries. One whose lease has ended, so that somebody else
    has tried since, changes nothing.
    """
    for outcome in outcomes:
        values = {"now": tx.now, **_values(outcome)}
        if tx.connection.execute(_SAVE, values).rowcount:
            _save_webhook(tx, outcome)


def _values(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.delivery_id,
        "tries": outcome.tries,
        "delivered": outcome.delivered,
        "status": outcome.status,
        "error": outcome.error,
        "due_at": outcome.due_at,
    }


def _save_webhook(tx: Transaction, outcome: Outcome) -> None:
    named = {"id": outcome.webhook_id, "now": tx.now}
    if outcome.delivered:
        tx.connection.execute(_WELL, named)
    elif outcome.is_gone:
        tx.connection.execute(_GONE, {**named, "error": outcome.error})
        tx.connection.execute(_PARK, named)
    elif outcome.rest_until is not None:
        tx.connection.execute(_REST, {**named, "until": outcome.rest_until})


def redeliver(
    tx: Transaction, webhook_id: UUID, delivery_id: UUID | None = None
) -> int:
    """
    Make a delivery due, or all that are parked, with all their tries before them; the
    webhook is not left alone any more. Return how many.
    """
    wanted = webhook_delivery.c.webhook_id == webhook_id
    if delivery_id is None:
        wanted &= webhook_delivery.c.parked_at.is_not(None)
    else:
        wanted &= webhook_delivery.c.id == delivery_id
    again = (
        update(webhook_delivery)
        .where(wanted)
        .values(due_at=tx.now, tries=0, parked_at=None, delivered_at=None)
    )
    found = tx.connection.execute(again).rowcount
    waiting = {"rest_until": None, "failures": 0}
    tx.connection.execute(
        update(webhook).where(webhook.c.id == webhook_id).values(waiting)
    )
    return found


# Rows are counted apart from where they are taken: those of an aggregate can not be
# locked. A webhook that rests now and then is tried with one at a time.
_CLAIM = text(
    """
    WITH taken AS (
        SELECT d.id
          FROM webhook w
         CROSS JOIN LATERAL (
               SELECT count(*) AS number FROM webhook_delivery s
                WHERE s.webhook_id = w.id AND s.taken_until > :now) sent
         CROSS JOIN LATERAL (
               SELECT due.id, due.due_at FROM webhook_delivery due
                WHERE due.webhook_id = w.id AND due.due_at <= :now
                  AND (due.occasion = 'webhook.test' OR w.off_at IS NULL
                       AND (w.rest_until IS NULL OR w.rest_until <= :now))
                ORDER BY due.due_at, due.id
                LIMIT greatest(0, CASE WHEN w.failures < :few THEN :each ELSE 1 END
                                  - sent.number)
                  FOR NO KEY UPDATE SKIP LOCKED) d
         ORDER BY d.due_at LIMIT :most
    )
    UPDATE webhook_delivery d
       SET due_at = :until, taken_until = :until, tries = d.tries + 1
      FROM taken, webhook w
     WHERE d.id = taken.id AND w.id = d.webhook_id
    RETURNING d.id, d.webhook_id, w.customer_id, w.url, d.occasion, d.job_id,
              d.task_id, d.verdict_id, d.created_at AS happened_at, d.tries, d.body,
              w.failures
    """
)
_SAVE = text(
    """
    UPDATE webhook_delivery
       SET due_at = :due_at, taken_until = NULL, tried_at = :now, status = :status,
           error = :error,
           delivered_at = CASE WHEN :delivered THEN CAST(:now AS timestamptz) END,
           parked_at = CASE WHEN NOT :delivered AND CAST(:due_at AS timestamptz) IS NULL
                            THEN CAST(:now AS timestamptz) END
     WHERE id = :id AND tries = :tries AND taken_until IS NOT NULL
    """
)
# Whoever takes a message is there: also where it was thought to be gone.
_WELL = text(
    """
    UPDATE webhook SET failures = 0, rest_until = NULL, off_at = NULL, off_reason = NULL
     WHERE id = :id AND (failures > 0 OR off_at IS NOT NULL)
    """
)
_REST = text(
    """
    UPDATE webhook SET failures = failures + 1, rest_until = :until WHERE id = :id
    """
)
_GONE = text(
    """
    UPDATE webhook SET off_at = :now, off_reason = :error
     WHERE id = :id AND off_at IS NULL
    """
)
_PARK = text(
    """
    UPDATE webhook_delivery SET due_at = NULL, parked_at = :now
     WHERE webhook_id = :id AND due_at IS NOT NULL AND taken_until IS NULL
    """
)
