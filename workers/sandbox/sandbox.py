"""
Runs an analyzer on one sample at a time per slot, in processes that hold no secret.

Owns who runs, for how long, and what becomes of it. Does not fetch samples, report or
retry: its caller does.

What holds for an analyzer that a sample has taken over, on Linux with Landlock and
seccomp (``start`` returns what this machine lacks):

* It can read the interpreter, the packages that its module imported, the system's
  programs and libraries, and its own slot's directory; it can write ``work`` in there.
  Where it sets a file's mode it is told that this worked, and nothing happens.
  That is this sample and no other: nothing else is delivered to that directory, and
  both are emptied after each analysis. What it cannot open it may still ``stat``.
* It has no environment, file descriptor or memory of the replica's, can neither trace
  nor signal the replica or another slot, and makes no socket. With ``network`` it has
  IPv4 and IPv6, to *any* address, and still no Unix socket: use the machine's firewall.
* Started as root, each slot has a user of its own. Started as an ordinary user it runs
  as that user: Landlock alone stands between it and the content of that user's files,
  nothing between it and their time stamps.
* Each analysis has a child of its own, forked from a zygote that never reads content.
  When an outcome is returned, that child and all that it started are dead; when
  ``close`` returns, nothing at all is left.
* With ``reuse_child`` a child is kept for more samples, of one customer and at most
  :data:`RUNS_PER_CHILD`. One that takes it over without being noticed can see and
  falsify that customer's later ones, and may run on between two; after
  :meth:`Sandbox.rest` it stands still. If it dies, or takes a tenth of the run time,
  the sample is given to a fresh one before that counts.
* Where the replica may divide its cgroup, the processes of a slot have the memory of
  one together, files in a scratch that is memory included, and 256 processes.

What does not hold: it is no virtual machine, and a hole in the kernel is a way out. On
a disk the scratch is limited per file, not in total, nor in how many there are. Without
cgroups memory is limited per process; and processes are limited where a slot has a user
of its own.
"""

from __future__ import annotations

import marshal
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import monotonic

from workers.analysis import JSON, Classification, File
from workers.sandbox.inside.confinement import MAX_PROCESSES, can_change_user
from workers.sandbox.outcome import (
    BadResult,
    Crashed,
    Finished,
    Judged,
    Outcome,
    OutOfMemory,
    Raised,
    Stopped,
    TimedOut,
    judge,
)
from workers.sandbox.scratch import (
    NoUserError,
    SlotDirectory,
    SlotUser,
    UnsafeFileError,
)
from workers.sandbox.shares import NoSharesError, Shares
from workers.sandbox.slot import Slot
from workers.sandbox.spawner import (
    Recipe,
    SandboxError,
    Spawner,
    TemplateLostError,
    kill_strays,
)
from workers.sandbox.talk import Child, Ended

__all__ = [
    "RUNS_PER_CHILD",
    "BadResult",
    "Crashed",
    "Finished",
    "OutOfMemory",
    "Outcome",
    "Raised",
    "Run",
    "Sandbox",
    "SandboxError",
    "Stopped",
    "TimedOut",
]

#: A child that is kept is replaced after so many analyses: bounds what leaks, and what
#: a sample that took its child over can see.
RUNS_PER_CHILD = 200

#: Of the time that is left, what a used child may take: the rest is for a fresh one.
_USED_SHARE = 0.1

#: What is known of a sample's kind.
_KINDS = tuple(kind.name for kind in fields(Classification))

