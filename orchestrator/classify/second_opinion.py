"""
The process that is asked what a file looks like: its start, its questions, its end.

It parses content, so it is a process of its own, shut in and started by name. What it
answers is an opinion; whether that counts is ``classifier``'s matter. Whatever becomes
of it, a question costs no more than its patience.
"""

from __future__ import annotations

import importlib.util
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import structlog

from orchestrator.contracts.opinion import (
    FAILED,
    PACKET_MAX_BYTES,
    READY,
    Opinion,
    Question,
    both_ends,
)

log = structlog.get_logger()

#: An answer takes a hundredth of a second; an upload waits so long for it, whatever
#: became of the process.
PATIENCE_SECONDS = 0.05
#: To load what it needs: half a second where nothing else runs.
_START_SECONDS = 60.0
#: Whoever has owed an answer for so long does not work any more.
_STUCK_SECONDS = 10.0
#: Before it is started again; doubled each time, up to the last, until it has lived
#: for so long.
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 1.0, 60.0
_END_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why nobody is asked, and what to do about it."""

    detail: str
    remedy: str


_NOT_INSTALLED = Trouble(
    detail="Magika is not installed: our own rules alone say what a file is",
    remedy="pip install 'assay[classify]'",
)
_STARTING = Trouble(
    detail="Magika is starting: our own rules alone say what a file is",
    remedy="wait a moment",
)
_ENDED = Trouble(
    detail="Magika's process ended, or cannot start: our own rules alone say what a"
    " file is",
    remedy="it is started again within a minute; the log of the API says why it ended",
)


class SecondOpinion:
    """
    One process that classifies, kept alive from :meth:`start` to :meth:`close`.

    Thread-safe. One question at a time is with the process; others wait for their turn,
    no longer than for an answer.

    Args:
        stuck_seconds: Who has owed an answer for so long is replaced when it is to be
            asked again.
    """

    def __init__(self, *, stuck_seconds: float = _STUCK_SECONDS) -> None:
        self._stuck_seconds = stuck_seconds
        self._lock = threading.Lock()
        self._talk: socket.socket | None = None
        self._number = 0
        self._owed_since: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._trouble: Trouble | None = _STARTING
        self._decided = threading.Event()
        self._closing = threading.Event()
        # The kernel ends the process when the *thread* that started it ends.
        self._keeper = threading.Thread(
            target=self._keep, name="assay-classify", daemon=True
        )

    def start(self) -> None:
        """Start it; whoever does not :meth:`wait` goes by the rules meanwhile."""
        if importlib.util.find_spec("magika") is None:
            self._trouble = _NOT_INSTALLED
            self._decided.set()
            return
        self._keeper.start()

    def wait(self, seconds: float) -> None:
        """Return when it answers, or cannot, or after so many *seconds*."""
        self._decided.wait(seconds)

    @property
    def trouble(self) -> Trouble | None:
        """What keeps it from answering; nothing if it does."""
        since = self._owed_since
        if self._trouble is None and since is not None:
            owed = monotonic() - since
            if owed > PATIENCE_SECONDS:
                return Trouble(
                    detail=f"Magika has not answered for {owed:.1f} s",
                    remedy="see that this machine is not overloaded; a process that"
                    " stands still is replaced at the next upload",
                )
        return self._trouble

    @property
    def pid(self) -> int | None:
        """Of the process; nothing while there is none that answers."""
        process = self._process
        return process.pid if process is not None and self._talk is not None else None

    @property
    def questions(self) -> int:
        """How many it was sent."""
        return self._number

    def ask(self, head: bytes, tail: bytes, size: int) -> Opinion | None:
        """
        Return what a file looks like; nothing if nobody says so in time.

        Args:
            head: Its first bytes.
            tail: Its last bytes.
            size: Bytes in all.
        """
        deadline = monotonic() + PATIENCE_SECONDS
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):
            return None
        try:
            if self._talk is None or self._owes(self._talk):
                return None
            self._number = (self._number + 1) % 2**32
            content = both_ends(head, tail, size)
            self._send(self._talk, Question(number=self._number, content=content))
            return self._answer(self._talk, deadline)
        except OSError:
            # It ended; the keeper sees it too.
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the process, and start none again."""
        self._closing.set()
        with self._lock:
            self._hang_up()
        # It keeps nothing, and may be starting still.
        if self._process is not None:
            self._process.kill()
        if self._keeper.is_alive():
            self._keeper.join(_END_SECONDS)

    def _owes(self, talk: socket.socket) -> bool:
        """Say whether an earlier answer is still to come, and see to it that it ends."""
        if self._owed_since is None:
            return False
        if self._answer(talk, monotonic()) is not None:
            return False
        if monotonic() - self._owed_since > self._stuck_seconds and self._process:
            self._process.kill()
        return True

    def _send(self, talk: socket.socket, question: Question) -> None:
        talk.send(question.packed(), socket.MSG_DONTWAIT)
        self._owed_since = monotonic()

    def _answer(self, talk: socket.socket, deadline: float) -> Opinion | None:
        # Packets that are no answer to this are skipped, as long as there is time.
        waiting = select.poll()
        waiting.register(talk, select.POLLIN)
        while waiting.poll(max(0, (deadline - monotonic()) * 1000)):
            packet = talk.recv(PACKET_MAX_BYTES, socket.MSG_DONTWAIT)
            if not packet:
                raise ConnectionError("it hung up")
            opinion = Opinion.of(packet)
            if opinion is not None and opinion.number == self._number:
                self._owed_since = None
                return opinion
            # It has seen samples, and may be talking without end.
            if monotonic() > deadline:
                break
        return None

    def _keep(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            started_at = monotonic()
            why = self._live_once()
            if self._closing.is_set():
                return
            if monotonic() - started_at > _LAST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            log.warning("classifier.ended", why=why, restart_seconds=pause)
            self._trouble = _ENDED
            self._decided.set()
            self._closing.wait(pause)
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)

    def _live_once(self) -> str:
        """Start the process, let it answer, and return how it ended."""
        ours, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        )
        with closing(ours), closing(theirs):
            try:
                self._process = self._started(ours, theirs)
                self._take_questions(ours)
                return f"exit code {self._process.wait()}"
            except (OSError, ValueError) as error:
                return str(error)
            finally:
                with self._lock:
                    self._hang_up()

    def _started(
        self, ours: socket.socket, theirs: socket.socket
    ) -> subprocess.Popen[bytes]:
        """
        Return a process that answers.

        Raises:
            OSError: It ended, or took too long.
            ValueError: It cannot; the message says why.
        """
        with tempfile.TemporaryDirectory(prefix="assay-classify-") as folder:
            process = _start(theirs.fileno(), Path(folder))
            self._process = process
            theirs.close()
            try:
                missing = _greeting(ours)
            except (OSError, ValueError):
                process.kill()
                process.wait()
                raise
        if missing:
            log.warning("classifier.unwalled", missing=missing)
        return process

    def _take_questions(self, talk: socket.socket) -> None:
        with self._lock:
            if self._closing.is_set():
                raise ConnectionError("it is not wanted any more")
            self._talk, self._owed_since = talk, None
        self._trouble = None
        self._decided.set()

    def _hang_up(self) -> None:
        if self._talk is not None:
            # Closed by who opened it; the other end sees this already.
            with suppress(OSError):
                self._talk.shutdown(socket.SHUT_RDWR)
        self._talk, self._owed_since = None, None


