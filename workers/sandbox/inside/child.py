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
import marshal
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

from workers.analysis import Analysis, Classification, Recoverable, Unsupported
from workers.analyzer import Analyzer
from workers.options import OptionsError
from workers.sample import Sample
from workers.sandbox.inside.confinement import Walls, tie
from workers.sandbox.inside.places import told, without_places

#: What the sample is called in the directory of its slot.
SAMPLE = "sample"
#: File descriptor of the channel: the only one beside standard input and output.
CHANNEL = 3
#: Each frame on the channel: this length in front, then so many bytes. Answers are
#: JSON. Requests, which are the replica's, are marshal's: a new child touches fewer
#: pages to read them.
LENGTH = struct.Struct("!I")
#: Bytes of JSON; a larger answer is a bad result.
ANSWER_MAX_BYTES = 4 * 1024 * 1024
#: Its frame before each request: it is shut in, and waits for one.
READY = b"ready"
_READY_FRAME = LENGTH.pack(len(READY)) + READY
#: After so many runs CPython has adapted a function to what it is called with.
_WARM_RUNS = 16
#: Characters of a message about an exception.
MESSAGE_MAX = 8 * 1024

# ``Any`` here and below: JSON on its way out, judged by the reader.
Answer = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """
    What is the same for every child of a slot, made once: each would make it anew.

    ``work``: the working directory. ``sample``: where the bytes are.
    """

    work: str
    sample: Path

    @classmethod
    def of(cls, walls: Walls) -> Place:
        """Return that of the slot that these walls are around."""
        return cls(str(walls.work), walls.slot / SAMPLE)


def be_child(
    analyzer: Analyzer, layer: int | None, *, place: Place, parent: int, channel: int
) -> NoReturn:
    """
    Serve, as a freshly forked process that stands within the walls, until it is ended.

    Args:
        layer: As :func:`tie` takes it.
        place: Where it works.
        parent: Pid of the process that forked it.
        channel: Stream socket on which requests come and answers go.
    """
    os.setsid()
    tie(parent, layer)
    keep_only(channel)
    # Before the first request: if it cannot, no sample is the reason.
    os.chdir(place.work)
    os.register_at_fork(after_in_child=_drop_channel)
    os.write(CHANNEL, _READY_FRAME)
    while request := _next_request():
        _write(_answer(analyzer, request, place))
    os._exit(0)


def warm_up(place: Place) -> None:
    """
    Run once what every analysis runs, so that children find it run.

    The interpreter adapts code while it runs it, and each child would do so anew, in
    pages of its own.
    """
    nothing = Analyzer(
        name="nothing",
        version="",
        module="",
        function=lambda sample: Analysis(score=-1, result={"bytes": sample.size}),
    )
    request = marshal.dumps(
        {
            "sha256": "",
            "size": 0,
            "file_name": None,
            "classification": dataclasses.asdict(Classification()),
            "options": {},
        }
    )
    for _ in range(_WARM_RUNS):
        _encoded(_answer(nothing, request, place))


def write_to(log: int) -> None:
    """Have what the analyzer prints, and stack dumps, go to the file *log*."""
    os.dup2(log, 1)
    os.dup2(log, 2)


def keep_only(talk: int) -> None:
    """
    Let go of every file but the log and *talk*, which becomes :data:`CHANNEL`.

    A process opens what it has for itself: what two share, they can mark for each
    other.
    """
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if talk != CHANNEL:
        os.dup2(talk, CHANNEL)
    os.set_inheritable(CHANNEL, False)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))


