"""
The replica's end of the template: starts it, and asks it to fork and to kill.

Knows processes; what they are for is ``slot``'s matter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.sandbox.control import Control, LostError
from workers.sandbox.inside.processes import kill_trees, pids
from workers.sandbox.inside.template import Settings

#: Seconds. The heaviest bundled module imports in one.
_IMPORT_SECONDS = 120.0
#: Seconds to fork, or to kill and bury; the kernel may be busy freeing gigabytes.
REPLY_SECONDS = 30.0


class SandboxError(Exception):
    """No sandbox could be made; the message says why, with the traceback if any."""


class TemplateLostError(LostError):
    """The template ended (killed, say), and all that it has forked with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Which analyzer a template is for, and what its children are allowed."""

    module: str
    analyzer: str
    network: bool
    memory_bytes: int


class Spawner:
    """
    One running template. Thread-safe; one request at a time.

    Raises:
        SandboxError: From the constructor: the module does not import, or has no such
            analyzer.
    """

    def __init__(self, recipe: Recipe, *, home: Path) -> None:
        self._lock = threading.Lock()
        # The kernel ends the template when the *thread* that forked it ends, so that
        # thread must live as long as this object, unlike the one that runs a task.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="assay-template")
        self._control = Control()
        with self._control.theirs as theirs:
            start = self._thread.submit(_start, recipe, home, theirs.fileno())
            self._process = start.result()
        greeting = self._greeting(recipe.module)
        #: Whether this kernel lets a zygote be made; else the template forks children.
        self.makes_zygotes = bool(greeting["zygotes"])
        self.warnings = tuple(map(str, greeting["warnings"]))

    def fork(self, request: dict[str, Any], fds: list[int]) -> int:
        """
        Fork for a slot and return the pid, which stays its own until :meth:`kill`.

        Raises:
            TemplateLostError: Start another template.
        """
        return int(self._ask({"do": "fork", **request}, fds)["pid"])

    def kill(self, slot: int) -> int:
        """
        Kill what was forked for *slot*, and all it has started; return its wait status.

        Returns when they are gone. If it had ended by itself the status tells how.

        Raises:
            TemplateLostError: They are dying by the kernel's hand.
        """
        return int(self._ask({"do": "kill", "slot": slot}, [])["status"])

    def close(self) -> None:
        """End the template, which ends every child and all they have started."""
        with self._lock:
            self._control.close()
            try:
                self._process.wait(REPLY_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._thread.shutdown()

    def _greeting(self, module: str) -> dict[str, Any]:
        try:
            self._control.be_patient(_IMPORT_SECONDS)
            said = self._control.receive()
            self._control.be_patient(REPLY_SECONDS)
        except LostError as error:
            self._process.kill()
            self.close()
            msg = f"importing {module!r}: the process ended or took too long: {error}"
            raise SandboxError(msg) from error
        answer: dict[str, Any] = json.loads(said)
        if "failed" in answer:
            self.close()
            msg = f"importing {module!r} failed:\n{answer['failed']}"
            raise SandboxError(msg)
        return answer

    def _ask(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        with self._lock:
            packet = json.dumps(request).encode()
            try:
                said = self._control.ask(packet, fds)
            except LostError as error:
                raise TemplateLostError(str(error)) from error
        answer: dict[str, Any] = json.loads(said)
        return answer


def kill_strays(uids: Iterable[int]) -> None:
    """
    Kill what a killed template's children have left: processes of theirs that forked.

    Found by their user (*uids*), else because they fell to this process (see
    ``protect_process`` in ``inside/confinement.py``) and carry a filter that we do not.
    """
    users = set(uids)
    own_filters = _status("self").get("Seccomp_filters", "0")
    while strays := {pid for pid in pids() if _is_stray(pid, users, own_filters)}:
        kill_trees(strays)
        for pid in strays:
            _bury(pid)
    # The dead count among a user's processes until they are buried.
    for pid in pids():
        if _is_fallen(pid, users):
            _bury(pid)


def clean_environment(home: Path) -> dict[str, str]:
    """
    Return an environment for what must not see ours: a replica's secrets are in that.

    Args:
        home: A folder that exists.
    """
    search = [str(Path(entry or ".").absolute()) for entry in sys.path]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(
            entry for entry in search if Path(entry).exists()
        ),
    }


def _start(recipe: Recipe, home: Path, control: int) -> subprocess.Popen[bytes]:
    settings = Settings(
        module=recipe.module,
        analyzer=recipe.analyzer,
        control=control,
        parent=os.getpid(),
        network=recipe.network,
        memory_bytes=recipe.memory_bytes,
    )
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "workers.sandbox.inside.template",
            settings.to_json(),
        ],
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=[control],
        env=clean_environment(home),
        cwd=home,
        start_new_session=True,
    )


def _is_stray(pid: int, uids: set[int], own_filters: str) -> bool:
    status = _status(str(pid))
    if not status or status["State"].startswith("Z"):
        return False
    if int(status["Uid"].split()[0]) in uids:
        return True
    is_ours = int(status["PPid"]) == os.getpid()
    return is_ours and int(status.get("Seccomp_filters", "0")) > int(own_filters)


def _is_fallen(pid: int, uids: set[int]) -> bool:
    status = _status(str(pid))
    return (
        bool(status)
        and status["State"].startswith("Z")
        and int(status["PPid"]) == os.getpid()
        and int(status["Uid"].split()[0]) in uids
    )


def _status(pid: str) -> dict[str, str]:
    try:
        lines = Path("/proc", pid, "status").read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in fields}


def _bury(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        # It was init's, not ours.
        return
