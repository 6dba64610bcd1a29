"""
Applies a batch of messages from ``reports``: one transaction, then the reader acks.

Reports change tasks, heartbeats their replica's row and what its worker says of
itself, canaries move the watermark. Whatever a message is, it holds up nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.db import counters, history, stream
from orchestrator.db.counters import Tally
from orchestrator.db.history import Rejected
from orchestrator.db.unit_of_work import (
    DATABASE_ERRORS,
    Database,
    StatementFailedError,
    StatementTimeoutError,
    Transaction,
    naming_failures,
)
from orchestrator.flow.heartbeats import apply_heartbeats, stop_what_is_over
from orchestrator.flow.intake import Intake, sort_out
from orchestrator.flow.ports import Engine
from orchestrator.flow.reports import apply_reports
from orchestrator.flow.roster import Roster, read_roster
from orchestrator.flow.tally import count_rejected
from orchestrator.messaging.codec import RawMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingested:
    """What became of a batch: how much of what, and what changed nothing."""

    reports: int = 0
    refused: Sequence[Rejected] = ()
    canaries: int = 0

    @property
    def rejected(self) -> int:
        """How many changed nothing."""
        return len(self.refused)

    def __add__(self, other: Ingested) -> Ingested:
        return Ingested(
            reports=self.reports + other.reports,
            refused=[*self.refused, *other.refused],
            canaries=self.canaries + other.canaries,
        )


def ingest(
    database: Database,
    messages: Sequence[RawMessage],
    *,
    engine: Engine,
    patient: bool = True,
) -> Ingested:
    """
    Apply a batch in one transaction.

    A batch that fails is tried again, and halved under savepoints until what fails
    stands alone, whatever kind of message it is: that is kept as rejected, the others
    are applied.

    Args:
        patient: Whether a statement that takes too long is to be tried again, because
            it may only wait for a lock. If not, its message is rejected like others.

    Raises:
        OperationalError: The database is away; nothing was applied, read it again.
        StatementTimeoutError: As above, and *patient*.
    """
    done = _apply_together(database, messages, engine=engine, patient=patient)
    if done is not None:
        return done
    with database.uow() as tx:
        roster = read_roster(tx, engine)
        done = _apply_halving(
            tx, messages, roster=roster, engine=engine, patient=patient
        )
        _keep_rejected(tx, done.refused)
    return done


def _apply_together(
    database: Database,
    messages: Sequence[RawMessage],
    *,
    engine: Engine,
    patient: bool,
) -> Ingested | None:
    """Apply the whole batch, as nearly always; ``None`` if something in it failed."""
    try:
        with naming_failures(), database.uow() as tx:
            done = _apply(tx, messages, roster=read_roster(tx, engine), engine=engine)
            _keep_rejected(tx, done.refused)
    except StatementTimeoutError:
        if patient:
            raise
    except StatementFailedError:
        return None
    except DATABASE_ERRORS:
        raise
    except Exception:  # noqa: BLE001  (it is met again, and said, where it stands alone)
        return None
    else:
        return done
    return None


def _apply_halving(
    tx: Transaction,
    messages: Sequence[RawMessage],
    *,
    roster: Roster,
    engine: Engine,
    patient: bool,
) -> Ingested:
    try:
        with tx.savepoint():
            return _apply(tx, messages, roster=roster, engine=engine)
    except StatementTimeoutError:
        if patient:
            raise
        why = "a statement took too long"
    except StatementFailedError as error:
        why = str(error)
    except DATABASE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  (no message may stop what stands behind it)
        why = type(error).__name__
    if len(messages) == 1:
        refused = Rejected(reason=f"inapplicable: {why}", body=messages[0].body)
        return Ingested(refused=[refused])
    middle = len(messages) // 2
    halves = (messages[:middle], messages[middle:])
    first, second = (
        _apply_halving(tx, half, roster=roster, engine=engine, patient=patient)
        for half in halves
    )
    return first + second


def _apply(
    tx: Transaction, messages: Sequence[RawMessage], *, roster: Roster, engine: Engine
) -> Ingested:
    generations = {
        worker.short_name: worker.generation for worker in roster.by_id.values()
    }
    intake = sort_out(messages, keys=engine.keys, generations=generations)
    # Heartbeats first: a report counts for the version that its replica announced.
    heard, unknown = apply_heartbeats(tx, intake.alives, roster=roster)
    lost = apply_reports(tx, intake.reports, roster=roster, engine=engine)
    stop_what_is_over(tx, heard)
    _apply_canaries(tx, intake)
    refused = [*intake.rejected, *unknown, *lost]
    return Ingested(
        reports=len(intake.reports), refused=refused, canaries=len(intake.canaries)
    )


def _apply_canaries(tx: Transaction, intake: Intake) -> None:
    # The newest of a batch: all that came before it has been applied by this.
    if intake.canaries:
        stream.move_watermark(tx, max(canary.sent_at for canary in intake.canaries))


def _keep_rejected(tx: Transaction, rejected: Sequence[Rejected]) -> None:
    history.add_rejected(tx, rejected)
    tally = Tally()
    count_rejected(tally, rejected)
    counters.append(tx, tally)
