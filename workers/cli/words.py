"""
How an author's commands speak: plain lines, none of which does anything to a terminal.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

#: What authors type: where replicas alone are installed there is no other command.
TYPED: Final = "assay worker" if find_spec("typer") else "python -m workers"


class UsageError(Exception):
    """What was typed can not be done; the message says why and what to type."""


def say(text: str) -> None:
    """Say something on stderr, beside what was asked for."""
    print(visible(text), file=sys.stderr)


def visible(text: str) -> str:
    """Return text whose only control character is the end of a line."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}"
        for char in text.expandtabs()
    )
