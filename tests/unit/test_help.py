from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import typer

from orchestrator import cli
from tests.fixtures.golden import GOLDEN, compare

#: Of a terminal with 80 columns, as Typer has it.
_WIDTH = 78

#: Commands that become another program, which answers itself.
_SDK = {("worker", word) for word in ("run", "new", "try", "conform")}


def helps(command: Any, context: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the help of a command and of those below it."""
    if path not in _SDK:
        yield f"$ assay {' '.join((*path, '--help'))}\n{command.get_help(context)}\n"
    for name, below in sorted(getattr(command, "commands", {}).items()):
        inner = type(context)(below, info_name=name, parent=context)
        yield from helps(below, inner, (*path, name))


def test_every_commands_help_is_as_it_was_read():
    # Anew: another test may have composed a part of it.
    importlib.reload(cli)._compose("")
    root: Any = typer.main.get_command(cli.app)
    context = root.make_context(
        "assay", ["job"], resilient_parsing=True, terminal_width=_WIDTH
    )
    written = {"help/assay"}
    compare("help/assay", f"$ assay --help\n{root.get_help(context)}\n")
    for name, command in root.commands.items():
        inner = type(context)(command, info_name=name, parent=context)
        compare(f"help/{name}", "\n".join(helps(command, inner, (name,))))
        written.add(f"help/{name}")

    kept = {f"help/{path.stem}" for path in (GOLDEN / "help").iterdir()}
    assert kept == written


def test_no_help_is_wider_than_a_terminal_or_shows_a_programs_types():
    for path in (GOLDEN / "help").iterdir():
        for line in path.read_text().splitlines():
            assert len(line) <= _WIDTH + 2, line
            assert "<list[" not in line, line
            assert "range>" not in line, line
            assert "<str>" not in line, line
