"""
What a worker's enrolment secret signs, and both sides check: bodies, assignments,
stops, and the proofs that go with a token or an enrolment.

A worker's secret is known to its replicas and derived by the orchestrator, once for
each key of ``ASSAY_SECRET_KEY``: so the orchestrator signs with each, of which a
replica knows one, and a rotation of keys stops nobody. Pure; texts are signed as UTF-8.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

#: Between the signatures of one header.
_SEPARATOR = ","


def body_signature(secret: str, body: bytes) -> str:
    """
    Return the hex HMAC-SHA256 of a report's or a heartbeat's bytes, for ``signature``.

    Args:
        secret: The worker's enrolment secret, as ``assay worker register`` printed it.
        body: The bytes exactly as they travel.
    """
    return _hmac(secret, body)


def assignment_signature(
    secret: str, *, celery_id: str, token: str, body: bytes
) -> str:
    """Return the signature of an assignment: its id, its token, its Celery body."""
    return _hmac(secret, f"assignment\n{celery_id}\n{token}\n".encode() + body)


def stop_signature(
    secret: str, *, replica: str, attempts: Iterable[str], drain: bool | None = None
) -> str:
    """
    Return the signature of the command that ends *attempts* of *replica*.

    Args:
        drain: Whether it shall take nothing more; ``None`` where it is not said.
    """
    said = [] if drain is None else [f"drain={str(drain).lower()}"]
    return _hmac(secret, "\n".join(["stop", replica, *attempts, *said]).encode())


def attempt_proof(secret: str, token: str) -> str:
    """Return what has to go with an attempt's token over HTTP."""
    return _hmac(secret, f"attempt\n{token}".encode())


def enrolment_proof(secret: str, worker: str) -> str:
    """Return what shows that a replica is enrolled as *worker*."""
    return _hmac(secret, f"enrolment\n{worker}".encode())


def joined(signatures: Iterable[str]) -> str:
    """Return one header for several signatures of the same."""
    return _SEPARATOR.join(signatures)


def is_one_of(shown: object, expected: Sequence[str]) -> bool:
    """
    Whether *shown*, off the wire, holds one of the *expected* signatures.

    It takes as long for a wrong one as for a right one.
    """
    if not isinstance(shown, str):
        return False
    parts = shown.encode("utf-8", "replace").split(_SEPARATOR.encode())
    found = [
        hmac.compare_digest(part, signature.encode())
        for part in parts[:_MOST]
        for signature in expected
    ]
    return any(found)


#: Signatures of one header that are looked at: as many keys nobody has at a time.
_MOST = 16


def _hmac(secret: str, claim: bytes) -> str:
    return hmac.digest(secret.encode(), claim, "sha256").hex()
