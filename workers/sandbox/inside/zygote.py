"""
The zygote: one confined process per slot, from which a child is forked per analysis.

It has one thread and the walls of its slot, and never reads content: what it obeys is
the replica, over a socket, one request at a time. After each analysis it kills whatever
is alive within its reach, which is below it and nowhere else. Standard library only.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import traceback
from contextlib import suppress
from typing import NoReturn

from workers.analyzer import Analyzer
from workers.sandbox.inside.child import (
    CHANNEL,
    Place,
    be_child,
    keep_only,
    move_in,
    warm_up,
    write_to,
)
from workers.sandbox.inside.confinement import Walls, confine, prepared_layer

#: What it is asked to do. With a fork come the child's channel and its log.
FORK, BURY = b"fork", b"bury"
#: Before what it says instead of a number.
FAILURE = b"!"
#: How a child ends that could not be shut in.
FAILED = 70

_TWO_FILES = struct.Struct("2i")
_FILES_SPACE = socket.CMSG_SPACE(_TWO_FILES.size)


def be_zygote(
    analyzer: Analyzer, walls: Walls, *, control: int, template: int
) -> NoReturn:
    """
    Turn this freshly forked process into a zygote, and serve until the replica ends it.

    Args:
        control: Socket on which requests come; it keeps their borders.
        template: Pid of the process that forked it.
    """
    os.setsid()
    keep_only(control)
    move_in(walls.work)
    confine(walls)
    warm_up(Place.of(walls))
    _check_reach(template)
    gc.freeze()
    _Zygote(analyzer, walls).serve(socket.socket(fileno=CHANNEL))
    os._exit(0)


def _check_reach(template: int) -> None:
    # It kills all that it may signal. As root on a kernel that says more than it does,
    # this would be the machine.
    with suppress(PermissionError):
        os.kill(template, 0)
        msg = "a zygote can signal the template that it was forked from"
        raise RuntimeError(msg)


class _Zygote:
    def __init__(self, analyzer: Analyzer, walls: Walls) -> None:
        self._analyzer = analyzer
        self._place = Place.of(walls)
        self._layer = prepared_layer(walls)
        self._pid = os.getpid()
        self._child = 0

    def serve(self, control: socket.socket) -> None:
        """Obey requests until the replica closes its end."""
        while True:
            # By hand and in few steps: each page that is touched between two forks is
            # copied, which is most of what a child costs.
            request, files, _, _ = control.recvmsg(len(FORK), _FILES_SPACE)
            if not request:
                self._bury()
                return
            if request == FORK:
                control.send(self._fork(*_TWO_FILES.unpack(files[0][2])))
            else:
                control.send(b"%d" % self._bury())

    def _fork(self, channel: int, log: int) -> bytes:
        try:
            self._child = os.fork()
            if self._child == 0:
                self._become_child(channel, log)
        except OSError as error:
            return FAILURE + str(error).encode()
        finally:
            os.close(channel)
            os.close(log)
        return b"%d" % self._child

    def _become_child(self, channel: int, log: int) -> NoReturn:
        try:
            write_to(log)
            be_child(
                self._analyzer,
                self._layer,
                place=self._place,
                parent=self._pid,
                channel=channel,
            )
        except BaseException:  # noqa: BLE001  (must not unwind into the zygote's loop)
            traceback.print_exc()
        finally:
            os._exit(FAILED)

    def _bury(self) -> int:
        # If the child ended by itself, its status tells how.
        status = os.waitpid(self._child, os.WNOHANG)[1] if self._child else 0
        with suppress(ProcessLookupError, PermissionError):
            os.kill(-1, signal.SIGKILL)
        # What a dead child left falls to us.
        with suppress(ChildProcessError):
            while True:
                pid, ended = os.waitpid(-1, 0)
                status = ended if pid == self._child else status
        self._child = 0
        return status
