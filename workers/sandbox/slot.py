"""
One slot of a sandbox: its directory, the child in it, and the talk with that child.

The child is not believed: it may send anything, at any speed, or nothing. What its
answers mean is ``workers.sandbox.outcome``'s matter.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from time import monotonic
from typing import IO, assert_never

from workers.sandbox.inside.child import ANSWER_MAX_BYTES, LENGTH
from workers.sandbox.inside.processes import has_children
from workers.sandbox.outcome import BadResult, Crashed, Outcome, Stopped, TimedOut
from workers.sandbox.scratch import SlotDirectory
from workers.sandbox.spawner import SandboxError, Spawner, TemplateLostError

#: Seconds between two looks at the event ``stopped``, on which one cannot poll.
_LOOK_SECONDS = 0.05
#: Seconds for a new child to confine itself; it takes milliseconds.
_READY_SECONDS = 15.0
#: Seconds that a hung analysis is given to write its stack before it is killed.
_DUMP_SECONDS = 0.2
#: Bytes of what the child printed that go into a message.
_LOG_TAIL_BYTES = 4096


class Ended(Enum):
    """Why a child gave no answer."""

    TIMED_OUT = auto()
    STOPPED = auto()
    DIED = auto()
    SPOKE_OUT_OF_TURN = auto()
    HUNG_UP = auto()
    TOO_LARGE = auto()


class Child:
    """A confined process that waits for requests; ``runs``: how many it was given."""

    def __init__(self, pid: int, channel: socket.socket, log: IO[bytes]) -> None:
        self.pid = pid
        self.runs = 0
        self.pidfd = os.pidfd_open(pid)
        self._channel = channel
        self._log = log

    def ask(
        self, request: bytes, deadline: float, stopped: threading.Event
    ) -> bytes | Ended:
        """
        Send *request* and return the one answer, or why there is none.

        Args:
            deadline: On ``time.monotonic``.
        """
        self.runs += 1
        if self._has_spoken():
            return Ended.SPOKE_OUT_OF_TURN
        os.ftruncate(self._log.fileno(), 0)
        rest = memoryview(LENGTH.pack(len(request)) + request)
        while rest:
            ended = self._wait(select.POLLOUT, deadline, stopped)
            if ended is not None:
                return ended
            try:
                rest = rest[self._channel.send(rest, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                continue
            except OSError:
                return self._why_silent()
        return self.listen(deadline, stopped)

    def listen(self, deadline: float, stopped: threading.Event) -> bytes | Ended:
        """Return the next answer, as :meth:`ask` does."""
        head = self._receive(LENGTH.size, deadline, stopped)
        if isinstance(head, Ended):
            return head
        (size,) = LENGTH.unpack(head)
        if size > ANSWER_MAX_BYTES:
            return Ended.TOO_LARGE
        return self._receive(size, deadline, stopped)

    def is_fresh(self, most_runs: int) -> bool:
        """Whether it lives, is silent, and has not been used up."""
        return self.runs < most_runs and not self.has_ended() and not self._has_spoken()

    def is_tidy(self, most_bytes: int) -> bool:
        """Whether it is quiet, has left no process behind and leaks no memory."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return False
        is_small = pages * os.sysconf("SC_PAGE_SIZE") <= most_bytes
        return is_small and not self._has_spoken() and not has_children(self.pid)

    def has_ended(self) -> bool:
        """Whether the process is dead (its pid is kept for us until it is buried)."""
        return bool(_poll({self.pidfd: select.POLLIN}, 0))

    def dump_stack(self) -> None:
        """Have it write its stack to its log, if it still can; wait a little for it."""
        before = os.fstat(self._log.fileno()).st_size
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGUSR1)
        except ProcessLookupError:
            return
        deadline = monotonic() + _DUMP_SECONDS
        size = before
        while monotonic() < deadline:
            _poll({self.pidfd: select.POLLIN}, 0.02)
            last, size = size, os.fstat(self._log.fileno()).st_size
            if before < size == last:
                return

    def log_tail(self) -> str:
        """Return the end of what it printed; the stack dump, if any, comes last."""
        fd = self._log.fileno()
        start = max(os.fstat(fd).st_size - _LOG_TAIL_BYTES, 0)
        text = os.pread(fd, _LOG_TAIL_BYTES, start).decode(errors="replace")
        return text.replace("\0", "").strip()

    def close(self) -> None:
        """Let go of the pipe and the log."""
        os.close(self.pidfd)
        self._channel.close()
        self._log.close()

    def _receive(
        self, size: int, deadline: float, stopped: threading.Event
    ) -> bytes | Ended:
        parts = bytearray()
        while len(parts) < size:
            ended = self._wait(select.POLLIN, deadline, stopped)
            if ended is not None:
                return ended
            try:
                part = self._channel.recv(size - len(parts))
            except BlockingIOError:
                continue
            except OSError:
                part = b""
            if not part:
                return self._why_silent()
            parts += part
        return bytes(parts)

    def _wait(
        self, event: int, deadline: float, stopped: threading.Event
    ) -> Ended | None:
        watched = {self._channel.fileno(): event, self.pidfd: select.POLLIN}
        while not stopped.is_set():
            left = deadline - monotonic()
            if left <= 0:
                return Ended.TIMED_OUT
            ready = _poll(watched, min(left, _LOOK_SECONDS))
            if self._channel.fileno() in ready:
                return None
            if ready:
                return Ended.DIED
        return Ended.STOPPED

    def _why_silent(self) -> Ended:
        # The channel closes a moment before the process is seen to end.
        dead = _poll({self.pidfd: select.POLLIN}, _DUMP_SECONDS)
        return Ended.DIED if dead else Ended.HUNG_UP

    def _has_spoken(self) -> bool:
        try:
            return bool(self._channel.recv(1, socket.MSG_PEEK))
        except OSError:
            # Nothing there, or reset by its death; its end of the channel closing
            # reads as no byte at all, and is no word either.
            return False