_NO_SHARES = (
    "no cgroup for each slot: an analysis is limited per process and per file, not as a"
    " whole; give the replica a cgroup of version 2 that it may divide (as a service"
    " Delegate=yes), or limit it from outside as docker-compose.yml does"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """
    One analysis to run.

    ``deliver``: writes the sample's bytes to the path it is given; called in this
    process once a child is there, may raise; it is told when the run time is over, on
    ``time.monotonic``. ``size``: bytes. ``customer``: whose sample it is; ``None``: it
    shares a child with no other. The rest as in :class:`workers.sample.Sample`.
    """

    deliver: Callable[[Path, float], None]
    sha256: str
    size: int
    file_name: str | None = None
    classification: Classification = field(default_factory=Classification)
    options: Mapping[str, JSON] = field(default_factory=dict)
    timeout_seconds: float
    customer: str | None = None


class Sandbox:
    """
    The slots of one analyzer.

    Args:
        analyzer_module: What to import; it holds an ``Analyzer`` named *analyzer_name*.
        slots: How many analyses at a time; they are numbered from 0.
        scratch: A directory of its own on a local disk; made if missing, emptied.
        network: Leave IPv4 and IPv6 to the analyzer.
        memory_bytes: Address space of each process.
        reuse_child: Keep a child for further samples of the same customer.
    """

    def __init__(  # noqa: PLR0913  (what an analyzer is allowed, by name)
        self,
        analyzer_module: str,
        *,
        analyzer_name: str,
        slots: int,
        scratch: Path,
        network: bool,
        memory_bytes: int,
        reuse_child: bool = False,
    ) -> None:
        self._reuse_child = reuse_child
        self._recipe = Recipe(
            module=analyzer_module,
            analyzer=analyzer_name,
            network=network,
            memory_bytes=memory_bytes,
        )
        self._scratch = scratch.absolute()
        self._lock = threading.Lock()
        self._spawner: Spawner | None = None
        self._users: list[SlotUser] = []
        self._share_out: Shares | None = None
        self._shares: list[Path] = []
        self._slots = [Slot(number) for number in range(slots)]

    def start(self) -> tuple[str, ...]:
        """
        Import the analyzer and return what protection this machine lacks, in sentences.

        Raises:
            SandboxError: With the traceback of the import.
        """
        self._open_scratch()
        warnings = (*self._claim_users(), *self._claim_shares())
        for slot in self._slots:
            uid = self._users[slot.number].uid if self._users else None
            share = self._shares[slot.number] if self._shares else None
            slot.prepare(self._scratch, uid, share)
        with self._lock:
            self._spawner = Spawner(self._recipe, home=self._scratch)
            return (*self._spawner.warnings, *warnings)

    def run(
        self,
        slot: int,
        run: Run,
        *,
        stopped: threading.Event,
        collect: Callable[[File, Path], None],
    ) -> Outcome:
        """
        Run one analysis; blocks. Distinct slots may run in distinct threads.

        Args:
            stopped: Set it to kill the analysis.
            collect: Called here for every file that a finished analysis names, with a
                path that lasts for the call; may raise.

        Raises:
            SandboxError: No child can be made any more.
            OSError: The slot's directory cannot be made again, or takes nothing.
            Exception: What *deliver* or *collect* raised; the slot is clean again.
        """
        if stopped.is_set():
            return Stopped()
        with self._slots[slot].lock:
            return self._run(self._slots[slot], run, stopped, collect)

    def printed(self, slot: int, *, most_bytes: int) -> str:
        """Return the beginning of what the last analysis of a slot has printed."""
        return self._slots[slot].directory.printed(most_bytes)

    def rest(self) -> None:
        """
        Stop the children that are kept, until they are asked again; for whoever has
        nothing to run for a while.
        """
        for slot in self._slots:
            if slot.lock.acquire(blocking=False):
                try:
                    if slot.child is not None:
                        slot.child.rest()
                finally:
                    slot.lock.release()

    def mend(self) -> None:
        """
        Make again what somebody has removed from the scratch; leave alone what runs.

        Raises:
            OSError: It cannot be made.
        """
        for slot in self._slots:
            if slot.lock.acquire(blocking=False):
                try:
                    # One that was kept may hold room that nobody sees.
                    slot.discard()
                    self._mend(slot)
                finally:
                    slot.lock.release()

    def close(self) -> None:
        """
        Kill everything; return when nothing is left. Further calls do nothing.

        What runs comes back as crashed; it is waited for, ``deliver`` and ``collect``
        included.
        """
        with self._lock:
            if self._spawner is not None:
                self._end_spawner(self._spawner)
                self._spawner = None
        for slot in self._slots:
            with slot.lock:
                slot.close()
        while self._users:
            self._users.pop().release()
        if self._share_out is not None:
            self._share_out.close()

    def _open_scratch(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        # Others pass through to what is theirs below; they cannot list it.
        self._scratch.chmod(0o711)

    def _claim_users(self) -> tuple[str, ...]:
        if os.geteuid() != 0 or not can_change_user() or self._users:
            return ()
        try:
            self._users = [SlotUser() for _ in self._slots]
        except NoUserError as error:
            return (f"{error}: analyzers run as root",)
        return ()

    def _claim_shares(self) -> tuple[str, ...]:
        limits = {
            "memory.max": self._recipe.memory_bytes,
            "pids.max": MAX_PROCESSES,
        }
        try:
            self._share_out = Shares(limits)
            self._shares = [self._share_out.add() for _ in self._slots]
        except NoSharesError as error:
            self._shares = []
            return (f"{_NO_SHARES}; {error}",)
        return ()

    def _run(
        self,
        place: Slot,
        run: Run,
        stopped: threading.Event,
        collect: Callable[[File, Path], None],
    ) -> Outcome:
        self._mend(place)
        child = self._child(place, run)
        deadline = monotonic() + run.timeout_seconds
        try:
            _deliver(place, run, deadline)
            judged = self._analyze(place, child, run, deadline, stopped)
            return _collected(place.directory, judged, collect)
        except BaseException:
            # Whatever it was: a child that was kept may be the reason, and hold room.
            place.discard()
            raise
        finally:
            _clean(place)

    def _mend(self, place: Slot) -> None:
        if not place.directory.is_there():
            self._open_scratch()
            place.make_anew()

    def _child(self, place: Slot, run: Run) -> Child:
        child = place.keep(run.customer)
        if child is not None:
            return child
        self._start_afresh(place)
        return self._new_child(place)

    def _start_afresh(self, place: Slot) -> None:
        if place.child is None:
            return
        place.discard()
        try:
            # Without a filter a child that rested may have woken itself, and written.
            place.directory.empty()
        except OSError:
            place.make_anew()

    def _new_child(self, place: Slot) -> Child:
        try:
            return place.fork(self._current_spawner(None))
        except TemplateLostError as error:
            lost = place.spawner
            place.forget()
            try:
                return place.fork(self._current_spawner(lost))
            except TemplateLostError:
                raise SandboxError(
                    f"the template does not stay alive: {error}"
                ) from error

    def _current_spawner(self, lost: Spawner | None) -> Spawner:
        with self._lock:
            if self._spawner is None:
                raise SandboxError("the sandbox is closed or was not started")
            if self._spawner is lost:
                self._end_spawner(lost)
                self._spawner = Spawner(self._recipe, home=self._scratch)
            return self._spawner

    def _end_spawner(self, spawner: Spawner) -> None:
        spawner.close()
        kill_strays(user.uid for user in self._users)

    def _analyze(
        self,
        place: Slot,
        child: Child,
        run: Run,
        deadline: float,
        stopped: threading.Event,
        *,
        is_first: bool = True,
    ) -> Judged:
        begun = monotonic()
        is_used = child.runs > 0
        share = _USED_SHARE if is_used else 1.0
        until = begun + (deadline - begun) * share
        answer = child.ask(_request(run), until, stopped)
        told: Judged | Ended = (
            answer if isinstance(answer, Ended) else judge(answer, monotonic() - begun)
        )
        if is_used and _may_be_anothers(told):
            self._start_afresh(place)
            if not place.directory.sample.exists():
                _deliver(place, run, deadline)
            fresh = self._new_child(place)
            return self._analyze(place, fresh, run, deadline, stopped)
        if told is Ended.UNREADY and is_first and monotonic() < deadline:
            # Somebody killed its zygote, say: no sample was looked at.
            place.discard()
            place.end()
            another = self._new_child(place)
            return self._analyze(place, another, run, deadline, stopped, is_first=False)
        if isinstance(told, Ended):
            told = Judged(outcome=place.explain(told, run.timeout_seconds))
        child.customer = run.customer
        if not self._may_stay(place, child, told):
            place.discard()
        return told

    def _may_stay(self, place: Slot, child: Child, judged: Judged) -> bool:
        # Half the limit: the next analysis needs room too.
        return (
            self._reuse_child
            and child.customer is not None
            and judged.is_reusable
            # It could change them, and hold up whoever opens them.
            and not judged.files
            and child.runs < RUNS_PER_CHILD
            and child.is_fit(self._recipe.memory_bytes // 2)
            and place.directory.is_empty()
        )


def _may_be_anothers(told: Judged | Ended) -> bool:
    """Whether an earlier sample of the same child may have brought this about."""
    if isinstance(told, Judged):
        return not isinstance(told.outcome, Finished)
    return told is not Ended.STOPPED


def _deliver(place: Slot, run: Run, deadline: float) -> None:
    place.directory.put_sample(lambda target: run.deliver(target, deadline))


def _clean(place: Slot) -> None:
    try:
        if place.child is None:
            place.directory.clean()
        else:
            # A child is kept if it has left nothing.
            place.directory.remove_sample()
    except OSError:
        _replace(place)


def _replace(place: Slot) -> None:
    try:
        # Now, and not when the next sample's time has begun.
        place.make_anew()
    except OSError:
        # The outcome stands; it is tried once more before the next analysis.
        place.directory.forget()


def _request(run: Run) -> bytes:
    request = {
        "sha256": run.sha256,
        "size": run.size,
        "file_name": run.file_name,
        "classification": {name: getattr(run.classification, name) for name in _KINDS},
        "options": dict(run.options),
    }
    return marshal.dumps(request)


def _collected(
    directory: SlotDirectory, judged: Judged, collect: Callable[[File, Path], None]
) -> Outcome:
    try:
        directory.take(judged.files, collect)
    except UnsafeFileError as error:
        return BadResult(message=str(error))
    return judged.outcome
