"""
The talk with a child: requests to it, answers from it, and whether it is well.

The child is not believed: it may send anything, at any speed, or nothing. What its
answers mean is ``workers.sandbox.outcome``'s matter.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from enum import Enum, auto
from time import monotonic
from typing import IO

from workers.sandbox.inside.child import ANSWER_MAX_BYTES, LENGTH, READY
from workers.sandbox.inside.processes import has_children, read_file

#: Seconds between two looks at the event ``stopped``, on which one cannot poll.
_LOOK_SECONDS = 0.05
#: Seconds for a child to say that it takes a request. It does so at once, or is busy,
#: or the machine is: waiting costs nobody but the analysis that is over.
_READY_SECONDS = 0.5
#: Seconds that a hung analysis is given to write its stack before it is killed.
_DUMP_SECONDS = 0.2
#: Bytes of what the child printed that go into a message.
_LOG_TAIL_BYTES = 4096
#: Bytes that are taken at a time.
_PART_BYTES = 256 * 1024
#: After fewer bytes than these the rest is given so many seconds to gather: sending one
#: at a time shall cost the sender, not us.
_SMALL_BYTES = 4096
_GATHER_SECONDS = 0.01
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: For what nobody stops.
_NEVER = threading.Event()


class Ended(Enum):
    """Why a child gave no answer. ``UNREADY``: it was never fit to be asked."""

    UNREADY = auto()
    TIMED_OUT = auto()
    STOPPED = auto()
    DIED = auto()
    SPOKE_OUT_OF_TURN = auto()
    HUNG_UP = auto()
    TOO_LARGE = auto()


class Child:
    """
    A confined process that takes requests.

    ``runs``: how many it was given. ``customer``: whose they were, if that is known.
    """

    def __init__(self, pid: int, channel: socket.socket, log: IO[bytes]) -> None:
        self.pid = pid
        self.runs = 0
        self.customer: str | None = None
        self.pidfd = os.pidfd_open(pid)
        self._channel = channel
        self._log = log
        self._received = bytearray()
        self._rests = False

    def ask(
        self, request: bytes, deadline: float, stopped: threading.Event
    ) -> bytes | Ended:
        """
        Send *request* and return the one answer, or why there is none.

        Args:
            deadline: On ``time.monotonic``.
        """
        self.runs += 1
        is_new = self.runs == 1
        if not is_new:
            os.ftruncate(self._log.fileno(), 0)
            if self._has_spoken():
                return Ended.SPOKE_OUT_OF_TURN
            if self._rests:
                self._rests = not self._signal(signal.SIGCONT)
        ended = self._send(LENGTH.pack(len(request)) + request, deadline, stopped)
        if is_new:
            # It reads nothing before it says that it is confined, and is not waited
            # for: what it does meanwhile costs one change of processes less.
            said = ended or self._listen(deadline, stopped)
            if said is Ended.TIMED_OUT and self._is_ready():
                # It was there in time: the sample was not.
                return said
            if said != READY:
                return Ended.STOPPED if said is Ended.STOPPED else Ended.UNREADY
        return ended or self._listen(deadline, stopped)

    def is_fit(self, most_bytes: int) -> bool:
        """
        Whether it may be asked again: it says that it takes the next request, has left
        no process and no thread, and leaks no memory.
        """
        if not self._is_ready():
            return False
        try:
            stat = read_file(f"/proc/{self.pid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            return False
        # The name of the program, in parentheses, may itself hold any character.
        fields = stat.rpartition(b")")[2].split()
        threads, pages = int(fields[17]), int(fields[21])
        is_small = pages * _PAGE_BYTES <= most_bytes
        return threads == 1 and is_small and not has_children(self.pid)

    def rest(self) -> None:
        """Stop it until it is asked again: what it began goes on at nobody's cost."""
        self._rests = self._rests or self._signal(signal.SIGSTOP)

    def has_ended(self) -> bool:
        """Whether the process is dead (its pid is kept for us until it is buried)."""
        return bool(poll({self.pidfd: select.POLLIN}, 0))

    def dump_stack(self) -> None:
        """Have it write its stack to its log, if it still can; wait a little for it."""
        before = os.fstat(self._log.fileno()).st_size
        if not self._signal(signal.SIGUSR1):
            return
        deadline = monotonic() + _DUMP_SECONDS
        size = before
        while monotonic() < deadline:
            poll({self.pidfd: select.POLLIN}, 0.02)
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

    def _is_ready(self) -> bool:
        """Whether it says, as it does before each request, that it takes the next."""
        said = self._listen(monotonic() + _READY_SECONDS, _NEVER)
        return said == READY

    def _signal(self, number: signal.Signals) -> bool:
        """Return whether it was there to get it."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def _send(
        self, frame: bytes, deadline: float, stopped: threading.Event
    ) -> Ended | None:
        rest = memoryview(frame)
        while rest:
            try:
                rest = rest[self._channel.send(rest, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                ended = self._wait(select.POLLOUT, deadline, stopped)
                if ended is not None:
                    return ended
            except OSError:
                return self._why_silent()
        return None

    def _listen(self, deadline: float, stopped: threading.Event) -> bytes | Ended:
        part = b""
        while (frame := self._next_frame()) is None:
            if 0 < len(part) < _SMALL_BYTES:
                poll({self.pidfd: select.POLLIN}, _GATHER_SECONDS)
            ended = self._wait(select.POLLIN, deadline, stopped)
            if ended is not None:
                return ended
            try:
                part = self._channel.recv(_PART_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                part = b""
            if not part:
                return self._why_silent()
            self._received += part
        return frame

    def _next_frame(self) -> bytes | Ended | None:
        if len(self._received) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._received)
        if size > ANSWER_MAX_BYTES:
            return Ended.TOO_LARGE
        end = LENGTH.size + size
        if len(self._received) < end:
            return None
        frame = bytes(self._received[LENGTH.size : end])
        del self._received[:end]
        return frame

    def _wait(
        self, event: int, deadline: float, stopped: threading.Event
    ) -> Ended | None:
        watched = {self._channel.fileno(): event, self.pidfd: select.POLLIN}
        while not stopped.is_set():
            left = deadline - monotonic()
            if left <= 0:
                return Ended.TIMED_OUT
            ready = poll(watched, min(left, _LOOK_SECONDS))
            if self._channel.fileno() in ready:
                return None
            if ready:
                return Ended.DIED
        return Ended.STOPPED

    def _why_silent(self) -> Ended:
        # The channel closes a moment before the process is seen to end.
        dead = poll({self.pidfd: select.POLLIN}, _DUMP_SECONDS)
        return Ended.DIED if dead else Ended.HUNG_UP

    def _has_spoken(self) -> bool:
        try:
            return bool(self._received or self._channel.recv(1, socket.MSG_PEEK))
        except OSError:
            # Nothing there, or reset by its death; its end of the channel closing
            # reads as no byte at all, and is no word either.
            return False


def poll(watched: dict[int, int], seconds: float) -> set[int]:
    """Wait, at most so many *seconds*; return those of *watched* that are ready."""
    asked = select.poll()
    for fd, events in watched.items():
        asked.register(fd, events)
    return {fd for fd, _ in asked.poll(seconds * 1000)}
