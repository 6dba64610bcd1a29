"""
The envelope of every JSON answer, and nothing of what is inside it; and the header of
every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import wraps
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any, Generic, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema
from typing_extensions import override

from orchestrator.api.http.sparing import sparing
from orchestrator.queries.lists import Page, Paging

#: In every answer, of whatever type: what it holds may come from a sample.
NO_GUESSING = (b"x-content-type-options", b"nosniff")

T = TypeVar("T")


class Shape(BaseModel):
    """Base of what the API answers: camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True
    )


class Form(BaseModel):
    """Base of what the API takes: camelCase, and no field that we do not know."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")

    @classmethod
    @override
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return sparing(handler(source), name=cls.__name__)


class MessageType(StrEnum):
    """What kind of message it is."""

    FIELD_ERROR = "FIELD_ERROR"
    ACTION_ERROR = "ACTION_ERROR"
    WARNING = "WARNING"
    NOTIFICATION = "NOTIFICATION"
    INFO = "INFO"


class ResultMessage(Shape):
    """One message. Clients rely on every key being there, ``field`` too."""

    message: str
    message_template: str
    type: MessageType
    field: str | None = None
    parameter: str | None = None


class Envelope(Shape, Generic[T]):
    """One object; ``count``, ``size``, ``limit``, ``offset`` are of lists: 0 here."""

    response_code: int
    limit: int = 0
    offset: int = 0
    count: int = 0
    size: int = 0
    meta_data: dict[str, Any] = Field(default_factory=dict)
    messages: list[ResultMessage] = Field(default_factory=list)
    data: T | None = None


class ListEnvelope(Envelope[list[T]], Generic[T]):
    """A list. ``count``: all that match; -1 when that was too many to count."""


class Failure(Envelope[None]):
    """What went wrong: ``messages`` for people, ``metaData.code`` for programs."""


def answering(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return *endpoint*, which returns an envelope, as one that returns its answer.

    FastAPI would judge it by the model that mypy has judged it by already, and would
    take another thread for that.
    """
    if iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def answered_later(*arguments: Any, **named: Any) -> Any:
            return _answer(await endpoint(*arguments, **named))

        return answered_later

    @wraps(endpoint)
    def answered(*arguments: Any, **named: Any) -> Any:
        return _answer(endpoint(*arguments, **named))

    return answered


def _answer(returned: object) -> object:
    if not isinstance(returned, Envelope):
        return returned
    return Response(
        returned.model_dump_json(by_alias=True),
        status_code=returned.response_code,
        media_type="application/json",
    )


def single(data: T, *, messages: Sequence[ResultMessage] = ()) -> Envelope[T]:
    """Wrap one object."""
    return Envelope(response_code=HTTPStatus.OK, data=data, messages=list(messages))


def created(data: T, *, is_new: bool = True) -> Envelope[T]:
    """Wrap an object that this request made: 201, or 200 if it was there before."""
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return Envelope(response_code=status, data=data)


def listing(data: Sequence[T], *, page: Page[Any], paging: Paging) -> ListEnvelope[T]:
    """Wrap a page of a list, with what was asked for."""
    return ListEnvelope(
        response_code=HTTPStatus.OK,
        limit=paging.limit,
        offset=paging.offset,
        count=page.total,
        size=len(data),
        data=list(data),
    )
