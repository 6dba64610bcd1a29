"""
The Celery application of an analyzer: how messages reach a replica, and how it stops.

Owns Celery's configuration, the reading of the environment (nothing else in a worker
reads it) and the hooks that make ``celery -A module worker`` behave like
``python -m workers run``. What an assignment means is the runtime's business.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
import warnings
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps, signals
from celery.app.amqp import AMQP
from celery.exceptions import SecurityWarning, WorkerShutdown
from celery.worker import state
from celery.worker.control import control_command
from jsonschema.exceptions import SchemaError
from typing_extensions import override

from orchestrator.contracts import names
from orchestrator.contracts.amqp_link import BrokerConnection
from orchestrator.contracts.assignment import celery_task_name, parse_celery_id
from orchestrator.contracts.broker_tls import kombu_tls
from orchestrator.contracts.broker_words import words
from orchestrator.contracts.ending import end_within
from orchestrator.contracts.node import refusals
from orchestrator.contracts.silence import CONNECT_SECONDS
from workers.analyzer import Analyzer
from workers.replica import broker, local, logs
from workers.replica.aside import Aside
from workers.replica.attempts import Attempts
from workers.replica.celery_settings import celery_settings
from workers.replica.celery_side import IntakeConsumer, Records
from workers.replica.door import Door
from workers.replica.drain import Drain
from workers.replica.enrolment import Enrolment, Watch
from workers.replica.gate import Gate, Message
from workers.replica.identity import Identity
from workers.replica.inbox import open_inbox
from workers.replica.intake import Intake
from workers.replica.outbox import open_outbox
from workers.replica.probe import Probe
from workers.replica.reporting import Line, Reporter
from workers.replica.results import ResultCheck
from workers.replica.runtime import Runtime
from workers.replica.settings import (
    MissingSettingError,
    Settings,
    SettingsError,
)
from workers.replica.transfer import Transfer
from workers.sandbox.inside.confinement import protect_process
from workers.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)

#: Seconds from one look for a queue that is missing to the next.
_LOOK_SECONDS = 1.0

#: Who keeps the door shut until Celery's own connection stands.
_CELERY = "celery"

#: Seconds for the end of the call that reads messages; a frozen broker takes longer.
_READ_SECONDS = 2

#: Seconds for what Celery does after that.
_LEAVE_SECONDS = 3

#: Reports that may wait while the broker is away, beside four for each slot.
_SPARE_REPORTS = 64


def celery_app(analyzer: Analyzer) -> Celery:
    """
    Return the Celery application of *analyzer*, configured by the environment.

    ``celery -A module worker`` comes here through ``module.app``. A missing setting
    ends the process with one line: there is nobody above who could do better.
    """
    _keep_importable(analyzer.module)
    name = analyzer.name
    try:
        told = local.completed(os.environ, worker=name)
        return build_app(analyzer, Settings.read(told, worker=name))
    except MissingSettingError as error:
        complaint = f"{error}; {local.where_to_enrol(name)}"
    except SettingsError as error:
        complaint = str(error)
    except SchemaError as error:
        complaint = f"schema of {name}: {error.message}"
    print(complaint, file=sys.stderr)  # noqa: T201  (for the person who typed it)
    raise SystemExit(2)


def _keep_importable(module: str) -> None:
    # The command ``celery`` looks into the current folder while it imports, and then no
    # more; the sandbox has to import the same.
    file = sys.modules[module].__file__
    folder = str(Path(file or "").absolute().parent)
    if file and "." not in module and folder not in sys.path:
        sys.path.insert(0, folder)


def build_app(analyzer: Analyzer, settings: Settings) -> Celery:
    """
    Return the Celery application of *analyzer* with these *settings*.

    Raises:
        SchemaError: The analyzer's own schema is not valid.
    """
    app = _App(f"assay.{analyzer.name}", set_as_current=False, amqp=_Amqp, loader="app")
    app.replica = _Replica(analyzer, settings)
    app.conf.update(celery_settings(analyzer.name, settings, consumer=_Consumer))
    app.steps["worker"].add(_ReplicaStep)
    # Here: not every process that has loaded this module is a replica.
    control_command(name=names.STOP_COMMAND)(_stop_attempts)
    app.replica.task = app.task(name=celery_task_name(analyzer.name))(_analyze)
    return app


def _analyze(assignment: object) -> None:
    """Stand for the task in what Celery says of it: the intake reads its messages."""
    raise NotImplementedError("assignments are taken by the replica's own intake")


def run_replica(analyzer: Analyzer, *, slots: int | None = None) -> int:
    """Run a replica of *analyzer* until it is told to stop; return its exit code."""
    app = celery_app(analyzer)
    if slots is not None:
        app.conf.worker_concurrency = slots
    worker = app.Worker(loglevel="WARNING", quiet=True)
    worker.start()
    return int(worker.exitcode or 0)


def new_replica_id(worker: str) -> str:
    """Return a node name that no replica has had before."""
    return f"{worker}-{uuid.uuid4().hex[:8]}@{socket.gethostname()}"


class _Amqp(AMQP):  # type: ignore[misc]  # Celery has no types
    Connection = broker.Connection


class _Consumer(IntakeConsumer):
    """Waits for what the orchestrator makes."""

    @override
    def connect(self) -> Any:
        connection = super().connect()
        awaited = None
        while (missing := broker.find_missing(connection, self.app.conf)) is not None:
            if missing != awaited:
                awaited = missing
                hint = "assay dispatch makes it"
                log.warning("queue.missing", extra={"queue": missing, "hint": hint})
            state.maybe_shutdown()
            time.sleep(_LOOK_SECONDS)
        return connection


class _App(Celery):  # type: ignore[misc]  # Celery has no types
    replica: _Replica


class _Replica:
    """What one Celery worker process holds beside Celery: made early, started late."""

    def __init__(self, analyzer: Analyzer, settings: Settings) -> None:
        self.analyzer = analyzer
        self.settings = settings
        self.name = new_replica_id(analyzer.name)
        #: Celery's, registered under the name that assignments have.
        self.task: Any = None
        self.attempts = Attempts()
        self.gate = Gate(analyzer.name, settings.secret)
        self._records = Records(self.name)
        self._intake: Intake | None = None
        self._door: Door | None = None
        self._drain: Drain | None = None
        self._check = ResultCheck(analyzer.schema)
        self._runtime: Runtime | None = None
        self._leftovers = ExitStack()
        self._asked_to_stop = False
        self._has_lost_broker = False
        self._watch: Watch | None = None

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("the replica has not started")
        return self._runtime

    @property
    def takes_work(self) -> bool:
        """Whether messages of the worker's queue are read."""
        return self._intake is not None and self._intake.is_open

    def start(self, slots: int) -> None:
        """Begin to speak and to listen, once the orchestrator does not refuse us."""
        protect_process()
        broker.use_our_transports()
        enrolment = Enrolment(
            api_url=self.settings.api_url,
            worker=self.analyzer.name,
            secret=self.settings.secret,
            replica=self.name,
            ca_certs=self.settings.ca_certs,
        )
        every = self.settings.enrolment_seconds
        self._intake = Intake(
            partial(open_inbox, self.settings, self.analyzer.name, slots),
            self.gate,
            slots=slots,
            perform=self._perform,
            rest=self._rest,
            watcher=self,
        )
        self._door = door = Door(self._intake.set_open)
        door.set(_CELERY, is_open=False)
        self._drain = drain = Drain(door)
        watch = Watch(
            enrolment.ask,
            lambda may_work: door.set("enrolment", is_open=may_work),
            every_seconds=every,
        )
        watch.wait_until_not_refused(lambda: self._asked_to_stop)
        if self._asked_to_stop:
            raise WorkerShutdown(0)
        try:
            self._start(slots, enrolment, door, drain)
            self._watch = watch
            watch.start()
            self._intake.start()
        except BaseException:
            # Celery stops only what has started: nobody else would clean this up.
            self._leftovers.close()
            raise

    def _start(
        self, slots: int, enrolment: Enrolment, door: Door, drain: Drain
    ) -> None:
        identity = Identity(replica=self.name, analyzer=self.analyzer, slots=slots)
        scratch = Path(tempfile.mkdtemp(prefix="assay-replica-"))
        self._leftovers.callback(shutil.rmtree, scratch, ignore_errors=True)
        sandbox = self._start_sandbox(slots, scratch)
        aside = Aside()
        reporter = Reporter(
            _line(self.settings),
            lambda **said: identity.alive(
                self.attempts, aside, enrolment.skew, draining=drain.is_on, **said
            ),
            heartbeat_seconds=self.settings.heartbeat_seconds,
            capacity=4 * slots + _SPARE_REPORTS,
        )
        self._runtime = Runtime(
            identity,
            attempts=self.attempts,
            reporter=reporter,
            transfer=Transfer(
                self.settings.api_url,
                secret=self.settings.secret,
                slots=slots,
                sources=self.settings.sources,
                ca_certs=self.settings.ca_certs,
            ),
            sandbox=sandbox,
            check=self._check,
            scratch=scratch,
            standing=aside,
            probe=Probe(sandbox, scratch, enrolment.ask),
            door=door,
        )
        reporter.start()
        log.info("replica.started", extra={"slots": slots})

    def _start_sandbox(self, slots: int, scratch: Path) -> Sandbox:
        sandbox = Sandbox(
            self.analyzer.module,
            analyzer_name=self.analyzer.name,
            slots=slots,
            scratch=scratch,
            network=self.analyzer.network,
            memory_bytes=self.analyzer.memory_bytes,
            reuse_child=self.analyzer.reuse_child,
        )
        self._leftovers.callback(sandbox.close)
        self._leftovers.callback(self._check.close)
        for warning in sandbox.start():
            log.warning("sandbox.weaker", extra={"reason": warning})
        return sandbox

    def follow(self, consumer: Any) -> None:
        """Take work while *consumer*, Celery's, has its connection; ``None``: none."""
        if consumer is not None:
            self._records.listen(consumer)
        if self._door is not None:
            self._door.set(_CELERY, is_open=consumer is not None)

    def set_draining(self, *, on: bool) -> None:
        """Finish what runs, give back what waits and take nothing more; or do again."""
        if self._drain is not None and self._drain.set(on=on) and on:
            self.runtime.release_unstarted()

    def received(self, message: Message) -> None:
        self.attempts.receive(*message.key, message.token)
        self._records.received(message, self.task)

    def lost(self, error: Exception) -> None:
        app = self.task.app
        if not isinstance(error, app.connection_for_read().connection_errors):
            refusals.complain(error, app)
            return
        self._has_lost_broker = True
        fields = {"queue": app.conf.task_default_queue, "error": words(error)}
        log.warning("broker.lost", extra=fields)

    def regained(self) -> None:
        if not self._has_lost_broker:
            return
        self._has_lost_broker = False
        fields = {"queue": self.task.app.conf.task_default_queue}
        log.warning("broker.regained", extra=fields)

    def _perform(self, message: Message) -> None:
        # Of the attempt before, however that ended.
        logs.clear()
        self._records.begin(message)
        began = time.monotonic()
        report = self.runtime.perform(message.assignment, message.token)
        # Garbage under the id of an attempt must not be listed for ever.
        self.attempts.forget_unstarted(*message.key)
        if report is not None and report.kind in {"failed", "timed_out"}:
            self._records.fail(message, report.reason or report.kind)
        else:
            said = "nothing to report" if report is None else report.kind
            self._records.end(message, said, seconds=time.monotonic() - began)

    def _rest(self) -> None:
        if self._runtime is not None:
            self._runtime.rest()

    def announce_stop(self, *, hurry: bool) -> None:
        self._asked_to_stop = True
        if self._intake is not None:
            self._intake.announce_end()
        if self._runtime is not None:
            self._runtime.announce_stop(hurry=hurry)

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        if self._runtime is not None and self._intake is not None:
            # What it still reads is released too.
            self._intake.end(within=_READ_SECONDS)
            self._runtime.stop(grace_seconds=self.settings.stop_grace_seconds)
        self._leftovers.close()


