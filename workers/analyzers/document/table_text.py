"""
Looks into tables that are plain text: CSV and SYLK, whose cells may be formulas.

A spreadsheet program that opens one asks other programs as if it were a workbook.
"""

from __future__ import annotations

import re

from workers.analyzers.document.facts import Document
from workers.analyzers.document.markup import find_dde_formula

#: A cell is a formula by its first character, unless a number is all that follows;
#: long ones are no command.
_FORMULA = re.compile(
    r"(?:^|[,;\t|\"])[ \"]{0,4}[=+@-](?![\d.]+[ \"]*[,;\t\r\n])([^\r\n\t\"]{1,4096})",
    re.MULTILINE,
)
_SYLK_FORMULA = re.compile(r"^C;[^\r\n]{0,256}?E([^\r\n]{1,4096})", re.MULTILINE)
#: An option of a SYLK file, before its cells: it is a macro sheet.
_SYLK_MACROS = re.compile(r"^O;(?:[^\r\n;]{0,64};){0,16}E\s*$", re.MULTILINE)


def find_table_dde(text: str) -> str | None:
    """The first formula in a cell of delimited text that asks another program."""
    if "|" not in text or "!" not in text:
        return None
    for match in _FORMULA.finditer(text):
        if command := find_dde_formula(match[1]):
            return command
    return None


def read_table(text: str, document: Document) -> None:
    """Note what is remarkable in delimited text."""
    if command := find_table_dde(text):
        document.add_dde(command, where="cell")


def read_sylk(text: str, document: Document) -> None:
    """Note what is remarkable in a SYLK file."""
    if _SYLK_MACROS.search(text):
        document.findings.add("macro_excel4", where="SYLK")
    for match in _SYLK_FORMULA.finditer(text):
        if command := find_dde_formula(match[1]):
            document.add_dde(command, where="cell")
            return
