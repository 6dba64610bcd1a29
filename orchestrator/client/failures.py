"""
What the API says when it says no, as the errors that it came from.

One tree for both sides: who submits by Python catches what the service has raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from orchestrator.domain.errors import (
    AssayError,
    ConfigurationError,
    LimitExceededError,
    UnavailableError,
)

#: What to do about a status, where the API cannot know it.
_HINTS = {401: "; is ASSAY_API_KEY right?"}

#: What a proxy says while the API behind it is away.
_OF_PROXIES = frozenset({502, 503, 504})

#: Seconds, where an answer that asks for patience says no number.
_LATER_SECONDS = 1


class ClientError(AssayError):
    """It is not Assay's API that answered, or a file cannot be sent."""

    code = "client_error"


class NoAnswerError(UnavailableError):
    """Nobody answered, or not to the end; whether it was done is not known."""

    code = "no_answer"


class WaitTimeoutError(AssayError, TimeoutError):
    """What is waited for takes longer; it goes on."""

    code = "wait_timeout"


def data_of(answer: httpx.Response) -> Any:
    """
    Return the data of an answer.

    Raises:
        AssayError: It says no; the class is that of its code.
        NoAnswerError: It is a proxy's, which does not reach the API.
        ClientError: It is not Assay's.
    """
    envelope = envelope_of(answer)
    if answer.is_success and envelope is not None:
        return envelope.get("data")
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    if envelope is None:
        raise _not_ours(answer, status)
    said = sentence_of(envelope.get("messages")) or answer.url.path
    hint = _HINTS.get(answer.status_code, "")
    raise error_of(
        (envelope.get("metaData") or {}).get("code"),
        f"{said}{hint} ({status})",
        field=_first_field(envelope.get("messages")),
        retry_after=answer.headers.get("Retry-After"),
    )


def _not_ours(answer: httpx.Response, status: str) -> AssayError:
    what = f"{answer.url} answered {status}, and not as Assay does"
    if answer.status_code in _OF_PROXIES:
        return NoAnswerError(
            f"{what}: a proxy that does not reach it; does the API run, and is"
            " ASSAY_API_URL right?"
        )
    return ClientError(f"{what}; is ASSAY_API_URL right?")


def envelope_of(answer: httpx.Response) -> dict[str, Any] | None:
    """Return the envelope of an answer; ``None`` if it has none."""
    try:
        document = answer.json()
    except ValueError:
        return None
    is_envelope = isinstance(document, dict) and "responseCode" in document
    return document if is_envelope else None


def error_of(
    code: object,
    message: str,
    *,
    field: str | None = None,
    retry_after: str | None = None,
) -> AssayError:
    """Return the error of a code that the API gave, which may be newer than we are."""
    kind = _KINDS.get(str(code), AssayError)
    # Not by its own constructor: each has arguments of its own, and here are words.
    error = kind.__new__(kind)
    AssayError.__init__(error, message, field=field)
    if isinstance(error, LimitExceededError):
        seconds = retry_after or ""
        error.retry_after_seconds = (
            int(seconds) if seconds.isdecimal() else _LATER_SECONDS
        )
    return error


def sentence_of(messages: object) -> str:
    """Return what messages say, in one line that does nothing to a terminal."""
    text = "; ".join(_sentences(messages))
    # Whoever answered may be anybody.
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def no_address(url: str) -> ConfigurationError:
    """Return the error of an address that is none."""
    return ConfigurationError(
        f"ASSAY_API_URL: {url!r} is no address; give one like http://127.0.0.1:8000",
        field="ASSAY_API_URL",
    )


def _sentences(messages: object) -> Iterator[str]:
    for message in messages if isinstance(messages, list) else ():
        about = f"{message['field']}: " if message.get("field") else ""
        said = f"{message.get('message', '')}"
        # Some name their field themselves.
        yield said if said.startswith(about) else f"{about}{said}"


def _first_field(messages: object) -> str | None:
    if not isinstance(messages, list) or not messages:
        return None
    field = messages[0].get("field")
    return field if isinstance(field, str) else None


def _kinds(base: type[AssayError]) -> Iterator[type[AssayError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


_KINDS = {kind.code: kind for kind in _kinds(AssayError)}
