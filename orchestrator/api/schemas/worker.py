"""
Workers, as the API takes and gives them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Self
from uuid import UUID

from jsonschema import Draft202012Validator, SchemaError
from pydantic import AfterValidator, Field, JsonValue, model_validator

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.storable import StorableJSON, StorableText
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.common import (
    NAME_MAX,
    TEXT_MAX,
    StrictFloat,
    StrictInt,
    UserInfo,
)
from orchestrator.catalog.workers import WorkerFields
from orchestrator.contracts.json_size import check_document
from orchestrator.contracts.wire import ShortName
from orchestrator.queries.replicas import Replica
from orchestrator.queries.workers import WorkerView

_ENGLISH = "english"
_LANGUAGES_MAX = 100

#: Of a result's schema: values and keys, bytes of JSON, and characters of a complaint.
_SCHEMA_NODES_MAX = 1000
_SCHEMA_MAX_BYTES = 64 * 1024
_ECHO_MAX = 1000

#: The largest count that the database's column takes.
_COUNT_MAX = 2**31 - 1


def _with_english(texts: dict[str, str]) -> dict[str, str]:
    if not texts.get(_ENGLISH):
        raise ValueError(f"must have '{_ENGLISH}'; other languages are optional")
    return texts


def _json_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # Before it is judged: that costs half a millisecond a keyword, and the square of
    # that where they are to be unlike each other.
    text = json.dumps(schema).encode()
    if len(text) > _SCHEMA_MAX_BYTES:
        raise ValueError(f"must not be larger than {_SCHEMA_MAX_BYTES} bytes as JSON")
    check_document(text, nodes_max=_SCHEMA_NODES_MAX)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise ValueError(f"is not a JSON schema: {exc.message[:_ECHO_MAX]}") from exc
    except RecursionError as exc:
        raise ValueError("is not a JSON schema: a pattern is nested too deep") from exc
    return schema


LocalizedTexts = Annotated[
    dict[
        Annotated[StorableText, Field(max_length=NAME_MAX)],
        Annotated[StorableText, Field(max_length=TEXT_MAX)],
    ],
    Field(max_length=_LANGUAGES_MAX),
    AfterValidator(_with_english),
]
JSONSchema = Annotated[
    dict[StorableText, StorableJSON],
    Field(max_length=_SCHEMA_NODES_MAX),
    AfterValidator(_json_schema),
]


class _WorkerSettings(Form):
    #: ``schema`` is a method of pydantic's base, so the field has another name here.
    result_schema: JSONSchema | None = Field(default=None, alias="schema")
    weight: Annotated[StrictFloat, Field(gt=0, le=1)] | None = None
    run_seconds: Annotated[StrictFloat, Field(gt=0, le=86_400)] | None = None
    max_losses: Annotated[StrictInt, Field(ge=1, le=_COUNT_MAX)] | None = None
    window_cap: Annotated[StrictInt, Field(ge=1, le=_COUNT_MAX)] | None = None


class WorkerAddRequest(_WorkerSettings):
    """A worker to be registered before any replica of it runs."""

    short_name: ShortName
    localized_names: LocalizedTexts
    localized_descriptions: LocalizedTexts

    def fields(self) -> WorkerFields:
        """Return what it says, as the steps take it."""
        return WorkerFields(
            localized_names=self.localized_names,
            localized_descriptions=self.localized_descriptions,
            result_schema=self.result_schema,
            weight=self.weight,
            run_seconds=self.run_seconds,
            max_losses=self.max_losses,
            window_cap=self.window_cap,
        )


class WorkerUpdateRequest(_WorkerSettings):
    """What is to change; what is left out stays."""

    short_name: ShortName | None = None
    localized_names: LocalizedTexts | None = None
    localized_descriptions: LocalizedTexts | None = None

    @model_validator(mode="after")
    def _check_something_changes(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change; send at least one field")
        return self

    def fields(self) -> WorkerFields:
        """Return what it says, as the steps take it."""
        return WorkerFields(
            localized_names=self.localized_names,
            localized_descriptions=self.localized_descriptions,
            result_schema=self.result_schema,
            weight=self.weight,
            run_seconds=self.run_seconds,
            max_losses=self.max_losses,
            window_cap=self.window_cap,
        )


class AsideResponse(Shape):
    """A replica that lives and takes no work; ``why`` says what to do about it."""

    replica: str
    why: str
    since_timestamp: Millis


class DrainingResponse(Shape):
    """A replica that takes nothing more; ``holds``: how many attempts it still has."""

    replica: str
    since_timestamp: Millis
    holds: int


class ReplicaResponse(Shape):
    """A running process of a worker; ``holds``: how many attempts it has in hand."""

    id: str
    version: str
    slots: int
    holds: int
    created_timestamp: Millis
    seen_timestamp: Millis
    aside: str | None
    draining_timestamp: Millis | None

    @classmethod
    def of(cls, found: Replica) -> ReplicaResponse:
        """Shape a replica."""
        return cls(
            id=found.id,
            version=found.version,
            slots=found.slots,
            holds=found.holds,
            created_timestamp=found.since,
            seen_timestamp=found.seen_at,
            aside=found.aside,
            draining_timestamp=found.draining_since,
        )


class WorkerResponse(Shape):
    """A registered worker, and what runs of it now."""

    id: UUID
    short_name: str
    localized_name: str
    localized_names: dict[str, str]
    localized_description: str
    localized_descriptions: dict[str, str]
    created_by_user: UserInfo | None
    created_timestamp: Millis
    last_updated_by_user: UserInfo | None
    last_updated_timestamp: Millis | None
    deleted_by_user: UserInfo | None
    deleted_timestamp: Millis | None
    flags: tuple[str, ...]
    version: str | None
    weight: float
    run_seconds: float | None
    max_losses: int | None
    window_cap: int | None
    paused_timestamp: Millis | None
    replicas: int
    slots: int
    aside: tuple[AsideResponse, ...]
    draining: tuple[DrainingResponse, ...]
    backlog: int

    @classmethod
    def of(cls, view: WorkerView) -> WorkerResponse:
        """Shape a worker."""
        names, descriptions = view.localized_names, view.localized_descriptions
        own: dict[str, Any] = {name: getattr(view, name) for name in _SAME}
        return cls(
            **own,
            localized_name=names.get(_ENGLISH, view.short_name),
            localized_names=dict(names),
            localized_description=descriptions.get(_ENGLISH, ""),
            localized_descriptions=dict(descriptions),
            created_by_user=UserInfo.of(view.created_by),
            created_timestamp=view.created_at,
            last_updated_by_user=UserInfo.of(view.updated_by),
            last_updated_timestamp=view.updated_at,
            deleted_by_user=UserInfo.of(view.deleted_by),
            deleted_timestamp=view.deleted_at,
            flags=("deleted",) if view.deleted_at else (),
            paused_timestamp=view.paused_at,
            aside=tuple(
                AsideResponse(
                    replica=one.replica, why=one.why, since_timestamp=one.since
                )
                for one in view.aside
            ),
            draining=tuple(
                DrainingResponse(
                    replica=one.id, since_timestamp=one.draining_since, holds=one.holds
                )
                for one in view.draining
                if one.draining_since is not None
            ),
        )


#: Fields that have the same name on both sides.
_SAME = (
    "id",
    "short_name",
    "version",
    "weight",
    "run_seconds",
    "max_losses",
    "window_cap",
    "replicas",
    "slots",
    "backlog",
)
