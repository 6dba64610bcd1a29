"""
``python -m workers run | new | try | conform``: what an author of an analyzer types;
and ``classify``, which the API starts.

Owns the command line. What the commands do is in ``replica.app`` and ``testing``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from orchestrator.contracts import names
from workers.analyzer import Analyzer


class UsageError(Exception):
    """What was typed can not be done; the message says why and what to type."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command and return its exit code: 0 ok, 1 failed, 2 usage."""
    options = _parser().parse_args(arguments)
    # A module in the current directory, as with ``python -m`` and ``celery -A``; also
    # when another program runs us.
    if os.getcwd() not in sys.path:  # noqa: PTH109  (sys.path holds strings)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        code: int = options.command(options)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return code


def get_analyzer(name: str) -> Analyzer:
    """
    Return the analyzer *name*: of ``workers.analyzers``, or a module to import.

    Raises:
        UsageError: There is no such module, or not exactly one analyzer in it.
    """
    module = _import_any(f"workers.analyzers.{name}.analyzer", name)
    found = {
        id(value): value
        for value in vars(module).values()
        if isinstance(value, Analyzer) and value.module == module.__name__
    }
    if len(found) != 1:
        raise UsageError(
            f"{module.__name__} holds {len(found)} analyzers; a worker is a module "
            "with exactly one function under @analyzer"
        )
    return next(iter(found.values()))


def _import_any(*candidates: str) -> ModuleType:
    for candidate in candidates:
        try:
            return importlib.import_module(candidate)
        except ModuleNotFoundError as error:
            # Only if it is the module itself that is missing, not one it imports.
            if error.name is None or not candidate.startswith(error.name):
                raise UsageError(
                    f"{candidate} imports {error.name}: not found"
                ) from error
    bundled = ", ".join(names.BUNDLED_WORKERS)
    raise UsageError(
        f"{candidates[-1]}: neither a bundled analyzer ({bundled}) nor a module that"
        " can be imported from here"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a replica until it is told to stop")
    run.add_argument("name", help="a bundled analyzer, or a module")
    run.add_argument("--slots", type=int, help="analyses at a time")
    run.set_defaults(command=_run)
    new = commands.add_parser("new", help="write a worker to start from, with a test")
    new.add_argument("path", type=Path, help="for example my_worker.py")
    new.set_defaults(command=_new)
    once = commands.add_parser("try", help="look at one file, in the real sandbox")
    once.add_argument("name", help="a bundled analyzer, or a module")
    once.add_argument("file", type=Path)
    once.add_argument("--json", action="store_true", help="print one JSON document")
    once.set_defaults(command=_try)
    conform = commands.add_parser("conform", help="show it samples that are odd")
    conform.add_argument("name", help="a bundled analyzer, or a module")
    conform.add_argument("--json", action="store_true", help="print one JSON document")
    conform.set_defaults(command=_conform)
    classify = commands.add_parser("classify", help="what the API starts for itself")
    classify.add_argument("--control", type=int, required=True, help="of a socket")
    classify.add_argument("--parent", type=int, required=True, help="pid of the API")
    classify.add_argument("--folder", type=Path, required=True, help="an empty one")
    classify.set_defaults(command=_classify)
    return parser


def _run(options: argparse.Namespace) -> int:
    analyzer = get_analyzer(options.name)
    from workers.replica.app import run_replica  # noqa: PLC0415  (Celery: only to run)

    return run_replica(analyzer, slots=options.slots)


def _try(options: argparse.Namespace) -> int:
    from workers.testing import Bench  # noqa: PLC0415  (as above)

    if not options.file.is_file():
        raise UsageError(f"{options.file}: no such file")
    with Bench(get_analyzer(options.name)) as bench:
        trial = bench.try_one(options.file)
    print(json.dumps(asdict(trial), indent=None if options.json else 2, default=str))
    return 0 if trial.ok else 1


def _conform(options: argparse.Namespace) -> int:
    from workers.testing import Bench, odd_samples  # noqa: PLC0415  (as above)

    with Bench(get_analyzer(options.name)) as bench:
        trials = {name: bench.try_one(content) for name, content in odd_samples()}
    if options.json:
        print(json.dumps({name: asdict(trial) for name, trial in trials.items()}))
    else:
        for name, trial in trials.items():
            print(f"{'ok  ' if trial.conforms else 'FAIL'} {name}: {trial.summary}")
    return 0 if all(trial.conforms for trial in trials.values()) else 1


def _classify(options: argparse.Namespace) -> int:
    from workers.classify import Place, serve  # noqa: PLC0415  (the API's alone)

    place = Place(control=options.control, parent=options.parent, folder=options.folder)
    return serve(place)


def _new(options: argparse.Namespace) -> int:
    path: Path = options.path if options.path.suffix else options.path / "worker.py"
    module = path.stem
    test = path.with_name(f"test_{path.name}")
    for target in (path, test):
        if target.exists():
            raise UsageError(f"{target} exists already; choose another name")
    if not module.isidentifier():
        raise UsageError(f"{module!r} is no name for a Python module; use a-z, 0-9, _")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_WORKER.format(module=module), encoding="utf-8")
    test.write_text(_TEST.format(module=module), encoding="utf-8")
    print(f"wrote {path} and {test}; next: python -m workers try {module} SOME_FILE")
    return 0


_WORKER = '''\
"""An analyzer: looks at one sample and says what it found."""

from __future__ import annotations

from workers import Analysis, Sample, analyzer


@analyzer("{module}", version="1", accepts=["*"], run_seconds=30)
def {module}(sample: Sample) -> Analysis:
    """Say how long a sample is and how it begins."""
    with sample.open() as content:
        head = content.read(16)
    return Analysis(score=-1, result={{"bytes": sample.size, "head": head.hex()}})
'''

_TEST = """\
from __future__ import annotations

from workers.testing import analyze

from {module} import {module}


def test_it_says_how_long_a_sample_is_and_how_it_begins() -> None:
    analysis = analyze({module}, b"MZ")

    assert analysis.result == {{"bytes": 2, "head": "4d5a"}}
"""

if __name__ == "__main__":
    raise SystemExit(main())
