"""
The heartbeat of a replica, and the canary of the orchestrator.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, FailFast, Field, StringConstraints

from orchestrator.contracts.report import ReplicaId
from orchestrator.contracts.wire import (
    BIG_INTEGER_MAX,
    MESSAGE_VERSION,
    SLOTS_MAX,
    Attempt,
    ByteCount,
    Document,
    Line,
    Seconds,
    ShortName,
    Token,
    Wire,
    Word,
)

#: Of one manifest: languages of a name, and patterns of what a worker accepts.
_LANGUAGES_MAX = 100

#: Attempts in one replica's hands: running, waiting, or with a report that waits.
_HELD_MAX = 2_048

_PATTERNS_MAX = 1000


def _few(texts: object) -> object:
    # Of a mapping pydantic looks at every entry, and complains of each.
    if isinstance(texts, dict) and len(texts) > _LANGUAGES_MAX:
        raise ValueError(f"must not have more than {_LANGUAGES_MAX} entries")
    return texts


#: Characters of why a replica stands aside: a sentence with a place and a remedy.
ASIDE_MAX = 500


def _told(text: object) -> object:
    # What it says for people must not cost it its heartbeat.
    if not isinstance(text, str):
        return None
    return text.replace("\0", "\ufffd")[:ASIDE_MAX] or None


_Told = Annotated[
    Annotated[str, StringConstraints(max_length=ASIDE_MAX)] | None,
    BeforeValidator(_told),
]

#: Seconds: a clock that is further away is as wrong.
_SKEW_MAX = 1e9


def _measured(seconds: object) -> object:
    if not isinstance(seconds, int | float) or seconds != seconds:  # noqa: PLR0124
        return None
    return max(-_SKEW_MAX, min(seconds, _SKEW_MAX))


_Skew = Annotated[
    Annotated[float, Field(ge=-_SKEW_MAX, le=_SKEW_MAX)] | None,
    BeforeValidator(_measured),
]

_Texts = Annotated[
    dict[Word, Line], Field(max_length=_LANGUAGES_MAX), BeforeValidator(_few)
]
_Patterns = Annotated[
    tuple[Annotated[Word, StringConstraints(min_length=1)], ...],
    Field(max_length=_PATTERNS_MAX),
    FailFast(),
]


class Held(Wire):
    """An attempt that a replica has in hand."""

    task_id: UUID
    attempt: Attempt
    state: Literal["received", "running", "unconfirmed"]


class Manifest(Wire):
    """
    What a version of a worker is and takes; stored once per (worker, version).

    ``accepts``: patterns matched against the classification: ``*``, a type (``pe``), a
    super type (``executable``) or a MIME type (``application/*``); any one suffices.
    ``max_tlp``: the most restricted TLP that this worker may see.
    """

    localized_names: _Texts = Field(default_factory=dict)
    localized_descriptions: _Texts = Field(default_factory=dict)
    result_schema: Document = Field(default_factory=dict)
    accepts: _Patterns = ("*",)
    max_bytes: ByteCount | None = None
    run_seconds: Seconds = 120.0
    max_tlp: Literal["clear", "green", "amber", "red"] = "red"
    sends_data_out: bool = False


class Alive(Wire):
    """
    Sent every heartbeat. ``sequence`` grows by one; one not above the last is stale.

    ``manifest`` comes in the first and then once a minute. ``leaving`` is true in the
    last one of a replica that stops: it wants no more work. ``aside`` is why it takes
    none for now, and what to do about it; of more than 500 characters these count.
    ``draining``: it takes none any more, since a stop said so, and stays until it is
    told to end.
    ``skew_seconds`` is by how much its host's clock is ahead of the API's, for people.
    """

    version: Literal[1] = MESSAGE_VERSION
    type: Literal["alive"] = "alive"
    replica: ReplicaId
    sequence: int = Field(ge=1, le=BIG_INTEGER_MAX)
    worker: ShortName
    worker_version: Word
    slots: int = Field(ge=1, le=SLOTS_MAX)
    holds: Annotated[tuple[Held, ...], Field(max_length=_HELD_MAX), FailFast()] = ()
    manifest: Manifest | None = None
    leaving: bool = False
    draining: bool = False
    aside: _Told = None
    skew_seconds: _Skew = None


class Canary(Wire):
    """The database's time, sent through ``reports`` by maintenance to see it arrive."""

    version: Literal[1] = MESSAGE_VERSION
    type: Literal["canary"] = "canary"
    sent_at: datetime
    token: Token
