"""
The testbed that a measurement stands on: a PostgreSQL and a Redis of its own, and those
processes of Assay that it asks for, each a real one.

Everything lives in a temporary folder and on free ports, dies with this process, and is
gone when the testbed is left. It measures nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psycopg

import orchestrator
from orchestrator.bench.submitters import Submitter
from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.catalog.workers import enrol_worker, ensure_enrolled
from orchestrator.client.http import Client
from orchestrator.contracts.token import KeyRing
from orchestrator.db import migrate
from orchestrator.db.unit_of_work import Database, driver_url
from orchestrator.domain.errors import AssayError
from orchestrator.domain.values import Actor, Role
from orchestrator.embedded import launch, places, postgres, redis
from orchestrator.embedded.ports import free_port
from orchestrator.terminal.output import tell
from orchestrator.terminal.signals import ignore_endings

BENCH = Actor("bench")

_READY_SECONDS = 90
_STOP_SECONDS = 8

#: The analysis that does nothing: what is measured is everything around it.
_NOOP = """
from workers import Analysis, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=60, reuse_child={reuse_child})
def look(sample: Sample) -> Analysis:
    return Analysis(score=-1)
"""

_WAITING = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=60)
def look(sample: Sample) -> Analysis:
    began = time.time()
    time.sleep({seconds})
    return Analysis(score=-1, result={{"began": began}})
"""

