"""
The command ``assay``: composes the command groups, and turns errors into one line.

Each group has a file of its own. Exit codes: 0 ok, 1 failed, 2 usage or settings.
"""

from __future__ import annotations

import importlib
import sys

import typer

from orchestrator.domain.errors import AssayError, ConfigurationError

app = typer.Typer(
    name="assay",
    help="Fan samples out to analysis workers and bring a trustworthy verdict back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

#: Modules whose commands stand at the top, and those that are groups of their own.
_TOP = ("process",)
_GROUPS = ("db", "key")

_USAGE = 2


def main() -> None:
    """Run a command; whatever goes wrong in a known way is one line on stderr."""
    _compose(sys.argv[1:2])
    try:
        app()
    except ConfigurationError as error:
        _fail(error.message, _USAGE)
    except AssayError as error:
        _fail(error.message, 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _compose(words: list[str]) -> None:
    # A client command loads neither the database nor Celery: only what is asked for.
    asked = [name for name in _GROUPS if words == [name]]
    for name in asked or _GROUPS:
        group = importlib.import_module(f"orchestrator.cli.{name}")
        app.add_typer(group.app, name=name)
    for name in () if asked else _TOP:
        app.add_typer(importlib.import_module(f"orchestrator.cli.{name}").app)


def _fail(message: str, code: int) -> None:
    print(f"assay: {message}", file=sys.stderr)
    raise SystemExit(code)
