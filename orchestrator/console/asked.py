"""
Which jobs the address of a page asks for: the criteria, and from which job on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query

from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import parse_time
from orchestrator.api.schemas.common import NAME_MAX
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import JobState
from orchestrator.queries.jobs import JobFilter, JobView, Seek
from orchestrator.queries.lists import Period

_SHA256_LENGTH: Final = 64

Text = Annotated[StorableText, Query(max_length=NAME_MAX)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """
    Which jobs the address asks for; ``before`` and ``after``: beyond which of them.
    """

    state: Sequence[JobState] = ()
    sample: str = ""
    customer: str = ""
    start: str = ""
    end: str = ""
    before: str = ""
    after: str = ""

    def criteria(self) -> dict[str, Any]:
        """Return it without the place, as the API's search takes it."""
        found = {
            "state": [state.value for state in self.state],
            "sampleSha256": self.sample,
            "customer": self.customer,
            "startTimestamp": self.start,
            "endTimestamp": self.end,
        }
        given = {name: value for name, value in found.items() if value}
        if self.start or self.end:
            given["timeFieldStrategy"] = ["enqueuedTimestamp"]
        return given

    def filter(self, now: datetime) -> JobFilter:
        """
        Return its criteria.

        Raises:
            InvalidError: A hash or a time is none.
        """
        if self.sample and len(self.sample) != _SHA256_LENGTH:
            raise InvalidError("is no SHA-256; give all 64 digits", field="sample")
        return JobFilter(
            states=self.state,
            sample_sha256s=[self.sample.lower()] if self.sample else (),
            customers=[self.customer] if self.customer else (),
            period=Period(
                start=_time(self.start, "start", now), end=_time(self.end, "end", now)
            ),
            times=("enqueuedTimestamp",),
        )

    def seek(self) -> Seek | None:
        """
        Return where the page begins.

        Raises:
            InvalidError: It is no place.
        """
        written = self.after or self.before
        if not written:
            return None
        moment, _, job_id = written.partition("_")
        try:
            return Seek(
                enqueued_at=datetime.fromisoformat(moment),
                job_id=UUID(job_id),
                newer=bool(self.after),
            )
        except ValueError:
            raise InvalidError(
                "is no place in the list; begin without it",
                field="after" if self.after else "before",
            ) from None

    def address(self, **place: str) -> str:
        """Return the address of the same list, from another place on."""
        given = {
            "state": [state.value for state in self.state],
            "sample": self.sample,
            "customer": self.customer,
            "start": self.start,
            "end": self.end,
            **place,
        }
        query = urlencode({k: v for k, v in given.items() if v}, doseq=True)
        return f"/jobs?{query}" if query else "/jobs"


async def get_asked(  # noqa: PLR0913, PLR0917  (its filters)
    state: Annotated[list[JobState] | None, Query(max_length=len(JobState))] = None,
    sample: Text = "",
    customer: Text = "",
    start: Text = "",
    end: Text = "",
    before: Text = "",
    after: Text = "",
) -> Asked:
    """Read which jobs the address asks for."""
    return Asked(
        state=tuple(dict.fromkeys(state or ())),
        sample=sample.strip(),
        customer=customer.strip(),
        start=start.strip(),
        end=end.strip(),
        before=before,
        after=after,
    )


AskedDep = Annotated[Asked, Depends(get_asked)]


def place_of(view: JobView) -> str:
    """Return how an address names the place of a job in the list."""
    return f"{view.enqueued_at.isoformat()}_{view.id}"


def _time(written: str, name: str, now: datetime) -> datetime | None:
    return parse_time(written, now=now, field=name) if written else None
