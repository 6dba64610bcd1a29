"""
Many orders, or changes of jobs, in one request, and what became of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    StrictBool,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.api.changes import CHANGES_MAX, Change
from orchestrator.api.http.envelope import Form, ResultMessage, Shape
from orchestrator.api.http.errors import message_of
from orchestrator.api.schemas.job import JobAddRequest, JobCriteria, JobResponse
from orchestrator.queries.jobs import JobView

ORDERS_MAX: Final = 500


class _DocumentedAsOrder:
    """What ``POST /job`` takes; what is wrong with one is no fault of the request."""

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, describe: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        others = {"description": "Anything else is refused, and the others are placed."}
        return {"anyOf": [describe(JobAddRequest.__pydantic_core_schema__), others]}


class BulkRequest(Form):
    """Orders, each as ``POST /job`` takes one."""

    orders: Annotated[
        list[Annotated[JsonValue, _DocumentedAsOrder()]],
        Field(min_length=1, max_length=ORDERS_MAX),
    ]


class BulkResult(Shape):
    """
    What became of one order.

    ``job``: null where it was refused; ``code`` and ``messages`` then say why, as the
    envelope of a request that fails.
    """

    outcome: Literal["created", "repeated", "refused"]
    job: JobResponse | None = None
    code: str | None = None
    messages: list[ResultMessage] = Field(default_factory=list)

    @classmethod
    def of(cls, view: JobView, *, is_new: bool) -> BulkResult:
        """Shape the job of an order."""
        outcome: Literal["created", "repeated"] = "created" if is_new else "repeated"
        return cls(outcome=outcome, job=JobResponse.of(view))

    @classmethod
    def refused(cls, code: str, messages: Sequence[ResultMessage]) -> BulkResult:
        """Shape why there is no job."""
        return cls(outcome="refused", code=code, messages=list(messages))


class ChangeRequest(Form):
    """
    Which jobs to change: these, or the newest that match and to which it can be done.

    ``dry_run``: only say which they are.
    """

    jobs: Annotated[list[UUID], Field(min_length=1, max_length=CHANGES_MAX)] | None = (
        None
    )
    matching: JobCriteria | None = None
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.jobs is None) is (self.matching is None):
            raise ValueError("give either 'jobs' or 'matching'")
        return self


class ChangeResult(Shape):
    """
    What became of one job.

    ``job``: as it is now, of one that was analysed again the new one; null where it was
    refused: ``code`` and ``messages`` then say why.
    """

    id: UUID
    outcome: Literal["changed", "selected", "refused"]
    job: JobResponse | None = None
    code: str | None = None
    messages: list[ResultMessage] = Field(default_factory=list)

    @classmethod
    def of(cls, change: Change, *, dry_run: bool) -> ChangeResult:
        """Shape what became of a job, or would."""
        if change.error is not None:
            return cls(
                id=change.job_id,
                outcome="refused",
                code=change.error.code,
                messages=[message_of(change.error)],
            )
        job = None if change.view is None else JobResponse.of(change.view)
        outcome: Literal["changed", "selected"] = "selected" if dry_run else "changed"
        return cls(id=change.job_id, outcome=outcome, job=job)
