"""
What an analyzer returns, and how it says that another try may help.

Standard library only: the sandbox child imports this and has nothing else in reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: Any JSON value. ``Any``: JSON is recursive, and dataclasses do not check it; the
#: replica does, against the registered schema.
JSON = Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """A label of a finding. ``type``: ``family``, ``behaviour`` or ``yara``."""

    type: Literal["family", "behaviour", "yara"]
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """A named detection that triggered, and what it says of the sample."""

    name: str
    assessment: Literal["benign", "unknown", "malicious", "informational"]


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """
    Bytes to keep beside an analysis, which the analyzer wrote into its scratch.

    ``kind``: ``child`` (a sample found inside this one) or ``evidence``.
    ``path``: relative to the working directory.
    """

    kind: Literal["child", "evidence"]
    path: str
    file_name: str | None = None
    mime_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """
    One worker's result for one sample.

    ``score``: -1 (no findings: counts for nothing), else 0 to 100 (malicious).
    ``result``: JSON, of the shape of the schema given to :func:`workers.analyzer`.
    ``override``: set only when the worker is entirely certain; it decides the verdict.
    """

    score: int
    result: JSON = None
    tags: Sequence[Tag] = ()
    detections: Sequence[Detection] = ()
    possible_detections: int | None = None
    override: Literal["malicious", "benign"] | None = None
    profile: str | None = None
    internet_access: bool = False
    files: Sequence[File] = ()
    #: Free text shown with the task.
    message: str | None = None


class Recoverable(Exception):  # noqa: N818  (it is what an author says, not a defect)
    """Raise it when another attempt may succeed (a service that is briefly away)."""


class Unsupported(Exception):  # noqa: N818
    """Raise it when the sample is not of a kind that this analyzer can look at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """What kind of file a sample is, by its content; ``unknown`` if nobody knows."""

    type: str = "unknown"
    super_type: str = "unknown"
    platform: str = "any"
    arch: str = "any"
    mime_type: str = "application/octet-stream"