_LIVE = """
    SELECT count(DISTINCT worker_id) FROM replica
     WHERE NOT leaving AND seen_at > now() - interval '10 seconds'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """One that somebody else has started, for a testbed alone."""

    name: str
    url: str
    pid: int


class Testbed:
    """
    Made by :func:`testbed`.

    ``sql``: an autocommit connection without a time limit for statements.
    """

    def __init__(self, folder: Path, broker: Broker | None = None) -> None:
        self.folder = folder
        self._broker = broker
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._secret_key = f"bench:{os.urandom(32).hex()}"
        self.keys = KeyRing.parse(self._secret_key)
        self._api_port = free_port()
        self._places = places.places(folder)
        # From the last to the first, also when only some of it was begun.
        self._leaving = ExitStack()
        self._leaving.callback(places.remove, self._places)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._postgres = postgres.start_postgres(self.folder, superuser=True)
        self._leaving.callback(self._postgres.remove)
        self._leaving.callback(self._stop_everything)
        self._broker_url = self._broker.url if self._broker else self._start_redis()
        migrate.upgrade(self._postgres.url)
        self.database = Database(self._postgres.url)
        self._leaving.callback(self.database.close)
        # Not one with a limit: what fills a history takes minutes.
        self.sql = psycopg.connect(driver_url(self._postgres.url), autocommit=True)
        self._leaving.callback(self.sql.close)

    @property
    def broker_url(self) -> str:
        """Where the queues are."""
        return self._broker_url

    @property
    def sample_store(self) -> str:
        """Where sample bytes are."""
        return str(self.folder / "samples")

    @property
    def pids(self) -> dict[str, int]:
        """The root of each tree of processes, by name."""
        own = {name: process.pid for name, process in self._processes.items()}
        broker = {self._broker.name: self._broker.pid} if self._broker else {}
        return {
            **own,
            **broker,
            "postgres": self._postgres.pid,
            "measuring": os.getpid(),
        }

    def start(self, *names: str) -> None:
        """Start processes of the engine, and wait for the API if it is among them."""
        for name in names:
            self._start(name, "orchestrator", name, environment=self._settings())
        if "api" in names:
            # On this machine: of proxies none is asked.
            with httpx.Client(timeout=2, trust_env=False) as client:
                self._wait_for(lambda: self._api_answers(client), "the API")

    def start_workers(
        self,
        count: int,
        *,
        slots: int,
        seconds: float = 0.0,
        reuse_child: bool = True,
    ) -> list[str]:
        """
        Start a replica of each of *count* workers, and wait for their heartbeats.

        Args:
            seconds: How long an analysis takes; one that takes any says when it began,
                and has a child of its own.
            reuse_child: Whether one that takes no time has not.
        """
        names = [f"noop_{number}" for number in range(1, count + 1)]
        for name in names:
            source = _WAITING if seconds else _NOOP
            text = source.format(name=name, seconds=seconds, reuse_child=reuse_child)
            (self.folder / f"{name}.py").write_text(text)
            with self.database.uow() as tx:
                secret = enrol_worker(tx, name, keys=self.keys, actor=BENCH)
            self._start(
                f"worker {name}",
                *("workers", "run", name, "--slots", str(slots)),
                environment={
                    "ASSAY_BROKER_URL": self._broker_url,
                    "ASSAY_API_URL": self._api_url,
                    "ASSAY_WORKER_SECRET": secret,
                    "ASSAY_SAMPLE_ROOT": self.sample_store,
                    # Flower's events: nobody watches.
                    "ASSAY_WORKER_EVENTS": "0",
                    "ASSAY_STOP_GRACE_SECONDS": "0",
                },
            )
        self._wait_for(lambda: self.count(_LIVE) >= count, "the replicas")
        return names

    def run(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        talks: bool = False,
    ) -> subprocess.Popen[bytes]:
        """
        Run something that dies with this process.

        Args:
            environment: Beside it only what every program needs: no setting of whoever
                measures may count.
            talks: Over pipes, instead of writing a log.
        """
        words = launch.command(*command, parent=os.getpid())
        return self._open(name, words, environment, talks=talks)

    def enrol(self, count: int) -> list[UUID]:
        """Return the ids of *count* workers that are known and have no replica."""
        with self.database.uow() as tx:
            for number in range(1, count + 1):
                ensure_enrolled(tx, f"noop_{number}", keys=self.keys, actor=BENCH)
        return self.worker_ids()

    def worker_ids(self) -> list[UUID]:
        """Return the id of every worker."""
        rows = self.sql.execute("SELECT id FROM worker ORDER BY id")
        return [row[0] for row in rows]

    def client(
        self, role: Role = Role.ADMINISTRATOR, *, customer: str = "default"
    ) -> Client:
        """Return a client of the API with a key of its own."""
        return Client(self._api_url, self.api_key(role, customer=customer))

    def start_submitters(self, count: int) -> list[Submitter]:
        """Start processes that create jobs; the API is there already."""
        command = [sys.executable, "-m", "orchestrator.bench.submitters", self._api_url]
        key = self.api_key()
        return [
            Submitter(
                self.run(f"client {number}", command, {}, talks=True), api_key=key
            )
            for number in range(1, count + 1)
        ]

    def api_key(
        self, role: Role = Role.ADMINISTRATOR, *, customer: str = "default"
    ) -> str:
        """Issue a key for a user of this customer."""
        name = f"bench {role} of {customer}"
        order = KeyOrder(user_name=name, role=role, customer=customer)
        with self.database.uow() as tx:
            return create_key(tx, order, actor=BENCH).secret

    def count(self, query: str) -> int:
        """Return the one number that a query gives."""
        row = self.sql.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def complaints(self) -> list[str]:
        """Return the last words of each process that ended by itself."""
        return [
            f"{name} ended: {self._log(name).read_text('utf-8', 'replace')[-300:]}"
            for name, process in self._processes.items()
            if process.poll() is not None
        ]

    def close(self) -> None:
        """Stop everything, replicas first, and remove every file."""
        self._leaving.close()

    def stop(self, name: str) -> None:
        """Stop one process."""
        self._stop([name])

    @property
    def _api_url(self) -> str:
        return f"http://127.0.0.1:{self._api_port}"

    def _settings(self) -> dict[str, str]:
        return {
            "ASSAY_DATABASE_URL": self._postgres.url,
            "ASSAY_BROKER_URL": self._broker_url,
            "ASSAY_SECRET_KEY": self._secret_key,
            "ASSAY_SAMPLE_STORE": self.sample_store,
            # One machine: replicas read the store's folder.
            "ASSAY_SAMPLES_SHARED": "1",
            "ASSAY_API_PORT": str(self._api_port),
        }

    def _start_redis(self) -> str:
        plan = redis.prepare(self._places, port=free_port())
        user = self._places.broker_user
        words = launch.command(*plan.command, parent=os.getpid(), user=user)
        self._open("redis", words, {})
        redis.wait_until_ready(plan.url)
        return plan.url

    def _start(self, name: str, *words: str, environment: Mapping[str, str]) -> None:
        self.run(name, [sys.executable, "-m", *words], environment)

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(
            lambda: bool(self.complaints()) or condition(),
            what=what,
            seconds=_READY_SECONDS,
        )
        if self.complaints():
            # What they said is added where the testbed is left.
            raise AssayError(f"{what} did not start")

    def _open(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        talks: bool = False,
    ) -> subprocess.Popen[bytes]:
        root = Path(orchestrator.__file__).parents[1]
        bare = {
            "PATH": os.defpath,
            "TMPDIR": tempfile.gettempdir(),
            "PYTHONPATH": f"{self.folder}{os.pathsep}{root}",
            "ASSAY_DATA_DIR": str(self.folder / "data"),
        }
        with self._log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env={**bare, **environment},
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        return self._processes[name]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _stop_everything(self) -> None:
        self._stop([name for name in self._processes if name.startswith("worker ")])
        self._stop([name for name in self._processes if name != "redis"])
        self._stop(list(self._processes))

    def _stop(self, names: list[str]) -> None:
        ending = [self._processes.pop(name) for name in names]
        for process in ending:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in ending:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _api_answers(self, client: httpx.Client) -> bool:
        with suppress(httpx.HTTPError):
            return client.get(f"{self._api_url}/health/live").is_success
        return False


@contextmanager
def testbed(broker: Broker | None = None) -> Iterator[Testbed]:  # noqa: PT028  (no test)
    """
    Make a testbed, and leave nothing of it.

    Args:
        broker: Instead of a Redis of its own.
    """
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        tell(f"starting PostgreSQL and {broker.name if broker else 'Redis'}")
        new_testbed = Testbed(Path(folder) / "testbed", broker)
        try:
            yield new_testbed
        except AssayError as error:
            raise AssayError(
                "; ".join([error.message, *new_testbed.complaints()])
            ) from error
        finally:
            ignore_endings()
            tell("stopping everything")
            new_testbed.close()


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str,
    seconds: float,
    every_seconds: float = 0.05,
) -> None:
    """
    Return when *condition* holds.

    Raises:
        AssayError: It did not within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssayError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every_seconds)
