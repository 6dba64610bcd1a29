"""
``python -m orchestrator.embedded.nursery``: supervisord, which forks our own processes
from itself instead of starting each anew.

It has loaded what they are made of: that takes each of them a second of CPU and 60 MB,
and here all of them once. What is none of ours is executed as ever.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from setproctitle import setproctitle
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ServerOptions
from supervisor.supervisord import Supervisor
from typing_extensions import override

from orchestrator.embedded import launch

#: What is loaded before the first of them is forked. By name: nothing of a worker is
#: imported by the orchestrator's code.
PARTS = (
    "orchestrator.cli.process",
    "orchestrator.bootstrap.api",
    "orchestrator.bootstrap.processes",
    "orchestrator.celery_app",
    "celery.apps.beat",
    "celery.apps.worker",
    "workers.replica.app",
)

#: The programs that are ours.
_OURS = frozenset({"orchestrator", "workers"})


def main() -> None:
    """Supervise until told to stop."""
    options = _Options()
    options.realize(sys.argv[1:])
    options.first = True
    options.test = False
    with suppress(ExitNow):
        _Nursery(options).main()
    options.close_httpservers()
    options.close_logger()


def load() -> None:
    """Load what processes are made of, and keep the collector from touching it."""
    for name in PARTS:
        importlib.import_module(name)
    gc.collect()
    # A page that nobody writes is shared by all of them.
    gc.freeze()


def is_ours(words: Sequence[str]) -> bool:
    """Whether a command can be run by :func:`run`."""
    match words:
        case [sys.executable, "-m", module, *_]:
            return module in _OURS
        case _:
            return False


def run(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Be, in a fork, what would be if *words* had been executed; never return."""
    code: object = 1
    try:
        # It finds where its words stand by the environment that is forgotten next.
        setproctitle(" ".join(words).encode(errors="replace").decode())
        _forget_the_parent(environment)
        sys.argv[:] = ["-m", *words[3:]]
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code
    except BaseException as error:  # noqa: BLE001  (as the interpreter would)
        # What the process itself has set up for this says it in its own way.
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        _leave(code)


def _forget_the_parent(environment: Mapping[str, str]) -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in {signal.SIG_DFL, signal.SIG_IGN, None}:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    # What was found by the environment is found again.
    time.tzset()
    tempfile.tempdir = None
    path = environment.get("PYTHONPATH", "")
    sys.path[:0] = ["", *filter(None, path.split(os.pathsep))]


def _leave(code: object) -> NoReturn:
    # Past everything that stands below us on the stack: it is the parent's.
    with suppress(OSError):
        if isinstance(code, str):
            print(code, file=sys.stderr)  # noqa: T201  (as the interpreter would)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


class _Options(ServerOptions):  # type: ignore[misc]  # supervisor has no types
    """Forks, where a program of ours is to be executed: called in the forked child."""

    @override
    def execve(self, filename: str, argv: list[str], env: Mapping[str, str]) -> None:
        words, environment = launch.prepare(launch.own_words(argv))
        if is_ours(words):
            run(words, environment)
        launch.execute(words, environment)


class _Nursery(Supervisor):  # type: ignore[misc]  # as above
    """Loads while the stores start, which are none of ours."""

    _has_loaded = False

    @override
    def tick(self, now: float | None = None) -> None:
        super().tick(now)
        if not self._has_loaded:
            self._has_loaded = True
            load()


if __name__ == "__main__":
    main()
