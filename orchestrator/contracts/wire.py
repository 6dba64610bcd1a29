"""
What all messages share: strict when we send, tolerant when we read.

Owns the base model and the limits; it knows no particular message.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

#: Version written into every message; a reader refuses any other.
MESSAGE_VERSION: Final = 1

#: Bytes. A message above this is rejected; larger results go to the store by
#: reference. One MiB keeps a batch of reports within a consumer's memory.
MESSAGE_MAX_BYTES = 1024 * 1024

#: Headers travel beside the body, so that Flower, which shows bodies, never shows them.
TOKEN_HEADER = "assay-token"  # noqa: S105  (a name, not a token)
SIGNATURE_HEADER = "signature"
#: Over HTTP, beside the token.
PROOF_HEADER = "assay-proof"
#: Which replica asks whether it may work.
REPLICA_HEADER = "assay-replica"

#: Of content about which nothing else is known.
OPAQUE_MIME_TYPE = "application/octet-stream"

SHORT_NAME_PATTERN = r"^[a-zA-Z0-9_:\-.]{1,64}$"


def _no_step(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError("must not be . or .. alone: a path takes them for steps")
    return name


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold U+0000, which cannot be stored")
    return text


def _document_without_nul(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    waiting: list[JsonValue] = [document]
    while waiting:
        match waiting.pop():
            case dict() as mapping:
                waiting.extend(mapping)
                waiting.extend(mapping.values())
            case list() as items:
                waiting.extend(items)
            case str() as text:
                _without_nul(text)
            case _:
                pass
    return document


#: What a column of whole numbers holds, small and big: a larger one would fail the
#: statement, and with it everything that is applied beside it.
INTEGER_MAX: Final = 2**31 - 1
BIG_INTEGER_MAX: Final = 2**63 - 1

#: Seconds: a year. No time that anybody waits for is longer.
SECONDS_MAX: Final = 366 * 86_400.0

#: Entries of a list whose own limit is that of the message. Checked before the entries.
LIST_MAX: Final = 20_000

#: Analyses at a time in one replica.
SLOTS_MAX: Final = 1024

Attempt = Annotated[int, Field(ge=1, le=INTEGER_MAX)]
ByteCount = Annotated[int, Field(ge=0, le=BIG_INTEGER_MAX)]
Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]

_NoNul = AfterValidator(_without_nul)
Word = Annotated[str, StringConstraints(max_length=128), _NoNul]
Line = Annotated[str, StringConstraints(max_length=4096), _NoNul]
Token = Annotated[str, StringConstraints(min_length=1, max_length=256), _NoNul]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512), _NoNul]
ShortName = Annotated[
    str, StringConstraints(pattern=SHORT_NAME_PATTERN), AfterValidator(_no_step)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

#: A JSON document that any database can hold as it is.
Document = Annotated[dict[str, JsonValue], AfterValidator(_document_without_nul)]


class Wire(BaseModel):
    """Base of all messages: immutable, unknown fields ignored (yesterday's reader)."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")
