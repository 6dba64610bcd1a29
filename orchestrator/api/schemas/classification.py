"""
What kind of file a sample is, as the API takes and gives it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, WithJsonSchema, model_validator

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.times import Millis
from orchestrator.catalog.samples import Correction
from orchestrator.queries.samples import ClassificationView

_WORD = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_MIME_TYPE = re.compile(
    r"[a-z0-9][A-Za-z0-9_.+-]{0,126}/[a-z0-9][A-Za-z0-9_.+-]{0,126}"
)


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("must be small letters, digits and _, as in 'pe'")
    return text


def _mime_type(text: str) -> str:
    if not _MIME_TYPE.fullmatch(text):
        raise ValueError("must be two words with a slash, as in 'text/x-python'")
    return text


# Programs are told the pattern, people what it means.
Word = Annotated[
    str,
    AfterValidator(_word),
    WithJsonSchema({"type": "string", "pattern": f"^{_WORD.pattern}$"}),
]
MimeType = Annotated[
    str,
    AfterValidator(_mime_type),
    WithJsonSchema({"type": "string", "pattern": f"^{_MIME_TYPE.pattern}$"}),
]


class ClassificationResponse(Shape):
    """
    What kind of file a sample is; ``version``: of the classifier.

    ``meta_data`` has ``decidedBy`` (rules, magika or person) and ``confidence``, from 0
    to 1.
    """

    type: str
    super_type: str
    arch: str
    platform: str
    version: str
    mime_type: str
    meta_data: dict[str, Any]
    created_timestamp: Millis

    @classmethod
    def of(cls, view: ClassificationView) -> ClassificationResponse:
        """Shape a classification."""
        return cls(
            type=view.type,
            super_type=view.super_type,
            arch=view.arch,
            platform=view.platform,
            version=view.version,
            mime_type=view.mime_type,
            meta_data={
                **view.meta,
                "decidedBy": view.decided_by.value,
                "confidence": view.confidence,
            },
            created_timestamp=view.created_at,
        )


class ReclassifyRequest(Form):
    """Nothing, to classify a sample again; else what a person says that it is."""

    type: Word | None = None
    super_type: Word | None = None
    mime_type: MimeType | None = None

    @model_validator(mode="after")
    def _check_something_is_said(self) -> Self:
        if self.model_fields_set and self.correction() is None:
            raise ValueError(
                "nothing is said; send a type, a superType or a mimeType, or {} to"
                " classify the sample again"
            )
        return self

    def correction(self) -> Correction | None:
        """Return what a person says; nothing if it is left to the classifier."""
        said = Correction(
            type=self.type, super_type=self.super_type, mime_type=self.mime_type
        )
        return None if said == Correction() else said
