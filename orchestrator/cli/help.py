"""
How the commands' help reads: names as people write them, whole sentences.

Typer shows the types of a program (``JOB <str>``) and cuts sentences in lists; nothing
else of its help is changed.
"""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

#: Types of a program, and ranges as it checks them.
_NUMBER = re.compile(r"<(int|float)( range)?>")
_TEXT = re.compile(r"<(str|list\[str\])>")
_BETWEEN = re.compile(r"(-?\d+)<=x<=(\d+)")
_AT_LEAST = re.compile(r"x>=(\d+)")

#: No sentence is longer: it is wrapped instead of cut.
_WHOLE = 1000


class PlainCommand(TyperCommand):
    """A command whose arguments are shown by their names alone."""

    @override
    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments: list[Any] = self.get_params(ctx)
        names = [
            each.display_name_raw if each.required else f"[{each.display_name_raw}]"
            for each in arguments
            if each.param_type_name == "argument"
        ]
        return ["[OPTIONS]", *names]

    @override
    def format_options(self, ctx: Any, formatter: Any) -> None:
        for kind, heading in (("argument", "Arguments"), ("option", "Options")):
            rows = [
                (_name(parameter, record[0]), _said(record[1]))
                for parameter in self.get_params(ctx)
                if parameter.param_type_name == kind
                and (record := parameter.get_help_record(ctx)) is not None
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class PlainGroup(TyperGroup):
    """A group that says of each command a whole sentence."""

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [
            (name, command.get_short_help_str(_WHOLE).removesuffix("."))
            for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _name(parameter: Any, name: str) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.display_name_raw)
    return _NUMBER.sub("N", _TEXT.sub("TEXT", name))


def _said(text: str) -> str:
    text = text.removesuffix("  [required]")
    return _AT_LEAST.sub(r"at least \1", _BETWEEN.sub(r"\1 to \2", text))
