"""
One call of one webhook: signed, bounded, and what came of it.

Source: the specification of Standard Webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import httpcore
import structlog
from standardwebhooks import Webhook

from orchestrator import __version__
from orchestrator.contracts.https import trusting
from orchestrator.deliver.calling import (
    CheckedBackend,
    ForbiddenAddressError,
    UnknownHostError,
    ends_after,
)
from orchestrator.domain.addresses import Network

log = structlog.get_logger()

#: Seconds of one call, from the name to the end of the answer.
CALL_SECONDS = 10.0

#: An answer is a status; of what it says so much is read, that the connection can be
#: used again.
_ANSWER_MAX_BYTES = 16 * 1024

#: Seconds for which a connection is kept: receivers close theirs soon.
_KEEP_SECONDS = 2.0

_SECONDS = re.compile(rb"\d{1,6}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """
    What is sent where.

    ``secrets``: each signs, so that one that was given before the keys changed still
    verifies. ``sent_at``: the service's time.
    """

    url: str
    message_id: str
    body: str
    secrets: Sequence[str]
    sent_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """
    What came of a call. ``status``: ``None`` where none came; ``error``: in words, or
    ``None`` if it was taken. ``asked``: for how long it wants to be left alone.
    """

    status: int | None = None
    error: str | None = None
    asked: timedelta | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants to hear nothing more."""
        return self.status == HTTPStatus.GONE


class Sender:
    """
    Calls webhooks; safe to share by threads.

    Args:
        allowed: Networks that may be called beside the public internet.
        at_once: Calls at the same time.
        ca_certs: A file of authorities that are trusted beside the public ones.
        seconds: Of one call, from the name to the end of the answer.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Network],
        at_once: int,
        ca_certs: str | None = None,
        seconds: float = CALL_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._pool = httpcore.ConnectionPool(
            # Of the environment: the certificates alone, SSL_CERT_FILE; no proxy.
            ssl_context=trusting(ca_certs, trust_env=True),
            max_connections=at_once,
            max_keepalive_connections=at_once,
            keepalive_expiry=_KEEP_SECONDS,
            network_backend=CheckedBackend(allowed),
        )

    def send(self, call: Call) -> Answer:
        """Make one call; whatever the receiver does, it returns what came of it."""
        try:
            with ends_after(self._seconds):
                return self._send(call)
        except (ForbiddenAddressError, UnknownHostError) as refused:
            return Answer(error=str(refused))
        except httpcore.TimeoutException:
            return Answer(error=f"no answer within {self._seconds:.0f} s")
        except httpcore.ConnectError as error:
            return Answer(error=f"can not be reached: {_cause(error)}")
        except httpcore.NetworkError as error:
            return Answer(error=f"the connection broke: {_cause(error)}")
        except httpcore.ProtocolError as error:
            # Without what it said instead: of an answer only its status counts.
            what = _cause(error).partition(":")[0]
            return Answer(error=f"the connection broke: {what}")
        except Exception as error:
            # A try like any other, or it would be made again without end.
            log.exception("webhook.call_failed", delivery=call.message_id)
            return Answer(error=f"can not be called: {type(error).__name__}")

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def _send(self, call: Call) -> Answer:
        body = call.body.encode()
        with self._pool.stream(
            "POST", call.url, headers=_headers(call), content=body
        ) as response:
            read = 0
            for chunk in response.iter_stream():
                read += len(chunk)
                if read > _ANSWER_MAX_BYTES:
                    break
            return _answer(response)


def _headers(call: Call) -> dict[bytes | str, bytes | str]:
    signatures = [
        Webhook(secret).sign(call.message_id, call.sent_at, call.body)
        for secret in call.secrets
    ]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Assay/{__version__}",
        "webhook-id": call.message_id,
        "webhook-timestamp": str(int(call.sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _answer(response: httpcore.Response) -> Answer:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004
        return Answer(status=status)
    if 300 <= status < 400:  # noqa: PLR2004
        error = f"{status}: it leads elsewhere, where nobody follows; name that address"
    else:
        error = f"{status} {_phrase(status)}".rstrip()
    return Answer(status=status, error=error, asked=_asked(response))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _asked(response: httpcore.Response) -> timedelta | None:
    for name, value in response.headers:
        if name.lower() == b"retry-after" and _SECONDS.fullmatch(value):
            return timedelta(seconds=int(value))
    return None


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
