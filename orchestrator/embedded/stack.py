"""
The whole of Assay on one machine: embedded servers, every process, one replica of each
bundled worker, under the library ``supervisor``.

Whoever holds a :class:`Stack` holds all of it: with that process everything ends.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from supervisor.xmlrpc import SupervisorTransport

from orchestrator.catalog.keys import KeyOrder, authenticate, create_key
from orchestrator.catalog.workers import broker_accounts, ensure_enrolled
from orchestrator.config import console_actor
from orchestrator.contracts.data_dir import read_lines
from orchestrator.contracts.names import BUNDLED_WORKERS
from orchestrator.contracts.token import KeyRing
from orchestrator.db import migrate
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.errors import AuthenticationError, ConfigurationError
from orchestrator.domain.values import Role
from orchestrator.embedded import postgres, programs, redis
from orchestrator.embedded.lock import take_lock
from orchestrator.embedded.places import (
    Places,
    ensure_secret,
    make,
    places,
    private_file,
    remove_transient,
)
from orchestrator.embedded.ports import check_port, free_port, kept_port
from orchestrator.embedded.ready import api_client, missing_parts
from orchestrator.embedded.session import wait_until_empty
from orchestrator.embedded.supervisor import (
    Control,
    Program,
    supervisor_command,
    write_configuration,
)
from orchestrator.messaging.errors import BrokerUnavailableError
from orchestrator.messaging.policy import account_url, apply_to_redis

_ENGINE = ("api", "dispatch", "consume", "beat", "maintain", "deliver")

#: Seconds for everything to be up; importing the analyzers takes most of it.
_READY_SECONDS = 120

#: Seconds. The three groups stop one after another; what has not stopped by then is
#: killed, so that ten seconds are enough.
_STOP_SECONDS = 8
_KILLED_SECONDS = 1.5

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StackInfo:
    """How to reach a running stack. ``env_file``: the same, for other commands."""

    api_url: str
    api_key: str = field(repr=False)
    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    env_file: Path
    flower_url: str | None
    flower_user: str
    flower_password: str = field(repr=False)


class Stack:
    """
    Args:
        data_dir: Where everything is kept; it survives restarts.
        api_port: ``None`` or 0 takes a free one.
        workers: Bundled analyzers, or importable modules named as their analyzer.
        slots: Analyses at a time of each replica; ``None`` leaves it to the replica.
        flower_port: Where Flower listens; 0 takes a free one, ``None`` goes without.
        extra_env: For every process, for example shorter clocks in tests.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        api_port: int | None = None,
        workers: Sequence[str] = BUNDLED_WORKERS,
        slots: int | None = None,
        flower_port: int | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> None:
        self._places = places(data_dir)
        self._api_port = api_port or free_port()
        self._workers = workers
        self._slots = slots
        self._flower_port = free_port() if flower_port == 0 else flower_port
        self._extra_env = dict(extra_env or {})
        self._secrets: dict[str, str] = {}
        self._broker_urls: dict[str, str] = {}
        self._control = Control(
            socket=self._places.supervisor_socket, password=secrets.token_urlsafe(32)
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def places(self) -> Places:
        """Where its files are."""
        return self._places

    def start(self, *, on_progress: Progress) -> StackInfo:
        """
        Start everything and wait until it works.

        Raises:
            ConfigurationError: Another stack runs in this data directory, or something
                did not come up; the message says what, and where its log is. What came
                up runs until :meth:`stop`, as it does after an interrupt.
        """
        make(self._places)
        self._lock = take_lock(self._places.data_dir)
        # One that was killed left its own behind.
        remove_transient(self._places)
        make(self._places)
        check_port(self._api_port, "ASSAY_API_PORT")
        if self._flower_port is not None:
            check_port(self._flower_port, "ASSAY_FLOWER_PORT")
        on_progress("starting PostgreSQL and Redis")
        database = postgres.prepare(self._places)
        broker = redis.prepare(self._places, port=self._broker_port())
        stores = programs.stores(
            self._places, database=database.command, broker=broker.command
        )
        self._supervise(stores)
        postgres.wait_until_ready(database.url)
        redis.wait_until_ready(broker.url)
        on_progress("bringing the database up to date")
        migrate.upgrade(database.url, actor=console_actor())
        info = self._introduce(database.url, broker.url)
        on_progress("starting the API, the dispatcher, the consumer and the workers")
        self._configure([*stores, *self._engine(info), *self._replicas(info)])
        # A group of none is none.
        self._start_groups("engine", *["workers"][: len(self._workers)])
        self._wait_until_ready(info)
        return info

    @property
    def is_running(self) -> bool:
        """Whether there is anything to stop."""
        return self._process is not None

    def wait(self) -> None:
        """Wait until the supervisor ends."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """
        Stop everything, replicas first, within ten seconds.

        Again is harmless, and goes on where an interrupt broke it off.
        """
        if self._process is not None:
            _end(self._process)
            self._process = None
        # Last: whoever takes it next finds nothing running.
        if self._lock is not None:
            remove_transient(self._places)
            self._lock.close()

    def processes(self) -> dict[str, int]:
        """Return the pid of every process that runs, by name."""
        found = cast("list[dict[str, Any]]", self._rpc().getAllProcessInfo())
        return {process["name"]: process["pid"] for process in found if process["pid"]}

    def _supervise(self, programs: Sequence[Program]) -> None:
        self._configure(programs)
        self._process = subprocess.Popen(
            supervisor_command(parent=os.getpid()),
            env=_bare_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._places.data_dir,
            # Ctrl-C in the terminal is for us; we stop the others in order.
            start_new_session=True,
        )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the supervisor did not start; see {self._logs}/supervisor.log"
                )
            time.sleep(0.05)

    def _start_groups(self, *names: str) -> None:
        try:
            self._rpc().reloadConfig()
            for name in names:
                self._rpc().addProcessGroup(name)
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise ConfigurationError(
                f"the supervisor did not start the {' and the '.join(names)}: {error};"
                f" see {self._logs}/supervisor.log"
            ) from None

    def _configure(self, programs: Sequence[Program]) -> None:
        write_configuration(self._places.data_dir, programs, control=self._control)

    @property
    def _logs(self) -> Path:
        return self._places.data_dir / "logs"

    def _answers(self) -> bool:
        try:
            return bool(self._rpc().getState())
        except (OSError, xmlrpc.client.Error):
            return False

    def _rpc(self) -> Any:
        transport = SupervisorTransport(
            "assay", self._control.password, f"unix://{self._control.socket}"
        )
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport).supervisor

    def _introduce(self, database_url: str, broker_url: str) -> StackInfo:
        """Make a key and the replicas' secrets, and write down how to reach it all."""
        keys = KeyRing.parse(self._secret_key())
        database = Database(database_url)
        with database.uow() as tx:
            api_key = self._api_key(tx)
            self._secrets = {
                name: ensure_enrolled(tx, name, keys=keys, actor=console_actor())
                for name in self._workers
            }
            accounts = broker_accounts(tx, keys=keys)
        database.close()
        try:
            apply_to_redis(broker_url, accounts)
        except BrokerUnavailableError as error:
            raise ConfigurationError(
                f"the workers' accounts were not written: {error}"
            ) from None
        self._broker_urls = {
            account.worker: account_url(broker_url, account) for account in accounts
        }
        port = self._flower_port
        info = StackInfo(
            api_url=f"http://127.0.0.1:{self._api_port}",
            api_key=api_key,
            database_url=database_url,
            broker_url=broker_url,
            env_file=self._places.data_dir / "env",
            flower_url=f"http://127.0.0.1:{port}" if port else None,
            flower_user="admin",
            flower_password=ensure_secret(self._places.data_dir / "flower.password"),
        )
        told = self._environment(info).items()
        lines = "".join(f"{name}={value}\n" for name, value in told)
        private_file(info.env_file, lines, None)
        return info

    def _broker_port(self) -> int:
        """Return that of the last start: replicas beside ours come back to it."""
        url = read_lines(self._places.data_dir / "env").get("ASSAY_BROKER_URL", "")
        return kept_port(urlsplit(url).port) or free_port()

    def _api_key(self, tx: Transaction) -> str:
        """Return the key of the last start if it is still good, else a new one."""
        kept = read_lines(self._places.data_dir / "env").get("ASSAY_API_KEY")
        try:
            authenticate(tx, kept, address=None)
        except AuthenticationError:
            order = KeyOrder(
                user_name="admin", role=Role.ADMINISTRATOR, label="assay up"
            )
            return create_key(tx, order, actor=console_actor()).secret
        return str(kept)

    def _secret_key(self) -> str:
        return f"k1:{ensure_secret(self._places.data_dir / 'secret.key')}"

    @property
    def _sample_store(self) -> str:
        return str(self._places.data_dir / "samples")

    def _environment(self, info: StackInfo) -> dict[str, str]:
        return {
            "ASSAY_DATABASE_URL": info.database_url,
            "ASSAY_BROKER_URL": info.broker_url,
            "ASSAY_API_URL": info.api_url,
            "ASSAY_API_PORT": str(self._api_port),
            "ASSAY_API_KEY": info.api_key,
            # For replicas that somebody starts beside ours.
            "ASSAY_SAMPLE_ROOT": self._sample_store,
            "ASSAY_SECRET_KEY": self._secret_key(),
            "ASSAY_FLOWER_USER": info.flower_user,
            "ASSAY_FLOWER_PASSWORD": info.flower_password,
        }

    def _engine(self, info: StackInfo) -> list[Program]:
        known = self._environment(info)
        needed = (
            "ASSAY_DATABASE_URL",
            "ASSAY_BROKER_URL",
            "ASSAY_API_PORT",
            "ASSAY_SECRET_KEY",
        )
        environment = {
            "ASSAY_SAMPLE_STORE": self._sample_store,
            "ASSAY_SAMPLES_SHARED": "1",
            **{name: known[name] for name in needed},
        }
        return [
            programs.process(name, self._with_shared(environment)) for name in _ENGINE
        ] + self._flower(info)

    def _flower(self, info: StackInfo) -> list[Program]:
        if self._flower_port is None:
            return []
        known = self._environment(info)
        needed = ("ASSAY_BROKER_URL", "ASSAY_FLOWER_USER", "ASSAY_FLOWER_PASSWORD")
        environment = {
            **{name: known[name] for name in needed},
            "ASSAY_FLOWER_PORT": str(self._flower_port),
        }
        return [programs.process("flower", self._with_shared(environment))]

    def _replicas(self, info: StackInfo) -> list[Program]:
        environment = {
            "ASSAY_API_URL": info.api_url,
            "ASSAY_SAMPLE_ROOT": self._sample_store,
            # One that is killed leaves its samples there.
            "TMPDIR": str(self._places.scratch),
        }
        return [
            programs.replica(
                name,
                self._with_shared(
                    {
                        **environment,
                        "ASSAY_BROKER_URL": self._broker_urls[name],
                        "ASSAY_WORKER_SECRET": self._secrets[name],
                    }
                ),
                slots=self._slots,
            )
            for name in self._workers
        ]

    def _with_shared(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {
            "ASSAY_DATA_DIR": str(self._places.data_dir / "private"),
            **environment,
            **self._extra_env,
        }

    def _wait_until_ready(self, info: StackInfo) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        missing = ["the API"]
        with api_client(info.api_url) as api:
            while missing:
                self._check_time(deadline, missing)
                time.sleep(0.1)
                missing = missing_parts(api, info.database_url, self._workers)

    def _check_time(self, deadline: float, missing: Sequence[str]) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ConfigurationError(
                f"the supervisor ended; see {self._logs}/supervisor.log"
            )
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"not up after {_READY_SECONDS} s: {', '.join(missing)};"
                f" see the logs in {self._logs}"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Where it was killed, its children die with it, but not before it.
    wait_until_empty(process.pid, seconds=_KILLED_SECONDS)


def _bare_environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ}
