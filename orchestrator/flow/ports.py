"""
What the steps are given: limits and keys, and the broker as a small interface.

Implemented by ``messaging/``; built by ``bootstrap``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.contracts.token import KeyRing
from orchestrator.domain.limits import Limits
from orchestrator.messaging.outgoing import Outgoing, PublishResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """What every step needs to know besides its transaction."""

    limits: Limits
    keys: KeyRing


class AssignmentPublisher(Protocol):
    """Sends assignments; says which of them the broker did not take."""

    def publish(self, messages: Sequence[Outgoing]) -> PublishResult:
        """Publish; what is refused, or of unknown fate, comes back."""
