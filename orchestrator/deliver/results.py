"""
Writes down what came of calls: of each delivery, and of the webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from orchestrator.db import webhooks
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.webhooks import Claimed, Outcome
from orchestrator.deliver.sender import Answer
from orchestrator.domain.webhooks import next_wait, rest

log = structlog.get_logger()

#: Of a lane, in its order; ``None``: it was not called.
Results = Sequence[tuple[Claimed, Answer | None]]


def write(tx: Transaction, lanes: Sequence[Results]) -> None:
    """Write down what came of these lanes of calls."""
    webhooks.save_outcomes(
        tx,
        [
            _outcome(claimed, answer, tx.now)
            for lane in lanes
            for claimed, answer in lane
        ],
    )
    for lane in lanes:
        _note(tx, lane)


def _outcome(claimed: Claimed, answer: Answer | None, now: datetime) -> Outcome:
    if answer is None:
        return Outcome(delivery=claimed, is_tried=False)
    wait = None
    if answer.error is not None and not answer.is_gone:
        wait = next_wait(claimed.tries, asked=answer.asked)
    return Outcome(
        delivery=claimed,
        status=answer.status,
        error=answer.error,
        due_at=None if wait is None else now + wait,
    )


def _note(tx: Transaction, lane: Results) -> None:
    """Note how the webhook of a lane is: what came of the last call says it."""
    tried = [(claimed, answer) for claimed, answer in lane if answer is not None]
    taken = sum(answer.error is None for _, answer in tried)
    if taken:
        webhooks.note_well(tx, tried[0][0].webhook_id)
        log.info("webhook.delivered", webhook=str(tried[0][0].webhook_id), number=taken)
    if len(tried) > taken:
        # A lane ends with its first that is not taken.
        _note_failure(tx, *tried[-1], failures=0 if taken else tried[-1][0].failures)


def _note_failure(
    tx: Transaction, claimed: Claimed, answer: Answer, *, failures: int
) -> None:
    webhook_id, error = claimed.webhook_id, answer.error or ""
    # Without its URL: that may hold a secret of the receiver's.
    log.warning(
        "webhook.refused",
        webhook=str(webhook_id),
        delivery=str(claimed.id),
        tries=claimed.tries,
        error=error,
    )
    if answer.is_gone:
        webhooks.switch_off(tx, webhook_id, reason=error)
        return
    until = tx.now + rest(failures + 1, asked=answer.asked)
    webhooks.note_failure(tx, webhook_id, rest_until=until)