class Slot:
    """A place for one analysis at a time; whoever uses it holds ``lock``."""

    directory: SlotDirectory

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()
        self.child: Child | None = None
        self.spawner: Spawner | None = None
        self._uid: int | None = None

    def prepare(self, root: Path, uid: int | None) -> None:
        """Make its directory, empty. *uid*: the slot's own user, or ``None``."""
        self._uid = uid
        self.directory = SlotDirectory(root, self.number, uid)
        self.directory.create()

    def mend(self) -> None:
        """Make its directory again if it is gone, and what was in it with it."""
        if self.directory.is_there():
            return
        self.discard()
        self.directory.create()

    def fork(self, spawner: Spawner) -> Child:
        """
        Make a child and wait until it is confined.

        Raises:
            TemplateLostError: The template died; :meth:`forget`, and use another.
            SandboxError: The child could not confine itself; it is gone again.
        """
        self.spawner = spawner
        ours, theirs = socket.socketpair()
        log = self.directory.open_log()
        with theirs:
            try:
                pid = spawner.fork(self._request(), [theirs.fileno(), log.fileno()])
            except TemplateLostError:
                ours.close()
                log.close()
                raise
        ours.setblocking(False)
        self.child = Child(pid, ours, log)
        ready = self.child.listen(monotonic() + _READY_SECONDS, threading.Event())
        if isinstance(ready, Ended):
            text = self.child.log_tail()
            self.discard()
            msg = f"a sandbox child could not confine itself ({ready.name}): {text}"
            raise SandboxError(msg)
        return self.child

    def explain(self, ended: Ended, timeout_seconds: float) -> Outcome:
        """Kill the child with all that it has started, and say what had happened."""
        child = self.child
        assert child is not None  # noqa: S101  (for the type checker: it just answered)
        if ended is Ended.TIMED_OUT:
            child.dump_stack()
        tail = child.log_tail()
        status = self.discard()
        match ended:
            case Ended.TIMED_OUT:
                text = f"killed after {timeout_seconds:g} s"
                return TimedOut(message=_with_log(text, tail))
            case Ended.STOPPED:
                return Stopped()
            case Ended.DIED:
                return Crashed(message=_with_log(_describe(status), tail))
            case Ended.TOO_LARGE:
                return BadResult(message=f"answer: more than {ANSWER_MAX_BYTES} bytes")
            case Ended.HUNG_UP:
                return Crashed(message=_with_log("it closed its channel", tail))
            case Ended.SPOKE_OUT_OF_TURN:
                return BadResult(message="answer: the analyzer broke the protocol")
            case _:
                assert_never(ended)

    def discard(self) -> int | None:
        """Kill the child and what it started; return its wait status, if known."""
        if self.child is None or self.spawner is None:
            return None
        try:
            status = self.spawner.kill(self.number)
        except TemplateLostError:
            self.forget()
            return None
        self.child.close()
        self.child = None
        return status

    def forget(self) -> None:
        """Let go of a child that dies with its template."""
        if self.child is None:
            return
        _poll({self.child.pidfd: select.POLLIN}, _READY_SECONDS)
        # It falls to us, or to init, which buries by itself.
        with suppress(ChildProcessError):
            os.waitpid(self.child.pid, os.WNOHANG)
        self.child.close()
        self.child = None

    def close(self) -> None:
        """Let go of a child whose template has ended it, and remove the directory."""
        self.forget()
        if hasattr(self, "directory"):
            self.directory.remove()

    def _request(self) -> dict[str, object]:
        return {
            "slot": self.number,
            "uid": self._uid,
            "directory": str(self.directory.directory),
            "work": str(self.directory.work),
        }


def _poll(watched: dict[int, int], seconds: float) -> set[int]:
    poll = select.poll()
    for fd, events in watched.items():
        poll.register(fd, events)
    return {fd for fd, _ in poll.poll(seconds * 1000)}


def _describe(status: int | None) -> str:
    if status is None:
        return "the template that it was forked from ended, and it with it"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return "killed by SIGKILL (not by us; the kernel does it when memory is short)"
    return f"killed by {name}"


def _with_log(text: str, tail: str) -> str:
    return f"{text}\nlast output:\n{tail}" if tail else text
