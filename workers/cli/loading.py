"""
Finds the analyzer that somebody has named: a bundled one, a module, or a file.

Says what is wrong with it in the author's terms: no line of a traceback is ours.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from orchestrator.contracts import names
from workers.analyzer import Analyzer
from workers.cli.words import UsageError, say
from workers.sandbox.inside.places import told


def get_analyzer(name: str, *, note: Callable[[str], None] = say) -> Analyzer:
    """
    Return the analyzer *name*: of ``workers.analyzers``, a module, or a file of one.

    Args:
        note: Told of what may surprise its author.

    Raises:
        UsageError: There is no such module, it fails to be imported, or there is not
            exactly one analyzer in it.
    """
    is_file = name.endswith(".py") or os.sep in name
    if not is_file and not all(map(str.isidentifier, name.split("."))):
        raise UsageError(f"{name!r} is no name of a worker or of a module, and no file")
    module = _import_file(Path(name)) if is_file else _import_named(name, note)
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
    analyzer = next(iter(found.values()))
    if analyzer.name in names.BUNDLED_WORKERS and module.__name__ == analyzer.module:
        _note_double(analyzer, module, note)
    return analyzer


def _note_double(
    analyzer: Analyzer, module: ModuleType, note: Callable[[str], None]
) -> None:
    if not module.__name__.startswith("workers.analyzers."):
        note(
            f"@analyzer({analyzer.name!r}, …) in {module.__name__} has the name of the"
            " bundled worker: their tasks go to either; give it another name"
        )


def _import_named(name: str, note: Callable[[str], None]) -> ModuleType:
    file = f"{name}.py"
    if name in names.BUNDLED_WORKERS and Path(file).exists():
        note(f"{name} is the bundled worker; for {file} type .{os.sep}{file}")
    return _import_any(f"workers.analyzers.{name}.analyzer", name)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise UsageError(f"{path}: is no name for a Python module; name it NAME.py")
    # First: what is named is meant, whatever else is called like it.
    sys.path.insert(0, str(path.absolute().parent))
    module = _import_any(path.stem)
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise UsageError(
            f"{path}: another module is called {path.stem} ({module.__file__});"
            " give the file another name"
        )
    return module


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
        except (Exception, SystemExit) as error:
            head, lines = told(error)
            raise UsageError(
                f"{candidate} can not be imported: {head}\n{lines}".rstrip()
            ) from error
    bundled = ", ".join(names.BUNDLED_WORKERS)
    raise UsageError(
        f"{candidates[-1]}: neither a bundled analyzer ({bundled}) nor a module that"
        " can be imported from here"
    )
