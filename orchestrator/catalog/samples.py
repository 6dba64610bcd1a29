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
from orchestrator.classify import CLASSIFIER_VERSION, classify
from orchestrator.contracts.assignment import Classification
from orchestrator.db import audit, samples
from orchestrator.db.access import grant_sample
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.values import Actor
from orchestrator.queries.samples import ClassificationView, find_newest_classification
from orchestrator.store import HEAD_BYTES, TAIL_BYTES, Received, SampleStore


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


def store_sample(
    database: Database,
    store: SampleStore,
    chunks: Iterable[bytes],
    *,
    limit_bytes: int,
    owner: Owner,
) -> StoredSample:
    """
    Take a sample in, chunk by chunk; the same bytes again change nothing.

    The bytes are kept before the row is committed: a failure in between leaves bytes
    that nobody refers to, never a sample without bytes.

    Raises:
        SampleTooLargeError: It is above *limit_bytes*; nothing is kept.
    """
    received = store.receive(chunks, limit_bytes=limit_bytes)
    try:
        store.keep(received)
    finally:
        store.discard(received)
    with database.uow() as tx:
        is_new = _add_sample(tx, received, user_id=owner.user_id)
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


def reclassify(tx: Transaction, store: SampleStore, sha256: str) -> ClassificationView:
    """
    Classify a sample again; the answer that stands already adds no row.

    Raises:
        NotFoundError: There is no such sample.
        SampleMissingError: Its bytes are gone.
    """
    size = samples.get_sample_size(tx, sha256)
    head = _part(store, sha256, 0, min(size, HEAD_BYTES))
    tail_length = min(size, TAIL_BYTES)
    tail = _part(store, sha256, size - tail_length, tail_length)
    found = classify(head, tail, size)
    before = find_newest_classification(tx, sha256)
    if before is None or not _says(before, found):
        samples.add_classification(tx, sha256, found, version=CLASSIFIER_VERSION)
    newest = find_newest_classification(tx, sha256)
    assert newest is not None  # noqa: S101  (one was there, or has been added)
    return newest


def _says(view: ClassificationView, found: Classification) -> bool:
    same = all(getattr(view, name) == value for name, value in found)
    return same and view.version == CLASSIFIER_VERSION


def _part(store: SampleStore, sha256: str, offset: int, length: int) -> bytes:
    # Object stores refuse to read nothing.
    return store.read_range(sha256, offset=offset, length=length) if length else b""


def _add_sample(tx: Transaction, received: Received, *, user_id: UUID) -> bool:
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
    if is_new:
        found = classify(received.head, received.tail, digests.size)
        samples.add_classification(
            tx, digests.sha256, found, version=CLASSIFIER_VERSION
        )
    return is_new
