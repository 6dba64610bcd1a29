"""
What a sandbox handed over, made fit to be reported, or refused with the reason.

The child that made it has parsed hostile content: nothing of it is believed unchecked.
It uploads and sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from orchestrator.contracts.report import MESSAGE_MAX_CHARACTERS, ReportedAnalysis
from orchestrator.contracts.wire import MESSAGE_MAX_BYTES
from workers.analysis import JSON
from workers.replica.judging import SchemaCheck
from workers.sandbox.outcome import ONE_AT_A_TIME

#: Bytes of JSON. A broker that wraps bodies in base64 makes them a third larger, and
#: the limit of a message must hold for what travels.
INLINE_MAX_BYTES = MESSAGE_MAX_BYTES * 5 // 8

#: An escaped NUL in JSON text: PostgreSQL's ``jsonb`` and ``text`` cannot hold one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class RejectedResultError(Exception):
    """The result does not fit the contract; the message names the field and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A result that may be reported; ``size_bytes`` of its JSON."""

    analysis: ReportedAnalysis
    message: str | None
    size_bytes: int


class ResultCheck:
    """
    Checks results against the wire's contract and the analyzer's own schema.

    Raises:
        jsonschema.SchemaError: *schema* itself is not a valid JSON Schema.
    """

    def __init__(self, schema: Mapping[str, JSON]) -> None:
        self._schema = SchemaCheck(schema)

    def __call__(self, raw: Mapping[str, JSON]) -> Checked:
        """
        Check *raw*, the keys of :class:`workers.Analysis` but ``files``.

        Raises:
            RejectedResultError: It does not fit.
        """
        fields = dict(raw)
        message = fields.pop("message", None)
        with ONE_AT_A_TIME:
            analysis = _analysis(fields)
            body = encode(analysis)
        complaint = self._schema.complaint(analysis.result, body)
        if complaint:
            raise RejectedResultError(complaint)
        return Checked(
            analysis=analysis,
            message=None if message is None else clean_text(str(message)),
            size_bytes=len(body),
        )

    def close(self) -> None:
        """End the processes that it has started."""
        self._schema.close()


def encode(analysis: ReportedAnalysis) -> bytes:
    """
    Return the JSON of *analysis*.

    Raises:
        RejectedResultError: A text in it can be neither sent nor stored.
    """
    try:
        body = analysis.model_dump_json().encode()
    except ValueError as error:
        raise RejectedResultError(f"result: not JSON: {error}") from error
    if _NUL.search(body):
        raise RejectedResultError(
            "result: a text holds a NUL character (U+0000), which cannot be stored; "
            "replace it, for example by '\\ufffd'"
        )
    return body


def clean_text(text: str) -> str:
    """Return *text* as any message and any database can hold it."""
    printable = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if len(printable) <= MESSAGE_MAX_CHARACTERS:
        return printable
    return printable[: MESSAGE_MAX_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _analysis(fields: Mapping[str, JSON]) -> ReportedAnalysis:
    try:
        return ReportedAnalysis.model_validate({**fields, "references": ()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise RejectedResultError(f"{path}: {first['msg']}") from error
