"""
The commands of a page that is to be copied: its ``sh`` blocks, each of which says in
its first line on which machines it is typed. It types nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PART = re.compile(
    r"^## ([^\n]+)$|^```sh\n# ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)

#: Behind the names of machines, where packages are fetched.
_FETCHES = ": fetches packages"


@dataclass(frozen=True, kw_only=True)
class Block:
    """
    What is typed, on which machines, in which part of the page.

    ``fetches``: whether it needs a network on which there are packages.
    """

    part: str
    machines: Sequence[str]
    fetches: bool
    text: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    found = []
    part = ""
    for heading, head, text in _PART.findall(page):
        if heading:
            part = heading
            continue
        found.append(
            Block(
                part=part,
                machines=head.removesuffix(_FETCHES).split(", "),
                fetches=head.endswith(_FETCHES),
                text=text,
            )
        )
    return found
