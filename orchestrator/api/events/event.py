"""
One thing that has changed, as it is now, and who wants to hear of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from orchestrator.domain.viewer import Viewer

Kind = Literal["job", "task", "verdict", "worker", "reset"]

#: What somebody asks for, by which an event finds them: a filter and its value.
Asked = tuple[str, object]

#: Under which those are found who ask for nothing in particular.
_EVERYTHING: Asked = ("everything", None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """
    ``data``: the API's resource as JSON, without the envelope. ``key``: which row it
    is. ``subjects``: customers and users that may see it; ``None``: everybody.
    ``is_over``: a job of which nothing more is to come. ``read_at``: when the reading
    began, by ``time.monotonic``.
    """

    kind: Kind
    key: str
    data: str
    read_at: float
    job_id: UUID | None = None
    sample_sha256: str | None = None
    worker: str | None = None
    state: str | None = None
    subjects: Collection[UUID] | None = None
    is_over: bool = False

    def about(self) -> tuple[Asked, ...]:
        """Return under what somebody may ask for it."""
        return (
            ("job", self.job_id),
            ("sample", self.sample_sha256),
            ("worker", self.worker),
            ("state", self.state),
            _EVERYTHING,
        )

    def may_be_seen_by(self, viewer: Viewer) -> bool:
        """Whether it is the viewer's."""
        if self.subjects is None or viewer.customer_ids is None:
            return True
        return not set(self.subjects).isdisjoint(viewer.subjects)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Of what somebody wants to hear; an empty part does not filter."""

    jobs: frozenset[UUID] = frozenset()
    samples: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    workers: frozenset[str] = frozenset()

    def asked(self) -> tuple[Asked, ...]:
        """Return under what its events find it: the narrowest filter that it has."""
        filters: tuple[tuple[str, frozenset[Any]], ...] = (
            ("job", self.jobs),
            ("sample", self.samples),
            ("worker", self.workers),
            ("state", self.states),
        )
        for name, values in filters:
            if values:
                return tuple((name, value) for value in values)
        return (_EVERYTHING,)

    def has(self, event: Event) -> bool:
        """Whether it is one of those."""
        return (
            (not self.jobs or event.job_id in self.jobs)
            and (not self.samples or event.sample_sha256 in self.samples)
            and (not self.states or event.state in self.states)
            and (not self.workers or event.worker in self.workers)
        )


def reset(read_at: float) -> Event:
    """Return what says that something was missed: read the lists again."""
    return Event(kind="reset", key="", data="{}", read_at=read_at)
