"""
The settings: read once at the start of a process, passed on as values.

From the environment; where that says nothing, from the file ``env`` that ``assay up``
writes into the data directory. A secret may stand in a file that ``<NAME>_FILE`` names.
Nothing below ``bootstrap`` reads them.
"""

from __future__ import annotations

import os
import pwd
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.contracts.broker_tls import check_broker_options, url_options
from orchestrator.contracts.data_dir import data_directory, env_file, is_readable
from orchestrator.contracts.https import check_certificates
from orchestrator.contracts.token import KeyRing
from orchestrator.domain.addresses import Network, parse_networks
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.limits import Limits, Retention
from orchestrator.domain.values import Actor

PREFIX = "ASSAY_"

#: What the tests alone read.
_TESTS = f"{PREFIX}TEST_"

#: What replicas alone read.
_REPLICAS = f"{PREFIX}WORKER_"
_OF_REPLICAS = frozenset(
    f"{PREFIX}{name}" for name in ("SAMPLE_ROOT", "SAMPLE_HOSTS", "ENROLMENT_SECONDS")
)

#: What ``docker-compose.yml`` alone reads.
_OF_CONTAINERS = frozenset({f"{PREFIX}SECRETS", f"{PREFIX}ENGINE_MEMORY"})


class Settings(BaseSettings):
    """
    Every setting of the orchestrator, as ``ASSAY_<NAME>``.

    Durations are seconds, sizes bytes. What a process needs and is not set ends it with
    one line (:func:`require`).
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    #: ``postgresql+psycopg://user:password@host/name``.
    database_url: SecretStr | None = None
    #: Of the server itself, where that one leads to a pooler in transaction mode.
    database_direct_url: SecretStr | None = None
    #: ``redis://``, ``redis+socket://`` or ``amqp://``.
    broker_url: SecretStr | None = None
    #: Of RabbitMQ's management API: ``http://name:password@host:15672``.
    broker_management_url: SecretStr | None = None
    #: A folder, or ``s3://``, ``gs://``, ``az://``; the folder ``samples`` of the data
    #: directory if unset.
    sample_store: str | None = None
    #: Whether replicas see the store's folder under the same path, and read it there
    #: instead of over HTTP.
    samples_shared: bool = False
    #: ``id:hex[,id:hex…]``: the first signs, all verify.
    secret_key: SecretStr | None = None
    #: Where ``assay up`` keeps everything.
    data_dir: Path = Field(default_factory=data_directory)
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    #: Addresses, with commas, whose ``X-Forwarded-For`` is believed; none by default.
    trusted_proxies: str = ""
    #: Where clients and replicas reach the API.
    api_url: str | None = None
    api_key: SecretStr | None = None
    #: A file with authorities that are trusted beside the public ones, for HTTPS.
    ca_certs: str | None = None
    flower_port: int = Field(default=5555, ge=0, le=65535)
    flower_user: str | None = None
    flower_password: SecretStr | None = None
    #: How long a silent holder is believed.
    lease_seconds: float = Field(default=15.0, gt=0)
    heartbeat_seconds: float = Field(default=5.0, gt=0)
    #: Run time of workers whose manifest names none.
    run_seconds: float = Field(default=120.0, gt=0)
    run_grace_seconds: float = Field(default=5.0, ge=0)
    queue_wait_seconds: float = Field(default=43_200.0, gt=0)
    no_worker_seconds: float = Field(default=3_600.0, gt=0)
    job_seconds: float = Field(default=86_400.0, gt=0)
    max_losses: int = Field(default=3, ge=1)
    tick_seconds: float = Field(default=0.5, gt=0)
    #: The most assignments of one worker in the broker.
    window_max: int = Field(default=512, ge=1)
    #: One step of priority is worth this much waiting.
    ageing_seconds: float = Field(default=600.0, ge=0)
    #: How long a replica that stops lets its analyses go on.
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    sample_max_bytes: int = Field(default=268_435_456, ge=1)
    #: Of all files that one attempt stores.
    attempt_max_bytes: int = Field(default=536_870_912, ge=1)
    #: How long finished jobs, task events, refused reports and the audit are kept.
    retain_jobs_days: float = Field(default=90, gt=0)
    retain_events_days: float = Field(default=30, gt=0)
    retain_rejected_days: float = Field(default=7, gt=0)
    retain_audit_days: float = Field(default=365, gt=0)
    #: Networks (CIDR), with commas, in which webhooks may be called; otherwise those of
    #: the public internet alone.
    webhook_networks: str = ""
    #: Of one user; 0 is no limit.
    limit_open_tasks_per_user: int = Field(default=0, ge=0)
    limit_uploads_per_minute: int = Field(default=0, ge=0)

    @field_validator("broker_url")
    @classmethod
    def _check_broker(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_broker_options(url.get_secret_value())
        return url

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _check_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _check_database_options(url.get_secret_value())
        return url

    @field_validator("ca_certs")
    @classmethod
    def _check_authorities(cls, file: str | None) -> str | None:
        if not file:
            return None
        check_certificates(file)
        return file

    @field_validator("webhook_networks")
    @classmethod
    def _check_networks(cls, networks: str) -> str:
        parse_networks(networks)
        return networks

    @model_validator(mode="after")
    def _check_lease(self) -> Settings:
        if 2 * self.heartbeat_seconds >= self.lease_seconds:
            msg = (
                f"ASSAY_LEASE_SECONDS: {self.lease_seconds} must be above twice"
                f" ASSAY_HEARTBEAT_SECONDS ({self.heartbeat_seconds}); else one late"
                " heartbeat loses every attempt"
            )
            raise ValueError(msg)
        return self

    def retention(self) -> Retention:
        """Return how long what is kept."""
        return Retention(
            jobs=timedelta(days=self.retain_jobs_days),
            events=timedelta(days=self.retain_events_days),
            rejected=timedelta(days=self.retain_rejected_days),
            audit=timedelta(days=self.retain_audit_days),
        )

    def limits(self) -> Limits:
        """Return the durations and sizes that the steps obey."""
        return Limits(
            lease_seconds=self.lease_seconds,
            run_seconds=self.run_seconds,
            run_grace_seconds=self.run_grace_seconds,
            queue_wait_seconds=self.queue_wait_seconds,
            no_worker_seconds=self.no_worker_seconds,
            job_seconds=self.job_seconds,
            max_losses=self.max_losses,
            window_max=self.window_max,
            ageing_seconds=self.ageing_seconds,
            sample_max_bytes=self.sample_max_bytes,
            attempt_max_bytes=self.attempt_max_bytes,
            open_tasks_per_user=self.limit_open_tasks_per_user,
            uploads_per_minute=self.limit_uploads_per_minute,
        )

    def keys(self) -> KeyRing:
        """
        Return the keys that sign and verify.

        Raises:
            ConfigurationError: ``ASSAY_SECRET_KEY`` is missing or malformed.
        """
        try:
            return KeyRing.parse(require(self.secret_key, "SECRET_KEY"))
        except ValueError as error:
            raise ConfigurationError(
                f"ASSAY_SECRET_KEY: {error}", field="ASSAY_SECRET_KEY"
            ) from None

    def webhook_calls(self) -> tuple[Network, ...]:
        """Return the networks in which webhooks may be called."""
        return parse_networks(self.webhook_networks)

    def direct_url(self) -> str | None:
        """Return the database's own address, where another leads to a pooler."""
        url = self.database_direct_url
        return None if url is None else url.get_secret_value()

    def sample_store_url(self) -> str:
        """Return where sample bytes are kept."""
        return self.sample_store or str(self.data_dir / "samples")


