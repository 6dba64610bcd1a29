"""
What all messages share: strict when we send, tolerant when we read.

Owns the base model and the limits; it knows no particular message.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

#: Version written into every message; a reader refuses any other.
MESSAGE_VERSION: Final = 1

#: Bytes. A message above this is rejected; larger results go to the store by
#: reference. One MiB keeps a batch of reports within a consumer's memory.
MESSAGE_MAX_BYTES = 1024 * 1024

#: Headers travel beside the body, so that Flower, which shows bodies, never shows them.
TOKEN_HEADER = "assay-token"  # noqa: S105  (a name, not a token)
SIGNATURE_HEADER = "signature"

#: Of content about which nothing else is known.
OPAQUE_MIME_TYPE = "application/octet-stream"

SHORT_NAME_PATTERN = r"^[a-zA-Z0-9_:\-.]{1,64}$"


def _no_step(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError("must not be . or .. alone: a path takes them for steps")
    return name


ShortName = Annotated[
    str, StringConstraints(pattern=SHORT_NAME_PATTERN), AfterValidator(_no_step)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Wire(BaseModel):
    """Base of all messages: immutable, unknown fields ignored (yesterday's reader)."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")