def move_in(work: Path) -> None:
    """Make a process that was just forked from the template at home in *work*."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  (lives as we do)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    os.chdir(work)
    os.umask(0o077)
    for name in ("HOME", "TMPDIR"):
        os.environ[name] = str(work)
    # It may have been looked up, and remembered, while the module was imported.
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["tempdir"] = str(work)


def _drop_channel() -> None:
    # A process that the analyzer forks must neither answer for it nor hide its end.
    os.close(CHANNEL)


def _answer(analyzer: Analyzer, packed: bytes, place: Place) -> Answer:
    os.chdir(place.work)
    request = marshal.loads(packed)  # noqa: S302  (the replica's)
    sample = Sample(
        path=place.sample,
        sha256=request["sha256"],
        size=request["size"],
        file_name=request["file_name"],
        classification=Classification(**request["classification"]),
        options=request["options"],
    )
    answer = _call(analyzer, sample)
    sys.stdout.flush()
    return answer


def _call(analyzer: Analyzer, sample: Sample) -> Answer:
    try:
        return _finished(analyzer(sample))
    except MemoryError as error:
        return {"kind": "out_of_memory", "message": _describe(error, sample)}
    except Unsupported as error:
        return _raised("unsupported", _refusal(analyzer, sample, error))
    except OptionsError as error:
        # Of nobody's lines: what was ordered does not fit.
        return _raised("error", without_places(str(error))[:MESSAGE_MAX])
    except Recoverable as error:
        return _raised("error", _describe(error, sample), recoverable=True)
    except BaseException as error:  # noqa: BLE001  (the author's code may raise anything)
        return _raised("error", _describe(error, sample))


def _finished(returned: object) -> Answer:
    if not isinstance(returned, Analysis):
        name = type(returned).__name__
        return _bad(f"the analyzer returned {name}; it must return an Analysis")
    fields = dataclasses.fields(Analysis)
    analysis = {field.name: getattr(returned, field.name) for field in fields}
    return {"kind": "finished", "analysis": analysis}


def _plain(value: object) -> dict[str, object]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    msg = f"a value of type {type(value).__name__}"
    raise TypeError(msg)


_ENCODER = json.JSONEncoder(default=_plain, allow_nan=False)


def _raised(which: str, message: str, *, recoverable: bool = False) -> Answer:
    return {
        "kind": "raised",
        "which": which,
        "recoverable": recoverable,
        "message": message,
    }


def _refusal(analyzer: Analyzer, sample: Sample, error: Unsupported) -> str:
    given = f"{sample.classification.type} ({sample.classification.mime_type})"
    takes = "everything" if "*" in analyzer.accepts else ", ".join(analyzer.accepts)
    why = str(error) or "it is not of a kind that can be looked at"
    text = f"{analyzer.name}: {why}; it was given {given} and takes {takes}"
    return without_places(text)[:MESSAGE_MAX]


def _bad(message: str) -> Answer:
    return {"kind": "bad_result", "message": message[:MESSAGE_MAX]}


def _describe(error: BaseException, sample: Sample) -> str:
    head, stack = told(error, str(sample.path.parent))
    head = head[: MESSAGE_MAX // 2]
    return f"{head}\n{stack[-(MESSAGE_MAX - len(head) - 1) :]}".strip()


def _write(answer: Answer) -> None:
    try:
        body = _encoded(answer)
    except (TypeError, ValueError, RecursionError):
        body = _encoded(_what_is_no_json(answer["analysis"]))
    if len(body) > ANSWER_MAX_BYTES:
        text = f"result: {len(body)} bytes as JSON; at most {ANSWER_MAX_BYTES}"
        body = _encoded(_bad(text))
    _send(body)


def _encoded(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def _what_is_no_json(analysis: Answer) -> Answer:
    for name, value in analysis.items():
        try:
            _encoded(value)
        except (TypeError, ValueError, RecursionError) as error:
            return _bad(f"{name}: not JSON: {error}")
    return _bad("result: not JSON")


def _send(body: bytes) -> None:
    # Both at once: whoever asked looks once.
    rest = memoryview(LENGTH.pack(len(body)) + body + _READY_FRAME)
    while rest:
        rest = rest[os.write(CHANNEL, rest) :]


def _next_request() -> bytes:
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