class _ReplicaStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """
    Starts and stops the replica within Celery's worker.

    It requires the pool, and Celery's consumer comes last: so it stops when Celery has
    let go of its connection.
    """

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        _take_over_signals(parent.app.replica)
        parent.app.replica.start(parent.concurrency)

    def stop(self, parent: Any) -> None:
        parent.app.replica.stop()
        # All that matters is said: what is left is Celery's leave of the broker.
        end_within(_LEAVE_SECONDS)

    def terminate(self, parent: Any) -> None:
        parent.app.replica.announce_stop(hurry=True)
        self.stop(parent)


def _take_over_signals(replica: _Replica) -> None:
    # Celery's own handlers for a second Ctrl-C wait, within the handler, for the pool's
    # threads; and these cannot be ended before the sandboxes are.
    def stop(number: int, _: object) -> None:
        hint = "ask again to end what runs at once"
        logs.write_at_once("replica.shutdown_asked", hint=hint)
        replica.announce_stop(hurry=number == signal.SIGQUIT)
        state.should_stop = 0

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, stop)


def _name_the_node(instance: Any, **_: object) -> None:
    if isinstance(instance.app, _App):
        replica = instance.app.replica
        instance.hostname = replica.name
        logs.configure(worker=replica.analyzer.name, replica=replica.name)
        # Of running as root: nothing that comes from outside is looked at but in a
        # sandbox, which says at its start what it cannot do.
        warnings.simplefilter("ignore", SecurityWarning)


