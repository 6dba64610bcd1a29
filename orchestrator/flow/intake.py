"""
Sorts a batch of messages out: what each one is, and whether its sender may say it.

Pure: one effect per kind of bad message, a :class:`~orchestrator.db.history.Rejected`
with its reason. It touches no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.contracts.alive import Alive, Canary
from orchestrator.contracts.report import Report
from orchestrator.contracts.signature import body_signature, is_one_of
from orchestrator.contracts.token import KeyRing, StoredClaim
from orchestrator.contracts.wire import INTEGER_MAX, SIGNATURE_HEADER, Wire, Word
from orchestrator.db.history import Rejected
from orchestrator.messaging.codec import RawMessage


class _Envelope(Wire):
    type: Word = "report"
    version: int = Field(default=0, ge=0, le=INTEGER_MAX)


_ENVELOPE = TypeAdapter(_Envelope)
_MODELS: Mapping[str, type[Report | Alive | Canary]] = {
    "report": Report,
    "alive": Alive,
    "canary": Canary,
}


@dataclass(slots=True)
class Intake:
    """A batch, sorted; each list in the order of arrival."""

    reports: list[Report] = field(default_factory=list)
    alives: list[Alive] = field(default_factory=list)
    canaries: list[Canary] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def sort_out(
    messages: Sequence[RawMessage],
    *,
    keys: KeyRing,
    generations: Mapping[str, int],
) -> Intake:
    """
    Read and verify every message.

    Args:
        keys: The service's; tokens and enrolment secrets derive from them.
        generations: Short name → enrolment generation, of the registered workers.
    """
    intake = Intake()
    for message in messages:
        reason = _take(intake, message, keys, generations)
        if reason is not None:
            intake.rejected.append(Rejected(reason=reason, body=message.body))
    return intake


def _take(
    intake: Intake,
    message: RawMessage,
    keys: KeyRing,
    generations: Mapping[str, int],
) -> str | None:
    """Put one message where it belongs, or return why it is refused."""
    read = _read(message)
    if isinstance(read, str):
        return read
    reason = _forgery(read, message, keys, generations)
    if reason is not None:
        return reason
    match read:
        case Report():
            intake.reports.append(read)
        case Alive():
            intake.alives.append(read)
        case Canary():
            intake.canaries.append(read)
    return None


def _forgery(
    read: Report | Alive | Canary,
    message: RawMessage,
    keys: KeyRing,
    generations: Mapping[str, int],
) -> str | None:
    if isinstance(read, Canary):
        is_ours = keys.is_canary_token(read.token, read.sent_at.isoformat())
        return None if is_ours else "forged_token: not a canary of ours"
    if not _is_signed(read, message, keys, generations):
        return "forged_signature: not by an enrolled replica of this worker"
    if isinstance(read, Alive):
        return None
    if not keys.is_attempt_token(
        read.token, read.task_id, read.attempt, worker=read.worker
    ):
        return "forged_token: it was not given for this attempt"
    if not _has_receipts(read, keys):
        return "forged_receipt: it lists a file that it did not store"
    return None


def _read(message: RawMessage) -> Report | Alive | Canary | str:
    if message.problem is not None:
        return f"undecodable: {message.problem}"
    try:
        envelope = _ENVELOPE.validate_json(message.body)
        model = _MODELS.get(envelope.type)
        if model is None:
            return f"unknown_type: {envelope.type[:64]}"
        if envelope.version != 1:
            return f"unknown_version: {envelope.version}"
        return model.model_validate_json(message.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        return f"invalid: {where}: {first['msg']}"


def _has_receipts(report: Report, keys: KeyRing) -> bool:
    references = () if report.analysis is None else report.analysis.references
    return all(
        keys.is_receipt(
            reference.receipt,
            StoredClaim(
                task_id=report.task_id,
                attempt=report.attempt,
                kind=reference.kind,
                sha256=reference.sha256,
                size=reference.size,
            ),
        )
        for reference in references
    )


def _is_signed(
    read: Report | Alive,
    message: RawMessage,
    keys: KeyRing,
    generations: Mapping[str, int],
) -> bool:
    secrets = keys.enrolment_secrets(read.worker, generations.get(read.worker, 0))
    expected = [body_signature(secret, message.body) for secret in secrets]
    return is_one_of(message.headers.get(SIGNATURE_HEADER), expected)