#: Of the options that libpq has, those whose values it would only look at later.
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def _check_database_options(url: str) -> None:
    options = url_options(url)
    if not options:
        return
    # The commands that speak HTTP have no use for it.
    from psycopg.pq import Conninfo  # noqa: PLC0415

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    for name, value in options:
        if name not in known:
            raise ValueError(f"there is no option '{name[:64]}'; PostgreSQL has none")
        if name == "sslmode" and value not in _SSL_MODES:
            raise ValueError(f"sslmode: write one of {', '.join(_SSL_MODES)}")
        is_file = name in _SSL_FILES and value != "system"
        if is_file and not Path(value).is_file():
            raise ValueError(f"{name}: there is no file {value[:256]!r}")


#: What to write for each setting that a process may miss.
_EXAMPLES = {
    "DATABASE_URL": "postgresql+psycopg://user:password@host/assay",
    "BROKER_URL": "redis://:password@host:6379/0 or amqp://user:password@host//",
    "BROKER_MANAGEMENT_URL": "http://name:password@host:15672, of an administrator",
    "SECRET_KEY": "k1:<64 hex digits>, for example k1:$(openssl rand -hex 32)",
    "API_URL": "http://127.0.0.1:8000",
    "API_KEY": "a key printed by `assay key create`",
    "FLOWER_USER": "a name of your choice",
    "FLOWER_PASSWORD": "a password of your choice",
}


def require(value: SecretStr | str | None, name: str) -> str:
    """
    Return a setting that a process can not do without.

    Raises:
        ConfigurationError: It is unset; the message says how to set it.
    """
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not text:
        example = _EXAMPLES.get(name, "a value")
        raise ConfigurationError(
            f"{PREFIX}{name} is not set; export {PREFIX}{name}={example}"
            " (or run `assay up`, which writes it for every command)",
            field=f"{PREFIX}{name}",
        )
    return text


def read_settings() -> Settings:
    """
    Read the settings of this process.

    Raises:
        ConfigurationError: One is malformed; the message names it.
    """
    found = env_file()
    try:
        return Settings(
            _env_file=found if is_readable(found) else None, **_secrets_of_files()
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{name}: {message}", field=name) from None


def _secrets_of_files() -> dict[str, Any]:
    # As containers are given them: what is in an environment shows in many places.
    variables = {name: f"{PREFIX}{name.upper()}_FILE" for name in _secret_names()}
    return {
        name: _read_secret(variable, os.environ[variable])
        for name, variable in variables.items()
        if os.environ.get(variable)
    }


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8" if isinstance(error, ValueError) else error.strerror
        raise ConfigurationError(
            f"{variable}: {path}: {reason}", field=variable
        ) from None


def _secret_names() -> list[str]:
    fields = Settings.model_fields.items()
    return [name for name, field in fields if SecretStr in get_args(field.annotation)]


def unknown_settings() -> list[str]:
    """Return variables that look like settings and are not: misspelt, or of old."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= _OF_REPLICAS | _OF_CONTAINERS
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in _secret_names()}
    return sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX)
        and not name.startswith((_REPLICAS, _TESTS))
        and name not in known
    )


def console_actor() -> Actor:
    """Return who sits at this machine: its account, whatever the environment says."""
    number = os.getuid()
    try:
        account = pwd.getpwuid(number).pw_name
    except KeyError:
        # In a container the number need not be anybody's.
        account = str(number)
    return Actor(f"console {account}")
