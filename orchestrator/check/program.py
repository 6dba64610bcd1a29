"""
The program that is looked at: started as its own documentation says, in a clean
environment, and ended with all that it has started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.domain.errors import ConfigurationError

#: What every program needs; no setting of whoever checks may count.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "NODE_PATH")

_TAIL_BYTES = 4_000

_DEATH_SECONDS = 10


class Program:
    """
    Args:
        command: Its words.
        environment: The settings of a replica.
        log: Where it writes.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """
        Start it.

        Raises:
            ConfigurationError: There is no such program.
        """
        try:
            self._start()
        except OSError as error:
            raise ConfigurationError(
                f"{self._command[0]}: {error.strerror}; write the program behind --"
            ) from None

    def _start(self) -> None:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**kept, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # It is ended with all that it has started.
                start_new_session=True,
            )

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._process is not None and self.is_running:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; return whether it came."""
        if self._process is None:
            return True
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.is_running

    def kill(self) -> None:
        """End it, and what it has started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_DEATH_SECONDS)

    def tail(self) -> str:
        """Return the end of what it wrote."""
        if not self._log.exists():
            return ""
        return self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
