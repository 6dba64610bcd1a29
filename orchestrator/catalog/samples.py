"""
Takes samples in, says what kind of file each is, today and with a later classifier, and
notes who takes one out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from orchestrator.catalog.challenges import Token, issue_solved
from orchestrator.classify import CLASSIFIER_VERSION, Asked, Decision, decide
from orchestrator.contracts.assignment import Classification
from orchestrator.db import audit, samples
from orchestrator.db.access import grant_sample
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.values import Actor, Decider
from orchestrator.queries.samples import ClassificationView, find_newest_classification
from orchestrator.store import HEAD_BYTES, TAIL_BYTES, Received, SampleStore

#: More would be noise.
_CONFIDENCE_DIGITS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who brings something, and for whom."""

    user_id: UUID
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSample:
    """A sample that is in the store and in the database; ``token``: whoever sent it."""

    sha256: str
    size_bytes: int
    is_new: bool
    token: Token


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What a person says of a file; what is ``None`` stays as it is."""

    type: str | None = None
    super_type: str | None = None
    mime_type: str | None = None

    def of(self, before: ClassificationView | None) -> Classification:
        """Return the kind that the sample has with it."""
        known = Classification()
        if before is not None:
            fields = {name: getattr(before, name) for name, _ in known}
            known = Classification(**fields)
        given = {
            "type": self.type,
            "super_type": self.super_type,
            "mime_type": self.mime_type,
        }
        changed = {name: word for name, word in given.items() if word is not None}
        # For which machine a file is was said of its type alone.
        if changed.get("type", known.type) != known.type:
            changed |= {"platform": "any", "arch": "any"}
        return known.model_copy(update=changed)


def store_sample(
    database: Database,
    store: SampleStore,
    chunks: Iterable[bytes],
    *,
    limit_bytes: int,
    owner: Owner,
    asked: Asked | None = None,
) -> StoredSample:
    """
    Take a sample in, chunk by chunk; the same bytes again change nothing.

    The bytes are kept before the row is committed: a failure in between leaves bytes
    that nobody refers to, never a sample without bytes.

    Args:
        asked: Who is asked what a file is where our rules are not sure.

    Raises:
        SampleTooLargeError: It is above *limit_bytes*; nothing is kept.
    """
    received = store.receive(chunks, limit_bytes=limit_bytes)
    try:
        store.keep(received)
    finally:
        store.discard(received)
    # Before the transaction: it may take a moment, and locks nothing.
    found = decide(received.head, received.tail, received.digests.size, asked=asked)
    with database.uow() as tx:
        is_new = _add_sample(tx, received, found, user_id=owner.user_id)
        # Whoever has the bytes may see what is known of them.
        sha256, size = received.digests.sha256, received.digests.size
        grant_sample(tx, sha256, [owner.customer_id])
        token = issue_solved(tx, sha256, size, user_id=owner.user_id)
    return StoredSample(sha256=sha256, size_bytes=size, is_new=is_new, token=token)


def note_download(
    tx: Transaction, sha256: str, *, form: Literal["raw", "zip"], actor: Actor
) -> None:
    """Write down that somebody takes a sample out, before the first byte leaves."""
    audit.record(tx, actor, Action.SAMPLE_DOWNLOAD, sha256, {"form": form})


def reclassify(
    database: Database, store: SampleStore, sha256: str, *, asked: Asked | None
) -> ClassificationView:
    """
    Classify a sample again; the answer that stands already adds no row.

    Raises:
        NotFoundError: There is no such sample.
        SampleMissingError: Its bytes are gone.
    """
    with database.uow() as tx:
        size = samples.get_sample_size(tx, sha256)
    head = _part(store, sha256, 0, min(size, HEAD_BYTES))
    tail_length = min(size, TAIL_BYTES)
    tail = _part(store, sha256, size - tail_length, tail_length)
    found = decide(head, tail, size, asked=asked)
    with database.uow() as tx:
        before = find_newest_classification(tx, sha256)
        if before is None or not _says(before, found):
            _add_classification(tx, sha256, found)
        return _newest(tx, sha256)


def correct(
    tx: Transaction, sha256: str, correction: Correction, *, actor: Actor
) -> ClassificationView:
    """
    Have a person say what kind of file a sample is; it holds until one asks again.

    Raises:
        NotFoundError: There is no such sample.
    """
    samples.get_sample_size(tx, sha256)
    before = find_newest_classification(tx, sha256)
    kind = correction.of(before)
    found = Decision(kind=kind, decided_by=Decider.PERSON, confidence=1.0)
    if before is None or not _says(before, found):
        _add_classification(tx, sha256, found)
        was = None if before is None else _named(before)
        detail = {"from": was, "to": _named(kind)}
        audit.record(tx, actor, Action.SAMPLE_RECLASSIFY, sha256, detail)
    return _newest(tx, sha256)


def _named(found: ClassificationView | Classification) -> dict[str, str]:
    return {
        "type": found.type,
        "superType": found.super_type,
        "mimeType": found.mime_type,
    }


def _newest(tx: Transaction, sha256: str) -> ClassificationView:
    newest = find_newest_classification(tx, sha256)
    assert newest is not None  # noqa: S101  (one was there, or has been added)
    return newest


def _says(view: ClassificationView, found: Decision) -> bool:
    same = all(getattr(view, name) == value for name, value in found.kind)
    by_the_same = view.decided_by is found.decided_by
    return same and by_the_same and view.version == CLASSIFIER_VERSION


def _part(store: SampleStore, sha256: str, offset: int, length: int) -> bytes:
    # Object stores refuse to read nothing.
    return store.read_range(sha256, offset=offset, length=length) if length else b""


def _add_sample(
    tx: Transaction, received: Received, found: Decision, *, user_id: UUID
) -> bool:
    digests = received.digests
    is_new = samples.add_sample(
        tx,
        samples.NewSample(
            sha256=digests.sha256,
            sha512=digests.sha512,
            sha1=digests.sha1,
            md5=digests.md5,
            size_bytes=digests.size,
            created_by=user_id,
        ),
    )
    # What is known of a sample that is here stays, a person's word above all.
    if is_new:
        _add_classification(tx, digests.sha256, found)
    return is_new


def _add_classification(tx: Transaction, sha256: str, found: Decision) -> None:
    samples.add_classification(
        tx,
        sha256,
        found.kind,
        version=CLASSIFIER_VERSION,
        decided_by=found.decided_by,
        confidence=round(found.confidence, _CONFIDENCE_DIGITS),
    )