def _start(control: int, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _command(control, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Why it cannot it says by itself; its libraries write what is nobody's.
        stderr=subprocess.DEVNULL,
        pass_fds=[control],
        env=_environment(folder),
        cwd="/",
        start_new_session=True,
    )


def _command(control: int, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "workers", "classify"),
        *("--control", str(control)),
        *("--parent", str(os.getpid())),
        *("--folder", str(folder)),
    ]


def _environment(folder: Path) -> dict[str, str]:
    # Ours holds secrets.
    search = [str(Path(entry or ".").absolute()) for entry in sys.path]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        # A thread would be one that walls put up later do not shut in.
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(os.path.exists, search)),
    }


def _greeting(talk: socket.socket) -> list[str]:
    """
    Return what the process lacks of its walls, once it answers.

    Raises:
        OSError: It ended, or takes too long.
        ValueError: It cannot; the message says why.
    """
    talk.settimeout(_START_SECONDS)
    packet = talk.recv(PACKET_MAX_BYTES)
    talk.settimeout(None)
    if packet.startswith(FAILED):
        raise ValueError(packet.removeprefix(FAILED).decode(errors="replace").strip())
    if not packet.startswith(READY):
        raise ConnectionError("it ended while it started")
    return packet.decode(errors="replace").split("\n")[1:]
