"""
What a replica is told by its environment.

Owns the names, the defaults and the complaints. It reads no environment by itself: the
caller hands it over.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.contracts import names
from orchestrator.contracts.broker_tls import check_broker_options
from orchestrator.contracts.https import CA_CERTS, check_certificates
from orchestrator.contracts.silence import broker_limits
from orchestrator.contracts.wire import SLOTS_MAX
from workers.replica.sources import Host, Sources

#: Whose replicas speak for a worker.
SECRET = "ASSAY_WORKER_SECRET"  # noqa: S105  (its name)

_MOST_SLOTS_BY_DEFAULT = 4

_BETWEEN_PATHS = re.compile(r":(?=/)")

#: No wildcard, no path, no user: what is named is asked, and nobody else.
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


class SettingsError(Exception):
    """A setting is missing or wrong; the message says which and how to set it."""


class MissingSettingError(SettingsError):
    """One is not set at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """
    What a replica is told by its environment.

    ``events``: whether Celery sends the task events that Flower shows. ``sources``:
    from where samples may be read, beside the API. ``enrolment_seconds``: from one
    question whether we are still enrolled to the next. ``ca_certs``: a file of
    authorities that are trusted beside the public ones, for HTTPS.
    """

    broker_url: str = field(repr=False)
    api_url: str
    secret: str = field(repr=False)
    heartbeat_seconds: float = 5.0
    enrolment_seconds: float = 60.0
    stop_grace_seconds: float = 10.0
    slots: int = 1
    events: bool = True
    sources: Sources = field(default_factory=Sources)
    ca_certs: str | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str], *, worker: str) -> Settings:
        """
        Read the settings of a replica of *worker*.

        Raises:
            SettingsError: One is missing or is not what it must be.
        """
        broker_url = _secret(
            environment, "ASSAY_BROKER_URL", "for example redis://127.0.0.1:6379/0"
        )
        try:
            check_broker_options(broker_url)
        except ValueError as error:
            raise SettingsError(f"ASSAY_BROKER_URL: {error}") from None
        api_url = _required(
            environment, "ASSAY_API_URL", "for example http://127.0.0.1:8000"
        )
        return cls(
            broker_url=broker_url,
            api_url=api_url,
            secret=_secret(
                environment,
                SECRET,
                f"as `assay worker register {worker}` printed it",
            ),
            heartbeat_seconds=_number(environment, "ASSAY_HEARTBEAT_SECONDS", 5.0),
            enrolment_seconds=_number(environment, "ASSAY_ENROLMENT_SECONDS", 60.0),
            stop_grace_seconds=_number(environment, "ASSAY_STOP_GRACE_SECONDS", 10.0),
            slots=_slots(environment),
            events=_switch(environment, "ASSAY_WORKER_EVENTS", default=True),
            sources=Sources(roots=_roots(environment), hosts=_hosts(environment)),
            ca_certs=_authorities(environment),
        )

    @property
    def rabbitmq(self) -> bool:
        """Whether the broker is RabbitMQ (else it is Redis)."""
        return names.is_rabbitmq(self.broker_url)

    @property
    def transport_options(self) -> dict[str, Any]:
        """Return kombu's options for every connection."""
        limits = broker_limits(rabbitmq=self.rabbitmq)
        if self.rabbitmq:
            # No waiting for confirms: nothing that Celery says by itself is worth it,
            # and whoever speaks counts them.
            return limits
        return {**limits, "priority_steps": [0]}


def _required(environment: Mapping[str, str], name: str, example: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise MissingSettingError(f"{name} is not set; set it, {example}")
    return value


def _secret(environment: Mapping[str, str], name: str, example: str) -> str:
    """Read a setting, or the file that ``<name>_FILE`` says it stands in."""
    variable = f"{name}_FILE"
    file = environment.get(variable)
    if not file:
        return _required(environment, name, example)
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{variable}: {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{variable}: {file}: is not UTF-8") from error
    if not text:
        raise SettingsError(f"{variable}: {file}: is empty; {name} goes there")
    return text


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf or (value == 0 and name != "ASSAY_STOP_GRACE_SECONDS"):
        raise SettingsError(f"{name} is {text!r}; set it to a number above 0")
    return value


def _slots(environment: Mapping[str, str]) -> int:
    name = "ASSAY_WORKER_SLOTS"
    text = environment.get(name, "").strip() or str(_default_slots())
    if not text.isdecimal() or not 1 <= int(text) <= SLOTS_MAX:
        raise SettingsError(
            f"{name} is {text!r}; set it to a number from 1 to {SLOTS_MAX}"
        )
    return int(text)


def _roots(environment: Mapping[str, str]) -> tuple[Path, ...]:
    name = "ASSAY_SAMPLE_ROOT"
    # A colon that no path follows is part of a name.
    words = _BETWEEN_PATHS.split(environment.get(name, ""))
    folders = [word for word in words if word.strip()]
    for folder in folders:
        if not folder.startswith("/") or not folder.strip("/"):
            raise SettingsError(
                f"{name}: {folder!r} is not an absolute path below /; set it to the"
                " store's folder, several with colons between them"
            )
    return tuple(Path(folder) for folder in folders)


def _hosts(environment: Mapping[str, str]) -> tuple[Host, ...]:
    words = environment.get("ASSAY_SAMPLE_HOSTS", "").split(",")
    return tuple(_host(word.strip()) for word in words if word.strip())


def _host(word: str) -> Host:
    try:
        parts = urlsplit(f"//{word}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or not _HOST.fullmatch(word):
        raise SettingsError(
            f"ASSAY_SAMPLE_HOSTS: {word!r} is not a host or host:port; set it for"
            " example to bucket.s3.eu-west-1.amazonaws.com,minio:9000"
        )
    return Host(name, port)


def _authorities(environment: Mapping[str, str]) -> str | None:
    file = environment.get(CA_CERTS, "").strip()
    if not file:
        return None
    try:
        check_certificates(file)
    except ValueError as error:
        raise SettingsError(f"{CA_CERTS}: {error}") from None
    return file


def _switch(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").strip().lower()
    if not text:
        return default
    if text not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise SettingsError(f"{name} is {text!r}; set it to true or false")
    return text in {"1", "true", "yes", "on"}


def _default_slots() -> int:
    return min(len(os.sched_getaffinity(0)), _MOST_SLOTS_BY_DEFAULT)
