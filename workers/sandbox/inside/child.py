"""
The sandbox child: takes requests from its channel and calls the analyzer.

Everything it reads or returns is under the sample's influence once one was parsed, so
nothing here protects anybody: the walls are ``confinement``, the judgement of what it
answers is ``workers.sandbox.outcome``. Standard library only.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import signal
import struct
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

from workers.analysis import Analysis, Classification, Recoverable, Unsupported
from workers.analyzer import Analyzer
from workers.sample import Sample
from workers.sandbox.inside.confinement import Walls, confine

#: File descriptor of the channel: the only one beside standard input and output.
CHANNEL = 3
#: Each frame on the channel: this length in front, then so many bytes of JSON.
LENGTH = struct.Struct("!I")
#: Bytes of JSON; a larger answer is a bad result.
ANSWER_MAX_BYTES = 4 * 1024 * 1024
#: Characters of a message about an exception.
MESSAGE_MAX = 8 * 1024

# ``Any`` here and below: JSON on its way out, judged by the reader.
Answer = dict[str, Any]


def be_child(analyzer: Analyzer, walls: Walls, *, channel: int, log: int) -> NoReturn:
    """
    Turn this freshly forked process into a sandbox child, and serve until told to end.

    Args:
        channel: Stream socket on which requests come and answers go.
        log: File for what the analyzer prints, and for stack dumps.
    """
    _keep_only(channel, log)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    _move_in(walls.work)
    confine(walls)
    os.register_at_fork(after_in_child=_drop_channel)
    _write({"kind": "ready"})
    while request := _read():
        _write(_answer(analyzer, json.loads(request), walls.work))
    os._exit(0)


def _keep_only(channel: int, log: int) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if channel != CHANNEL:
        os.dup2(channel, CHANNEL)
    os.set_inheritable(CHANNEL, False)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  (lives as we do)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _move_in(work: Path) -> None:
    os.chdir(work)
    os.umask(0o077)
    for name in ("HOME", "TMPDIR"):
        os.environ[name] = str(work)
    # It may have been looked up, and remembered, while the module was imported.
    tempfile.tempdir = str(work)


def _drop_channel() -> None:
    # A process that the analyzer forks must neither answer for it nor hide its end.
    os.close(CHANNEL)


def _answer(analyzer: Analyzer, request: Answer, work: Path) -> Answer:
    os.chdir(work)
    sample = Sample(
        path=Path(request["path"]),
        sha256=request["sha256"],
        size=request["size"],
        file_name=request["file_name"],
        classification=Classification(**request["classification"]),
        options=request["options"],
    )
    answer = _call(analyzer, sample)
    sys.stdout.flush()
    return {**answer, "leftover": threading.active_count() > 1}


def _call(analyzer: Analyzer, sample: Sample) -> Answer:
    try:
        return _finished(analyzer.function(sample))
    except MemoryError as error:
        return {"kind": "out_of_memory", "message": _describe(error)}
    except Unsupported as error:
        return _raised("unsupported", error)
    except Recoverable as error:
        return _raised("error", error, recoverable=True)
    except BaseException as error:  # noqa: BLE001  (the author's code may raise anything)
        return _raised("error", error)


def _finished(returned: object) -> Answer:
    if not isinstance(returned, Analysis):
        name = type(returned).__name__
        return _bad(f"the analyzer returned {name}; it must return an Analysis")
    analysis = {}
    for field in dataclasses.fields(Analysis):
        value = getattr(returned, field.name)
        try:
            json.dumps(value, default=_plain, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return _bad(f"{field.name}: not JSON: {error}")
        analysis[field.name] = value
    return {"kind": "finished", "analysis": analysis}


def _plain(value: object) -> dict[str, object]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    msg = f"a value of type {type(value).__name__}"
    raise TypeError(msg)


def _raised(which: str, error: BaseException, *, recoverable: bool = False) -> Answer:
    return {
        "kind": "raised",
        "which": which,
        "recoverable": recoverable,
        "message": _describe(error),
    }


def _bad(message: str) -> Answer:
    return {"kind": "bad_result", "message": message[:MESSAGE_MAX]}


def _describe(error: BaseException) -> str:
    head = "".join(traceback.format_exception_only(error)).strip()[: MESSAGE_MAX // 2]
    # The first frame is this module's.
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    stack = "".join(traceback.format_tb(frames, limit=-32))
    return f"{head}\n{stack[-(MESSAGE_MAX - len(head) - 1) :]}".strip()


def _write(answer: Answer) -> None:
    body = json.dumps(answer, default=_plain, allow_nan=False).encode()
    if len(body) > ANSWER_MAX_BYTES:
        text = f"result: {len(body)} bytes as JSON; at most {ANSWER_MAX_BYTES}"
        body = json.dumps({**_bad(text), "leftover": answer["leftover"]}).encode()
    rest = memoryview(LENGTH.pack(len(body)) + body)
    while rest:
        rest = rest[os.write(CHANNEL, rest) :]


def _read() -> bytes:
    head = _read_exactly(LENGTH.size)
    return _read_exactly(*LENGTH.unpack(head)) if head else b""


def _read_exactly(size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(CHANNEL, size - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)
