"""
What changes rarely is read once: workers and their versions, the policy and its rules,
customers.

Whenever a row of those tables changes, a trigger gives the registry another revision
(migration 0006), with the commit. Every transaction begins by reading which one stands,
and what was read under the same one is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")


class Registry:
    """What was read under one revision."""

    def __init__(self, revision: UUID) -> None:
        self.revision = revision
        self._values: dict[Hashable, Any] = {}

    def kept(self, key: Hashable, read: Callable[[], T]) -> T:
        """
        Return what *read* returned when it was asked for this key first.

        The revision was read before that: what it returned may be newer, and is read
        again under the next one, but is never older.
        """
        # Two threads at once read the same.
        if key not in self._values:
            self._values[key] = read()
        kept: T = self._values[key]
        return kept


class KnownRegistry:
    """The newest that a process knows; one per ``Database``, shared by its threads."""

    def __init__(self) -> None:
        self._newest: Registry | None = None

    def at(self, revision: UUID) -> Registry:
        """Return what is known under the revision that stands."""
        newest = self._newest
        if newest is None or newest.revision != revision:
            newest = self._newest = Registry(revision)
        return newest
