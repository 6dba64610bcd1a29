"""
One slot of a sandbox: its directory, whoever forks its children, and the child in it.

Owns what is kept from one analysis to the next, and what is made anew. What a child
says is ``talk``'s matter.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, assert_never

from workers.sandbox.control import LostError
from workers.sandbox.inside.child import ANSWER_MAX_BYTES
from workers.sandbox.inside.places import without_ours, without_places
from workers.sandbox.outcome import BadResult, Crashed, Outcome, Stopped, TimedOut
from workers.sandbox.parents import Parent, Template, Zygote
from workers.sandbox.scratch import SlotDirectory
from workers.sandbox.spawner import SandboxError, Spawner, TemplateLostError
from workers.sandbox.talk import Child, Ended, poll

#: Seconds for what is dying to be dead.
_DEATH_SECONDS = 15.0


class Slot:
    """A place for one analysis at a time; whoever uses it holds ``lock``."""

    directory: SlotDirectory

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()
        self.child: Child | None = None
        self.spawner: Spawner | None = None
        self._parent: Parent | None = None
        self._log: IO[bytes] | None = None
        self._uid: int | None = None
        self._share: Path | None = None

    def prepare(self, root: Path, uid: int | None, share: Path | None) -> None:
        """
        Make its directory, empty.

        Args:
            uid: The slot's own user, or ``None``.
            share: The slot's own cgroup, or ``None``.
        """
        self._uid = uid
        self._share = share
        self.directory = SlotDirectory(root, self.number, uid)
        self.directory.create()

    def make_anew(self) -> None:
        """
        Make its directory again; what was confined to the one before ends.

        Raises:
            OSError: It cannot be made.
        """
        self.discard()
        self.end()
        self.directory.create()

    def keep(self, customer: str | None) -> Child | None:
        """Return the child if it may be given a sample of this *customer*."""
        child = self.child
        if child is None or child.has_ended():
            return None
        return child if customer is not None and child.customer == customer else None

    def fork(self, spawner: Spawner) -> Child:
        """
        Make a child, which confines itself while the sample is delivered.

        Raises:
            TemplateLostError: The template died; :meth:`forget`, and use another.
            SandboxError: None can be made.
            OSError: The directory takes nothing.
        """
        try:
            return self._fork(spawner)
        except TemplateLostError:
            raise
        except LostError:
            # Somebody killed the zygote (the kernel does, when memory is short), or it
            # cannot fork: what took its processes ends with it.
            self.end()
        try:
            return self._fork(spawner)
        except TemplateLostError:
            raise
        except LostError as error:
            text = _tail(self._log)
            self.end()
            msg = f"no zygote gives a child ({error}): {text}"
            raise SandboxError(msg) from error

    def explain(self, ended: Ended, timeout_seconds: float) -> Outcome:
        """
        Kill the child with all that it has started, and say what had happened.

        Raises:
            SandboxError: It could not confine itself: no sample was looked at.
        """
        child = self.child
        assert child is not None  # noqa: S101  (for the type checker: it just answered)
        if ended is Ended.TIMED_OUT:
            child.dump_stack()
        said = without_places(child.log_tail(), str(self.directory.directory))
        tail = without_ours(said).strip()
        status = self.discard()
        if ended is Ended.UNREADY:
            msg = f"a child could not confine itself: {tail or _describe(status)}"
            raise SandboxError(msg)
        return _outcome(ended, _describe(status), tail, timeout_seconds)

    def discard(self) -> int | None:
        """Kill the child and what it started; return its wait status, if known."""
        if self.child is None or self._parent is None:
            return None
        try:
            status = self._parent.bury()
        except LostError:
            self.end()
            return None
        self.child.close()
        self.child = None
        return status

    def end(self) -> None:
        """End the parent too, and what it has started."""
        if self._parent is not None:
            with suppress(TemplateLostError):
                self._parent.end()
        self.forget()

    def forget(self) -> None:
        """Let go of a child and a parent that die with their template."""
        if self._parent is not None:
            self._parent.close()
            self._parent = None
        if self._log is not None:
            self._log.close()
            self._log = None
        if self.child is None:
            return
        poll({self.child.pidfd: select.POLLIN}, _DEATH_SECONDS)
        # It falls to us, or to init, which buries by itself.
        with suppress(ChildProcessError):
            os.waitpid(self.child.pid, os.WNOHANG)
        self.child.close()
        self.child = None

    def close(self) -> None:
        """Let go of what its template has ended, and remove the directory."""
        self.forget()
        if hasattr(self, "directory"):
            self.directory.remove()

    def _fork(self, spawner: Spawner) -> Child:
        if self._parent is None or self.spawner is not spawner:
            self.forget()
            self.spawner = spawner
            self._parent = self._new_parent(spawner)
        log = self.directory.open_log()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                pid = self._parent.fork(theirs.fileno(), log.fileno())
        except BaseException:
            ours.close()
            log.close()
            raise
        ours.setblocking(False)
        self.child = Child(pid, ours, log)
        return self.child

    def _new_parent(self, spawner: Spawner) -> Parent:
        where = {
            "slot": self.number,
            "uid": self._uid,
            "directory": str(self.directory.directory),
            "work": str(self.directory.work),
            "share": None if self._share is None else str(self._share),
        }
        if not spawner.makes_zygotes:
            return Template(spawner, where)
        self._log = self.directory.open_log()
        return Zygote(spawner, where, self._log)


def _tail(log: IO[bytes] | None) -> str:
    if log is None:
        return ""
    log.seek(0)
    return log.read().decode(errors="replace").strip()


def _outcome(ended: Ended, how: str, tail: str, timeout_seconds: float) -> Outcome:
    match ended:
        case Ended.TIMED_OUT:
            text = f"killed after {timeout_seconds:g} s"
            return TimedOut(message=_with_log(text, tail))
        case Ended.STOPPED:
            return Stopped()
        case Ended.DIED | Ended.UNREADY:
            return Crashed(message=_with_log(how, tail))
        case Ended.TOO_LARGE:
            return BadResult(message=f"answer: more than {ANSWER_MAX_BYTES} bytes")
        case Ended.HUNG_UP:
            return Crashed(message=_with_log("it closed its channel", tail))
        case Ended.SPOKE_OUT_OF_TURN:
            return BadResult(message="answer: the analyzer broke the protocol")
        case _:
            assert_never(ended)


def _describe(status: int | None) -> str:
    if status is None:
        return "the zygote or template that it was forked from ended, and it with it"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return "killed by SIGKILL (not by us; the kernel does it when memory is short)"
    return f"killed by {name}"


def _with_log(text: str, tail: str) -> str:
    return f"{text}\nlast output:\n{tail}" if tail else text
