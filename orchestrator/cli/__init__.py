"""
The command ``assay``: composes the command groups, and turns errors into one line.

Each group has a file of its own. Exit codes: 0 ok, 1 failed or refused, 2 command line
or settings, 3 a verdict that ``--fail-on`` names, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from types import ModuleType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from orchestrator import __version__
from orchestrator.cli.failing import fail, flush, misused
from orchestrator.cli.help import PlainCommand, PlainGroup
from orchestrator.domain.errors import AssayError, ConfigurationError

app = typer.Typer(
    name="assay",
    cls=PlainGroup,
    help="Fan samples out to analysis workers and bring a trustworthy verdict back.",
    context_settings={"help_option_names": ["-h", "--help"]},
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
    "process": (
        *("api", "dispatch", "consume", "beat", "maintain", "deliver"),
        "flower",
    ),
}
_GROUPS = (
    "job",
    "sample",
    "task",
    "analysis",
    "evidence",
    "worker",
    "verdict",
    "policy",
    "poison",
    "webhook",
    "key",
    "customer",
    "broker",
    "db",
    "bench",
)

_INTERRUPTED = 130

#: Where a shell that completes a line has its words: zsh and fish, bash.
_COMPLETED = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")


def main() -> None:
    """Run a command; whatever goes wrong in a known way is one line on stderr."""
    try:
        _compose(_first_word())
        code = app(prog_name="assay", standalone_mode=False)
    except TyperException as error:
        raise misused(error) from None
    except AssayError as error:
        raise fail(error) from None
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001  (what nobody explains is raised again)
        raise _explained(error) from None
    finally:
        flush()
    raise SystemExit(code)


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda given: _say_version() if given else None,
            is_eager=True,
            help="Say which version this is.",
        ),
    ] = False,
) -> None:
    """Hold what is asked of no command."""


def _say_version() -> None:
    print(f"assay {__version__}")
    raise typer.Exit


def _explained(error: Exception) -> SystemExit:
    """Return how a command ends for an error of the database; others are bugs."""
    # Client commands have not loaded it, and need not.
    said = _module("database").said_of(error) if "sqlalchemy" in sys.modules else None
    if said is None:
        raise error
    return fail(AssayError(said))


def _first_word() -> str:
    words = sys.argv[1:]
    if "_ASSAY_COMPLETE" in os.environ:
        line = next((os.environ[name] for name in _COMPLETED if name in os.environ), "")
        # A word that no space follows is still being typed.
        words = line.split()[1:] if line[-1:].isspace() else line.split()[1:-1]
    return words[0] if words else ""


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
    group = _module(name).app
    for command in group.registered_commands:
        command.cls = PlainCommand
    if name in _GROUPS:
        app.add_typer(group, name=name, cls=PlainGroup)
    else:
        app.add_typer(group)


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
