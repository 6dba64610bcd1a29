"""
What is ordered for a sample, and how its bytes are read: a path, bytes or an open file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from uuid_utils.compat import uuid7

from orchestrator.client.failures import ClientError

#: Bytes of something that cannot be read twice which are kept in memory.
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024

#: Where a sample's bytes come from.
Source = str | Path | bytes | IO[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """
    How samples are to be analysed.

    ``priority``: -9 to 9; a step is worth ten minutes of waiting. ``workers``: short
    names; ``None`` leaves the choice to the policy. ``options``: for the workers.
    ``customer``, ``tlp`` (``amber``, ``green``, ``clear``) and ``metadata``: what is
    said of the samples; with any of them each becomes a submission too.
    """

    priority: int = 0
    workers: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    customer: str | None = None
    tlp: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def body(
        self, sha256: str, *, file_name: str | None, key: str | None = None
    ) -> dict[str, Any]:
        """
        Return it as ``POST /job`` takes it.

        Args:
            key: The idempotency key; a new one if left out, so that it may be sent
                again where no answer came.
        """
        body: dict[str, Any] = {
            "sampleSha256": sha256,
            "priority": self.priority,
            "idempotencyKey": key or uuid7().hex,
        }
        if file_name is not None:
            body["fileName"] = file_name
        if self.workers is not None:
            body["workers"] = list(self.workers)
        if self.options:
            body["options"] = dict(self.options)
        said = self._said()
        return {**body, "submission": said} if said else body

    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if self.customer is not None:
            said["customer"] = self.customer
        if self.tlp is not None:
            said["tlp"] = self.tlp
        if self.metadata:
            said["metaData"] = dict(self.metadata)
        return said


def name_of(source: Source) -> str | None:
    """Return under which name a sample is submitted, if it has one."""
    if isinstance(source, str | Path):
        # The system's names are bytes; those of the API are text.
        return os.fsencode(Path(source).name).decode("utf-8", "replace")
    return None


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """
    Open a sample's bytes, so that their length is known.

    Raises:
        ClientError: They cannot be read; it says why.
    """
    try:
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                yield file
        elif isinstance(source, bytes):
            yield BytesIO(source)
        elif _checked(source).seekable():
            yield source
        else:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as kept:
                while chunk := source.read(_CHUNK_BYTES):
                    kept.write(chunk)
                kept.seek(0)
                yield kept
    except OSError as error:
        raise ClientError(f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        # A file that was closed; a path with a NUL.
        raise ClientError(f"cannot be read: {error}") from None


def _checked(source: IO[bytes]) -> IO[bytes]:
    if not hasattr(source, "read"):
        raise ClientError(
            f"{type(source).__name__} is no sample: give a path, bytes, or a file open"
            " in binary mode"
        )
    if source.read(0) != b"":
        raise ClientError("cannot be read: it is open as text; open it in binary mode")
    return source
