"""
JSON as a tree that people can open, and what differs between two of them.

Numbers are written as they are: a browser that read them as numbers would change those
above 2^53.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: Values of a tree that are shown, and levels; the rest of it the command shows.
_NODES_MAX: Final = 2_000
_DEPTH_MAX: Final = 24

#: Characters of a value; of two that differ less.
_TEXT_MAX: Final = 4_000
_SIDE_MAX: Final = 300

#: Differences that are listed, and values that are compared.
DIFFERENCES_MAX: Final = 200
_COMPARED_MAX: Final = 50_000

#: A part of so few values is open at first.
_OPEN_MAX: Final = 12


@dataclass(slots=True)
class Branch:
    """
    A value and what is in it.

    ``text``: of one that has nothing in it; ``size``: of one that has, how many.
    ``left_out``: how many of those are not here.
    """

    key: str
    text: str | None = None
    size: int = 0
    children: list[Branch] = field(default_factory=list)
    left_out: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is shown open at first."""
        return self.size <= _OPEN_MAX or not self.key


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not what it was; ``None``: it was, or is, not there."""

    path: str
    before: str | None
    after: str | None


def grow(value: Any) -> Branch:
    """Return JSON as a tree, the first part of it where it is large."""
    return _grow("", value, _Budget(), depth=0)


def compare(before: Any, after: Any) -> list[Difference]:
    """Return what differs, at most :data:`DIFFERENCES_MAX` values, by their path."""
    old, new = _leaves(before), _leaves(after)
    found = []
    for path in dict.fromkeys((*old, *new)):
        if old.get(path) != new.get(path):
            found.append(Difference(path, old.get(path), new.get(path)))
        if len(found) == DIFFERENCES_MAX:
            break
    return found


class _Budget:
    def __init__(self) -> None:
        self.left = _NODES_MAX


def _grow(key: str, value: Any, budget: _Budget, *, depth: int) -> Branch:
    budget.left -= 1
    pairs = _pairs(value)
    if pairs is None or not pairs:
        return Branch(key, text=_text(value)[:_TEXT_MAX])
    branch = Branch(key, size=len(pairs))
    for name, child in pairs:
        if budget.left <= 0 or depth >= _DEPTH_MAX:
            branch.left_out = branch.size - len(branch.children)
            break
        branch.children.append(_grow(name, child, budget, depth=depth + 1))
    return branch


def _pairs(value: Any) -> Sequence[tuple[str, Any]] | None:
    if isinstance(value, Mapping):
        return [(str(name), child) for name, child in value.items()]
    if isinstance(value, list | tuple):
        return [(str(place), child) for place, child in enumerate(value)]
    return None


def _leaves(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, leaf in _walk("", value):
        if len(found) == _COMPARED_MAX:
            break
        found[path or "(all)"] = _text(leaf)[:_SIDE_MAX]
    return found


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    pairs = _pairs(value)
    if not pairs:
        yield path, value
        return
    is_list = not isinstance(value, Mapping)
    for name, child in pairs:
        step = f"[{name}]" if is_list else f".{name}" if path else name
        yield from _walk(path + step, child)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
