"""
Tells versions from addresses: both are four numbers with dots between them.

Judges by what stands before them and by the numbers; it parses no address.
"""

from __future__ import annotations

import re

#: Characters before a number in which a word would say that it is a version.
_BEFORE_CHARACTERS = 40
_VERSION_WORD = re.compile(
    r"(?:version|\bver|\brev|revision|release|build|assembly|runtime|framework"
    r"|firmware|\bsection|\bclause|\bchapter|\bv|\boid)[\w]{0,16}"
    r"[\s\"'=:>(,.\[/-]{0,8}\Z"
    # A requirement, the file of a package, a product as browsers name themselves.
    r"|[=<>!~]=\s?\Z|[a-z]_\Z|(?-i:\b[A-Z][A-Za-z]{2,20}/\Z)",
    re.IGNORECASE,
)
#: Names of objects, which certificates are full of: of X.500, and of organisations.
_OBJECT_NAMES = ("2.5.4.", "2.5.29.", "1.3.6.1", "1.3.14.", "1.3.101.", "0.9.", "2.16.")
_FOUR_NUMBERS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\Z")


def reads_as_version(number: str, before: str) -> bool:
    """
    Whether four dotted numbers are a version or an object's name, and no address.

    Args:
        number: As it stands, ``1.2.3.4``.
        before: The text in front of it, as much as there is.
    """
    # Nobody's host has such an address; releases are numbered so.
    if number.startswith("0.") or number.endswith((".0.0", ".0.0.0")):
        return number != "0.0.0.0"  # noqa: S104  (an address that means all)
    if number.startswith(_OBJECT_NAMES):
        return True
    return _VERSION_WORD.search(before[-_BEFORE_CHARACTERS:]) is not None


def is_version(number: str, text: str) -> bool:
    """Whether *number* is four dotted numbers that *text* uses as a version only."""
    if not _FOUR_NUMBERS.match(number):
        return False
    at = text.find(number)
    while at >= 0:
        before = text[max(0, at - _BEFORE_CHARACTERS) : at]
        if not reads_as_version(number, before):
            return False
        at = text.find(number, at + len(number))
    return True
