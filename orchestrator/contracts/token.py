"""
Who may speak: attempt tokens, canary tokens and enrolment secrets.

Pure functions over the keys of ``ASSAY_SECRET_KEY``; nothing here is stored, so a leak
of the database leaks no credential.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

#: A key shorter than 128 bits could be guessed from one token.
KEY_MIN_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRing:
    """
    The service's keys: the first signs, all verify.

    Raises:
        ValueError: From :meth:`parse`, naming the part that is wrong (never the key).
    """

    keys: tuple[tuple[str, bytes], ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read ``id:hex[,id:hex…]``."""
        keys = tuple(_parse_key(part) for part in text.split(",") if part.strip())
        if not keys:
            msg = "no key; write id:hex, at least 32 hex digits"
            raise ValueError(msg)
        if len({key_id for key_id, _ in keys}) != len(keys):
            msg = "two keys have the same id"
            raise ValueError(msg)
        return cls(keys=keys)

    def attempt_token(self, task_id: UUID, attempt: int, worker: str) -> str:
        """Return the token that lets *worker* report this attempt, and nothing else."""
        return self._sign(_attempt_claim(task_id, attempt, worker))

    def is_attempt_token(
        self, token: str, task_id: UUID, attempt: int, *, worker: str
    ) -> bool:
        """Whether one of our keys signed *token* for exactly this attempt."""
        return self._verify(token, _attempt_claim(task_id, attempt, worker))

    def receipt(self, stored: StoredClaim) -> str:
        """Return the receipt of a file that an attempt has put into the store."""
        return self._sign(stored.text())

    def is_receipt(self, receipt: str, stored: StoredClaim) -> bool:
        """Whether one of our keys signed *receipt* for exactly this file."""
        return self._verify(receipt, stored.text())

    def canary_token(self, sent_at: str) -> str:
        """Return the token of a canary sent at *sent_at* (ISO 8601)."""
        return self._sign(f"canary\n{sent_at}")

    def is_canary_token(self, token: str, sent_at: str) -> bool:
        """Whether one of our keys signed this canary."""
        return self._verify(token, f"canary\n{sent_at}")

    def enrolment_secret(self, worker: str, generation: int) -> str:
        """Return the newest enrolment secret of *worker*; a new generation ends it."""
        return self._sign(f"enrol\n{worker}\n{generation}")

    def enrolment_secrets(self, worker: str, generation: int) -> tuple[str, ...]:
        """Return every secret that still verifies, one per key."""
        return _enrolment_secrets(self.keys, worker, generation)

    def broker_passwords(self, worker: str, generation: int) -> tuple[str, ...]:
        """Return the passwords of a worker's account in the broker, one per key."""
        claim = f"broker\n{worker}\n{generation}"
        return tuple(_signature(key_id, key, claim) for key_id, key in self.keys)

    def webhook_secrets(self, webhook_id: UUID) -> tuple[str, ...]:
        """
        Return the secrets that sign what a webhook is sent, the newest key's first, as
        Standard Webhooks writes them.
        """
        claim = f"webhook\n{webhook_id}".encode()
        digests = [hmac.digest(key, claim, "sha256") for _, key in self.keys]
        return tuple(f"whsec_{base64.b64encode(each).decode()}" for each in digests)

    def _sign(self, claim: str) -> str:
        key_id, key = self.keys[0]
        return _signature(key_id, key, claim)

    def _verify(self, token: str, claim: str) -> bool:
        key_id = token.partition(".")[0]
        expected = [_signature(i, key, claim) for i, key in self.keys if i == key_id]
        return any(
            hmac.compare_digest(token.encode(), signature.encode())
            for signature in expected
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredClaim:
    """Which attempt has put which file into the store, as what; ``size`` in bytes."""

    task_id: UUID
    attempt: int
    kind: str
    sha256: str
    size: int

    def text(self) -> str:
        """Return what a receipt signs."""
        attempt = f"{self.task_id}\n{self.attempt}"
        return f"stored\n{attempt}\n{self.kind}\n{self.sha256}\n{self.size}"


# Asked for with each message that comes from a worker, and each that goes to one.
@lru_cache(maxsize=1_000)
def _enrolment_secrets(
    keys: tuple[tuple[str, bytes], ...], worker: str, generation: int
) -> tuple[str, ...]:
    claim = f"enrol\n{worker}\n{generation}"
    return tuple(_signature(key_id, key, claim) for key_id, key in keys)


def _attempt_claim(task_id: UUID, attempt: int, worker: str) -> str:
    return f"1\n{task_id}\n{attempt}\n{worker}"


def _signature(key_id: str, key: bytes, claim: str) -> str:
    digest = hmac.digest(key, claim.encode(), "sha256")
    return f"{key_id}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _parse_key(part: str) -> tuple[str, bytes]:
    key_id, colon, digits = part.strip().partition(":")
    if not colon or not key_id.isalnum():
        msg = "a key is written id:hex, its id of letters and digits"
        raise ValueError(msg)
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        msg = f"key {key_id!r}: what follows the colon is not hex"
        raise ValueError(msg) from None
    if len(key) < KEY_MIN_BYTES:
        msg = f"key {key_id!r}: needs at least {KEY_MIN_BYTES * 2} hex digits"
        raise ValueError(msg)
    return key_id, key
