"""
The command ``assay``: composes the command groups, and turns errors into one line.

Each group has a file of its own. Exit codes: 0 ok, 1 failed, 2 usage or settings.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType

import typer

from orchestrator.domain.errors import AssayError, ConfigurationError

app = typer.Typer(
    name="assay",
    add_completion=False,
    help="Fan samples out to analysis workers and bring a trustworthy verdict back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

#: Module → its commands that stand at the top. Other modules are groups.
_TOP = {
    "demo": ("demo",),
    "up": ("up",),
    "submit": ("submit",),
    "audit": ("audit",),
    "doctor": ("doctor",),
    "process": ("api", "dispatch", "consume", "beat", "maintain", "flower"),
}
_GROUPS = (
    "job",
    "sample",
    "task",
    "worker",
    "verdict",
    "policy",
    "poison",
    "key",
    "customer",
    "broker",
    "db",
    "bench",
)

_USAGE = 2
_INTERRUPTED = 130


def main() -> None:
    """Run a command; whatever goes wrong in a known way is one line on stderr."""
    try:
        _compose(sys.argv[1] if len(sys.argv) > 1 else "")
        app()
    except ConfigurationError as error:
        _fail(error.message, _USAGE)
    except AssayError as error:
        _fail(error.message, 1)
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except Exception as error:
        # Client commands have not loaded it, and need not.
        if "sqlalchemy" not in sys.modules:
            raise
        said = _module("database").said_of(error)
        if said is None:
            raise
        _fail(said, 1)


def _compose(word: str) -> None:
    # A client command loads neither the database nor Celery: only what is asked for is
    # imported, and everything only for the help.
    owners = {command: name for name, commands in _TOP.items() for command in commands}
    if word in _GROUPS or word in owners:
        _add(owners.get(word, word))
        return
    for name in (*_TOP, *_GROUPS):
        # What this installation cannot do is not offered.
        with contextlib.suppress(ConfigurationError):
            _add(name)


def _add(name: str) -> None:
    app.add_typer(_module(name).app, name=name if name in _GROUPS else None)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"orchestrator.cli.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "orchestrator":
            raise
        raise ConfigurationError(
            f"this command needs {error.name}, which is not installed here:"
            " pip install 'assay[server,embedded]'"
        ) from error


def _fail(message: str, code: int) -> None:
    print(f"assay: {message}", file=sys.stderr)
    raise SystemExit(code)
