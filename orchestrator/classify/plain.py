"""
Texts of a known form that are neither markup, mail nor script: tables, cards, settings.
"""

from __future__ import annotations

import re

from orchestrator.classify.kinds import kind
from orchestrator.contracts.assignment import Classification

#: (how the text begins, type, super type, MIME type).
_BEGINNINGS: tuple[tuple[re.Pattern[str], str, str, str], ...] = tuple(
    (re.compile(pattern), name, super_type, mime)
    for pattern, name, super_type, mime in (
        (r"(?i)begin:vcalendar\s", "ics", "text", "text/calendar"),
        (r"(?i)begin:vcard\s", "vcf", "text", "text/vcard"),
        (r"(?i)\[internetshortcut\]", "url", "document", "application/x-mswinurl"),
        (r"\[Desktop Entry\]", "desktop", "document", "application/x-desktop"),
        (
            r"(?:Windows Registry Editor Version|REGEDIT4)",
            "reg",
            "script",
            "text/x-ms-regedit",
        ),
        (
            r"(?i)\[(?:autorun\]|version\]\s{1,9}signature\s*=)",
            "inf",
            "script",
            "application/x-setupscript",
        ),
        (r"ID;P[\w;]*\r?\n", "slk", "document", "text/spreadsheet"),
        (r"WEB\r?\n1\r?\n", "iqy", "document", "text/x-ms-iqy"),
        (
            r"-----BEGIN PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----",
            "pgp",
            "text",
            "application/pgp-keys",
        ),
        (r"-----BEGIN PGP MESSAGE-----", "pgp", "text", "application/pgp-encrypted"),
        (r"-----BEGIN PGP SIG", "pgp", "text", "application/pgp-signature"),
        (
            r"(?:-----BEGIN OPENSSH PRIVATE KEY-----|PuTTY-User-Key-File-\d)",
            "ssh_key",
            "text",
            "application/x-ssh-private-key",
        ),
        (
            r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3}) AAAA",
            "ssh_key",
            "text",
            "application/x-ssh-public-key",
        ),
        (
            r"(?:screen mode id|full address|alternate shell|use multimon):[is]:",
            "rdp",
            "document",
            "application/x-rdp",
        ),
        (r"(?i)\[shell\]\s{1,9}command\s*=", "scf", "document", "application/x-ms-scf"),
        (r"WARC/\d\.\d\r?\n", "warc", "archive", "application/warc"),
        (r"-----BEGIN [A-Z0-9 ]{3,40}-----", "pem", "text", "application/x-pem-file"),
        (r"# Disk DescriptorFile", "vmdk", "archive", "application/x-vmdk-disk"),
        (r"(?:diff --git |--- \S.*\n\+\+\+ )", "diff", "text", "text/x-diff"),
        (
            r"[{\[]\s*(?:[{\[]\s*)?\"(?:[^\"\\\n]|\\.){0,256}\"\s*[:,\]]",
            "json",
            "text",
            "application/json",
        ),
    )
)
#: A formula in a cell that starts a program: nothing but spreadsheets reads it.
_DDE_CELL = re.compile(r"(?m)(?:^|[,;\t\"]) {0,8}[=+@-][^,;\t\n|]{1,64}\|\s*['\"/]")
_ROWS = 20
#: (separator, least columns, least rows): commas and semicolons stand in prose too.
_SEPARATORS = ((",", 3, 2), (";", 3, 2), ("\t", 2, 3), (";", 2, 4), (",", 2, 6))
_CELL_CHARACTERS = 64
_ENDS_OF_CODE = ("{", "}", "(", ");", "\\")


def find_form(text: str) -> Classification | None:
    """Return what a text is by how it begins."""
    text = text.lstrip()
    for beginning, name, super_type, mime in _BEGINNINGS:
        if beginning.match(text):
            return kind(name, super_type, mime)
    return None


def find_table(text: str) -> Classification | None:
    """Return whether rows of a text have the same columns, or a cell starts a program."""
    if _DDE_CELL.search(text[:4096]) or _has_columns(text):
        return kind("csv", "text", "text/csv")
    return None


def _has_columns(text: str) -> bool:
    rows = [row for row in text.rstrip("\n").split("\n", _ROWS)[:_ROWS] if row.strip()]
    return any(
        len(rows) >= least_rows and _is_table(rows, separator, least_columns)
        for separator, least_columns, least_rows in _SEPARATORS
    )


def _is_table(rows: list[str], separator: str, least_columns: int) -> bool:
    cells = _row(rows[0], separator).split(separator)
    # In prose a space follows the comma.
    spaced = sum(cell.startswith(" ") for cell in cells[1:])
    return (
        len(cells) >= least_columns
        and 2 * spaced < len(cells)
        and all(len(cell) <= _CELL_CHARACTERS for cell in cells)
        and not any(row.rstrip().endswith(_ENDS_OF_CODE) for row in rows)
        and len({_columns(row, separator) for row in rows}) == 1
    )


def _columns(row: str, separator: str) -> int:
    # What is quoted is one cell whatever it holds.
    return re.sub(r'"[^"]*"', "", _row(row, separator)).count(separator) + 1


def _row(row: str, separator: str) -> str:
    # What merely ends each line separates nothing.
    return row.rstrip("\r ").removesuffix(separator)
