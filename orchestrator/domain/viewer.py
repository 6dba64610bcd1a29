"""
Who asks, and whose things are theirs to see. What that means for rows is ``db/access``.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewer:
    """
    Who asks.

    ``customer_id``: for whom what they add counts. ``customer_ids``: whose things they
    see; ``None``: everybody's. ``is_limited``: their key is for those customers alone,
    whoever else has named its user.
    """

    user_id: UUID
    customer_id: UUID
    customer_ids: frozenset[UUID] | None
    is_limited: bool = False

    @property
    def subjects(self) -> tuple[UUID, ...]:
        """To whom samples may have been granted that they see; maybe nobody."""
        own = () if self.is_limited else (self.user_id,)
        return (*own, *sorted(self.customer_ids or ()))

    def acts_for(self, customer_id: UUID) -> bool:
        """Whether things of this customer are theirs to see and to add."""
        return self.customer_ids is None or customer_id in self.customer_ids
