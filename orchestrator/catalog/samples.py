"""
Says anew what kind of file a sample is, with the classifier of today.
"""

from __future__ import annotations

from orchestrator.classify import CLASSIFIER_VERSION, classify
from orchestrator.contracts.assignment import Classification
from orchestrator.db.unit_of_work import Transaction
from orchestrator.flow.submit import add_classification
from orchestrator.queries.samples import (
    ClassificationView,
    newest_classification,
    require_sample,
)
from orchestrator.store import HEAD_BYTES, TAIL_BYTES, SampleStore


def reclassify(tx: Transaction, store: SampleStore, sha256: str) -> ClassificationView:
    """
    Classify a sample again; the answer that stands already adds no row.

    Raises:
        NotFoundError: There is no such sample.
        SampleMissingError: Its bytes are gone.
    """
    size = require_sample(tx, sha256)
    head = _part(store, sha256, 0, min(size, HEAD_BYTES))
    tail_length = min(size, TAIL_BYTES)
    tail = _part(store, sha256, size - tail_length, tail_length)
    found = classify(head, tail, size)
    before = newest_classification(tx, sha256)
    if before is None or not _says(before, found):
        add_classification(tx, sha256, found)
    newest = newest_classification(tx, sha256)
    assert newest is not None  # noqa: S101  (one was there, or has been added)
    return newest


def _says(view: ClassificationView, found: Classification) -> bool:
    same = all(getattr(view, name) == value for name, value in found)
    return same and view.version == CLASSIFIER_VERSION


def _part(store: SampleStore, sha256: str, offset: int, length: int) -> bytes:
    # Object stores refuse to read nothing.
    return store.read_range(sha256, offset=offset, length=length) if length else b""
