"""
Many orders in one request, and what became of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.api.http.envelope import Form, ResultMessage, Shape
from orchestrator.api.schemas.job import JobAddRequest, JobResponse
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
