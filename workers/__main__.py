"""
``python -m workers run | new | try | conform``: what an author of an analyzer types, as
``assay worker …``; and ``classify``, which the API starts.

Owns the command line. What the commands do is in ``replica.app``, ``testing`` and
``cli``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from workers.cli.loading import get_analyzer
from workers.cli.starting import write_worker
from workers.cli.words import TYPED, UsageError, say, visible

_INTERRUPTED = 130

_NAME = "a bundled worker, a module, or a file such as my_worker.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command and return its exit code: 0 ok, 1 failed, 2 usage."""
    options = _parser().parse_args(arguments)
    # A module in the current directory, as with ``python -m`` and ``celery -A``; also
    # when another program runs us. Last: it may be a folder of samples, and what we
    # have yet to import is not to be found there.
    if os.getcwd() not in sys.path:  # noqa: PTH109  (sys.path holds strings)
        sys.path.append(os.getcwd())  # noqa: PTH109
    try:
        code: int = options.command(options)
    except UsageError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; nor does the interpreter have to say so at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=TYPED, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a replica until it is told to stop")
    run.add_argument("name", help=_NAME)
    run.add_argument("--slots", type=_slots, metavar="N", help="analyses at a time")
    run.set_defaults(command=_run)
    new = commands.add_parser("new", help="write a worker to start from, with a test")
    new.add_argument("path", type=Path, help="for example my_worker.py")
    new.set_defaults(command=_new)
    _add_trials(commands)
    classify = commands.add_parser("classify", help="what the API starts for itself")
    classify.add_argument("--control", type=int, required=True, help="of a socket")
    classify.add_argument("--parent", type=int, required=True, help="pid of the API")
    classify.add_argument("--folder", type=Path, required=True, help="an empty one")
    classify.set_defaults(command=_classify)
    return parser


def _add_trials(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    once = commands.add_parser("try", help="look at one file, in the real sandbox")
    once.add_argument("name", help=_NAME)
    once.add_argument("file", type=Path, help="the sample")
    once.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for the analyzer, of JSON or a word; may be repeated",
    )
    once.add_argument(
        "--switch",
        choices=("crash", "hang", "oom", "garbage"),
        help="what the analysis does instead, to see what becomes of it",
    )
    once.add_argument("--json", action="store_true", help="print one JSON document")
    once.set_defaults(command=_try)
    conform = commands.add_parser("conform", help="show it samples that are odd")
    conform.add_argument("name", help=_NAME)
    conform.add_argument("--json", action="store_true", help="print one JSON document")
    conform.set_defaults(command=_conform)


def _slots(text: str) -> int:
    # With pydantic, which the classifier need not load.
    from orchestrator.contracts.wire import SLOTS_MAX  # noqa: PLC0415

    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= SLOTS_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a number from 1 to {SLOTS_MAX}"
        )
    return count


def _run(options: argparse.Namespace) -> int:
    # Where nobody watches every line is JSON: the replica's own.
    analyzer = get_analyzer(options.name, note=say if sys.stderr.isatty() else _unsaid)
    from workers.replica.app import run_replica  # noqa: PLC0415  (Celery: only to run)

    return run_replica(analyzer, slots=options.slots)


def _unsaid(_: str) -> None:
    """Say nothing."""


def _try(options: argparse.Namespace) -> int:
    from workers.cli import showing  # noqa: PLC0415  (as above)

    if not options.file.is_file():
        raise UsageError(f"{options.file}: no such file")
    given = dict(map(_pair, options.option))
    with showing.bench(get_analyzer(options.name)) as bench:
        trial = bench.try_one(options.file, options=given, switch=options.switch)
    title = f"{options.file.name} ({showing.size(options.file.stat().st_size)})"
    told = showing.as_json(trial) if options.json else showing.as_text(trial, title)
    print(told, flush=True)
    return 0 if trial.ok else 1


def _pair(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--option: {text!r}: write KEY=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _conform(options: argparse.Namespace) -> int:
    from workers.cli import showing  # noqa: PLC0415  (as above)
    from workers.odd_samples import odd_samples  # noqa: PLC0415

    with showing.bench(get_analyzer(options.name)) as bench:
        trials = {name: bench.try_one(content) for name, content in odd_samples()}
    if options.json:
        print(json.dumps({name: asdict(trial) for name, trial in trials.items()}))
    else:
        for name, trial in trials.items():
            mark = "ok  " if trial.conforms else "FAIL"
            print(visible(f"{mark} {name}: {trial.summary}"))
    return 0 if all(trial.conforms for trial in trials.values()) else 1


def _classify(options: argparse.Namespace) -> int:
    from workers.classify import Place, serve  # noqa: PLC0415  (the API's alone)

    place = Place(control=options.control, parent=options.parent, folder=options.folder)
    return serve(place)


def _new(options: argparse.Namespace) -> int:
    path, test = write_worker(options.path)
    print(f"wrote {path} and {test}; next:")
    print(f"  {TYPED} try {path} SOME_FILE")
    print(f"  {TYPED} run {path}")
    print(f"and in {path.parent.absolute()}:")
    print(f"  python -m pytest {test.name}")
    print(f"  celery -A {path.stem} worker")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
