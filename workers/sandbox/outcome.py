"""
How one analysis in a sandbox ended, and how far a child's answer about it is believed.

A child may be in the hands of its sample: whatever it sends becomes one of these values
and never an exception. Knows no process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    ValidationError,
)

from orchestrator.contracts.json_size import (
    RESULT_NODES_MAX,
    DocumentError,
    check_document,
)
from orchestrator.contracts.report import Detection, Tag
from workers.analysis import JSON, File


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """
    The analyzer returned.

    ``analysis``: the fields of :class:`workers.analysis.Analysis` without ``files``,
    checked, in plain JSON types. ``files``: as named, all given to ``collect`` before.
    """

    analysis: Mapping[str, JSON]
    files: tuple[File, ...] = ()
    duration_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """
    The analyzer raised, or there was no sample for it.

    ``message``: type, text and traceback, at most 8 KiB.
    """

    kind: Literal["error", "unsupported", "sample_missing"]
    recoverable: bool = False
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Crashed:
    """The child ended by itself, or was killed by somebody else (the kernel, say)."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfMemory:
    """The analyzer hit its memory limit, and Python could still say so."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedOut:
    """It took too long and was killed. ``message`` holds the stack, if it gave one."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BadResult:
    """What came back is not a valid analysis; ``message`` names the field."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """The caller asked for its end; it was killed."""


#: Held by whoever reads a result. It holds the interpreter for tenths of a second if it
#: is as large as may be: two at once would be done no sooner, and the thread that sends
#: heartbeats would wait for both.
ONE_AT_A_TIME = threading.Lock()

Outcome = Finished | Raised | Crashed | OutOfMemory | TimedOut | BadResult | Stopped

#: As much of a message as a report carries without crowding the analysis.
_Message = Annotated[str, Field(max_length=16 * 1024)]
_MAX_ITEMS = 10_000
_MAX_FILES = 1000


def _without_infinity(value: JsonValue) -> JsonValue:
    # JSON has none, but pydantic reads "NaN" and 1e999 in a JsonValue whatever the
    # model's settings say.
    json.dumps(value, allow_nan=False)
    return value


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# Of many mistakes one is told: the lists below look no further.
class _NamedFile(_Model):
    kind: Literal["child", "evidence"]
    path: str = Field(min_length=1, max_length=4096)
    file_name: str | None = Field(default=None, max_length=1024)
    mime_type: str = Field(max_length=256)


class _Analysis(_Model):
    score: int = Field(ge=-1, le=100)
    result: Annotated[JsonValue, AfterValidator(_without_infinity)]
    tags: Annotated[tuple[Tag, ...], FailFast()] = Field(max_length=_MAX_ITEMS)
    detections: Annotated[tuple[Detection, ...], FailFast()] = Field(
        max_length=_MAX_ITEMS
    )
    possible_detections: int | None = Field(ge=0)
    override: Literal["malicious", "benign"] | None
    profile: str | None = Field(max_length=1024)
    internet_access: bool
    files: Annotated[tuple[_NamedFile, ...], FailFast()] = Field(max_length=_MAX_FILES)
    message: _Message | None


class _Answer(_Model):
    kind: Literal["finished", "raised", "out_of_memory", "bad_result"]
    analysis: _Analysis | None = None
    which: Literal["error", "unsupported"] = "error"
    recoverable: bool = False
    message: _Message = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """
    An answer, judged. ``files``: what it names, not looked at yet.

    ``is_reusable``: whether the child may be given another sample.
    """

    outcome: Outcome
    files: tuple[File, ...] = field(default=())
    is_reusable: bool = False


def judge(body: bytes, duration_seconds: float) -> Judged:
    """Turn a child's answer into an outcome, whatever it is; never raises."""
    with ONE_AT_A_TIME:
        return _judge(body, duration_seconds)


def _judge(body: bytes, duration_seconds: float) -> Judged:
    try:
        check_document(body, nodes_max=RESULT_NODES_MAX)
        answer = _Answer.model_validate_json(body, strict=True)
    except DocumentError as error:
        return Judged(outcome=BadResult(message=f"result: {error}"))
    except ValidationError as error:
        return Judged(outcome=BadResult(message=_first_problem(error)))
    is_reusable = answer.kind != "out_of_memory"
    if answer.kind == "finished":
        if answer.analysis is None:
            return Judged(outcome=BadResult(message="analysis: missing"))
        return _finished(answer.analysis, duration_seconds, is_reusable=is_reusable)
    return Judged(outcome=_unfinished(answer), is_reusable=is_reusable)


def _finished(analysis: _Analysis, seconds: float, *, is_reusable: bool) -> Judged:
    files = tuple(File(**named.model_dump()) for named in analysis.files)
    return Judged(
        outcome=Finished(
            analysis=analysis.model_dump(mode="json", exclude={"files"}),
            files=files,
            duration_seconds=seconds,
        ),
        files=files,
        is_reusable=is_reusable,
    )


def _unfinished(answer: _Answer) -> Raised | OutOfMemory | BadResult:
    if answer.kind == "raised":
        return Raised(
            kind=answer.which, recoverable=answer.recoverable, message=answer.message
        )
    if answer.kind == "out_of_memory":
        return OutOfMemory(message=answer.message)
    return BadResult(message=answer.message)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    where = [str(part) for part in problem["loc"] if part != "analysis"]
    return f"{'.'.join(where) or 'answer'}: {problem['msg']}"[:8192]