signals.celeryd_init.connect(_name_the_node, weak=False)


def _leave_the_logs_alone(**_: object) -> None:
    """Celery sets up none of its own when somebody listens."""


signals.setup_logging.connect(_leave_the_logs_alone, weak=False)


def _force_what_a_replica_needs(sender: Any, **_: object) -> None:
    # After the command line was read: a flag of ``celery worker`` must not fork a
    # replica, or have it talk with others.
    if isinstance(sender.app, _App):
        sender.pool_cls = "threads"
        sender.options.update(without_gossip=True, without_mingle=True)


signals.worker_init.connect(_force_what_a_replica_needs, weak=False)


def _stop_attempts(
    panel: Any,
    attempts: object = (),
    signature: object = None,
    drain: object = None,
    **_: object,
) -> dict[str, object]:
    """Drop or stop attempts that are over; take nothing more, or work again."""
    replica = panel.app.replica
    wanted = list(map(str, attempts)) if isinstance(attempts, list) else []
    said = drain if isinstance(drain, bool) else None
    if not replica.gate.is_stop(replica.name, wanted, signature, drain=said):
        return {"error": "refused: not signed with this worker's secret"}
    if said is not None:
        replica.set_draining(on=said)
    keys = [key for name in wanted if (key := parse_celery_id(name)) is not None]
    return {"stopped": replica.attempts.stop(keys)}


def _line(settings: Settings) -> Line:
    url, tls = kombu_tls(settings.broker_url)
    connect = partial(
        BrokerConnection,
        url,
        **tls,
        transport_options=settings.transport_options,
        connect_timeout=CONNECT_SECONDS,
    )
    queue = names.report_queue(rabbitmq=settings.rabbitmq)
    return Line(
        open_outbox=partial(open_outbox, connect, queue, rabbitmq=settings.rabbitmq),
        secret=settings.secret,
    )
