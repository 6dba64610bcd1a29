"""
The template: imports an analyzer once and forks sandboxes from the result: a zygote
per slot, or, where the kernel knows no scope of signals, a child per analysis.

``python -m workers.sandbox.inside.template SETTINGS`` (JSON: :class:`Settings`): it has
one thread, a clean environment and no secret; it never sees a sample. It obeys the
replica over a socket, one request at a time, and does not outlive it. Standard library
only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from workers.analyzer import Analyzer
from workers.sandbox.inside.child import Place, be_child, move_in, write_to
from workers.sandbox.inside.confinement import (
    Walls,
    code_paths,
    confine,
    end_with_parent,
    has_scopes,
    missing_walls,
    protect_process,
)
from workers.sandbox.inside.places import told
from workers.sandbox.inside.processes import children_of, kill_trees, kill_user
from workers.sandbox.inside.zygote import FAILED, be_zygote

#: Bytes of one request or reply; each is one packet of JSON.
PACKET_MAX_BYTES = 64 * 1024
#: Bytes that an analysis needs at the very least beside what the import took.
_LEAST_ROOM = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """``control``: number of the inherited socket. ``parent``: pid of the replica."""

    module: str
    analyzer: str
    control: int
    parent: int
    network: bool
    memory_bytes: int

    def to_json(self) -> str:
        """Return the argument for the command line."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class _Slot:
    pid: int
    uid: int | None


def main() -> NoReturn:
    """Import the module, say how it went, then serve until the replica ends."""
    settings = Settings(**json.loads(sys.argv[1]))
    end_with_parent(settings.parent)
    protect_process()
    control = socket.socket(fileno=settings.control)
    try:
        analyzer = _load(settings)
    except BaseException as error:  # noqa: BLE001  (importing runs the author's code)
        head, lines = told(error)
        _reply(control, {"failed": f"{head[:8192]}\n{lines[-8192:]}".strip()})
        sys.exit(1)
    _reply(control, {"zygotes": has_scopes(), "warnings": _warnings()})
    # From here on the end is orderly: what analyses have started must go first.
    told_to_end = _watch_for_the_end()
    end_with_parent(settings.parent, signal.SIGTERM)
    gc.collect()
    gc.freeze()
    _Template(analyzer, settings, control).serve(told_to_end)
    sys.exit(0)


def _watch_for_the_end() -> int:
    # The signal only makes a pipe readable. A handler that raised could do so in the
    # middle of cleaning up, because the replica's end of the socket closes just then.
    told_to_end, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return told_to_end


def _load(settings: Settings) -> Analyzer:
    module = importlib.import_module(settings.module)
    for value in vars(module).values():
        if isinstance(value, Analyzer) and value.name == settings.analyzer:
            _check_memory(settings)
            return value
    msg = (
        f"module {settings.module!r} holds no analyzer named {settings.analyzer!r};"
        " decorate a function of it with @analyzer"
    )
    raise LookupError(msg)


def _check_memory(settings: Settings) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    needed = pages * os.sysconf("SC_PAGE_SIZE") + _LEAST_ROOM
    if settings.memory_bytes < needed:
        msg = (
            f"memory_bytes: {settings.memory_bytes} is too little; importing"
            f" {settings.module!r} alone needs {needed}"
        )
        raise ValueError(msg)


def _warnings() -> tuple[str, ...]:
    warnings = list(missing_walls())
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        warnings.append(
            f"importing the module started {threads - 1} threads: sandbox children are"
            " forked without them and may hang; start threads in the analyzer instead"
        )
    if _shares_memory():
        warnings.append(
            "importing the module made memory that is shared with all its processes:"
            " what one analysis leaves there another can read; make it in the analyzer"
        )
    return tuple(warnings)


def _shares_memory() -> bool:
    # The second field is as "rw-s": what may be written to, and is not copied by fork.
    maps = Path("/proc/self/maps").read_text().splitlines()
    modes = (line.split()[1] for line in maps)
    return any(mode[1] == "w" and mode[3] == "s" for mode in modes)


class _Template:
    def __init__(
        self, analyzer: Analyzer, settings: Settings, control: socket.socket
    ) -> None:
        self._analyzer = analyzer
        self._settings = settings
        self._control = control
        self._code = code_paths(sys.modules)
        self._slots: dict[int, _Slot] = {}

    def serve(self, told_to_end: int) -> None:
        """Obey requests until the replica closes its end, or ends; leave nothing."""
        try:
            while self._is_asked(told_to_end):
                packet, fds, _, _ = socket.recv_fds(self._control, PACKET_MAX_BYTES, 2)
                if not packet:
                    return
                _reply(self._control, self._obey(json.loads(packet), fds))
        except ConnectionError:
            # The replica ended while we worked for it.
            return
        finally:
            for slot in list(self._slots):
                self._kill(slot)
            self._bury_orphans()

    def _is_asked(self, told_to_end: int) -> bool:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(told_to_end, select.POLLIN)
        return told_to_end not in dict(poll.poll())

    def _obey(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        if request["do"] == "fork":
            return {"pid": self._fork(request, *fds)}
        return {"status": self._kill(request["slot"])}

    def _fork(self, request: dict[str, Any], talk: int, log: int) -> int:
        if (uid := request["uid"]) is not None:
            # A template that was killed may have left some of its slot's behind.
            kill_user(uid)
        walls = Walls(
            uid=uid,
            slot=Path(request["directory"]),
            work=Path(request["work"]),
            code=self._code,
            share=Path(request["share"]) if request["share"] else None,
            network=self._settings.network,
            memory_bytes=self._settings.memory_bytes,
        )
        template = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(request["be"], walls, talk, log, template)
        os.close(talk)
        os.close(log)
        self._slots[request["slot"]] = _Slot(pid, uid)
        return pid

    def _become(
        self, what: str, walls: Walls, talk: int, log: int, template: int
    ) -> NoReturn:
        try:
            write_to(log)
            if what == "zygote":
                be_zygote(self._analyzer, walls, control=talk, template=template)
            move_in(walls.work)
            confine(walls)
            be_child(
                self._analyzer,
                None,
                place=Place.of(walls),
                parent=template,
                channel=talk,
            )
        except BaseException:  # noqa: BLE001  (must not unwind into the template's loop)
            traceback.print_exc()
        finally:
            os._exit(FAILED)

    def _kill(self, number: int) -> int:
        # Nobody reaps a child before this: its pid stays its own, and the status tells
        # how it ended if it did so by itself.
        slot = self._slots.pop(number)
        kill_trees([slot.pid])
        status = os.waitpid(slot.pid, 0)[1]
        if slot.uid is not None:
            kill_user(slot.uid)
        self._bury_orphans()
        return status

    def _bury_orphans(self) -> None:
        # What a dead child left falls to us, the subreaper; living ones keep their own.
        living = {slot.pid for slot in self._slots.values()}
        while orphans := children_of([os.getpid()]) - living:
            kill_trees(orphans)
            for pid in orphans:
                os.waitpid(pid, 0)


def _reply(control: socket.socket, answer: dict[str, Any]) -> None:
    control.send(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
