"""
The files that somebody named on a command line, and what is wrong with some of them.

Looked at before anything is sent: whoever mistyped a name hears it first.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.domain.errors import InvalidError

STDIN = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A file, and as what it is shown: in a folder, by its path from there."""

    source: Path | BinaryIO
    shown: str

    @property
    def size_bytes(self) -> int:
        """Its length; 0 where it is not known."""
        try:
            return self.source.stat().st_size if isinstance(self.source, Path) else 0
        except OSError:
            return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Unusable:
    """A name with which nothing can be done, and why."""

    shown: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was named: files, and what is wrong with others."""

    files: list[Named]
    unusable: list[Unusable]


def find_sources(paths: Sequence[Path], *, limit_bytes: int | None = None) -> Found:
    """
    Return the files named, and those in the folders named, in order.

    Args:
        paths: ``-`` is standard input.
        limit_bytes: How large a sample may be, where it is known.

    Raises:
        InvalidError: There is nothing at all in what was named.
    """
    found = Found(files=[], unusable=[])
    for path in paths:
        for each in _look(path, limit_bytes):
            if isinstance(each, Named):
                found.files.append(each)
            else:
                found.unusable.append(each)
    if not found.files and not found.unusable:
        raise InvalidError("there are no files in what was named", field="FILE")
    return found


def _look(path: Path, limit_bytes: int | None) -> Iterator[Named | Unusable]:
    if str(path) == STDIN:
        yield _standard_input()
    elif _is_folder(path):
        yield from _walk(path, limit_bytes)
    else:
        yield _judge(path, str(path), limit_bytes)


def _walk(folder: Path, limit_bytes: int | None) -> Iterator[Named | Unusable]:
    closed: list[OSError] = []
    files: list[Path] = []
    for place, _, names in os.walk(folder, onerror=closed.append):
        files += (Path(place, name) for name in names)
    for error in closed:
        yield Unusable(shown=str(error.filename), why=f"{error.strerror}".lower())
    for file in sorted(files):
        if _may_be_sample(file):
            yield _judge(file, str(file.relative_to(folder)), limit_bytes)


def _standard_input() -> Named | Unusable:
    # Python has none where the shell has closed it.
    if sys.stdin is None:
        return Unusable(shown=STDIN, why="is closed")
    return Named(source=sys.stdin.buffer, shown=STDIN)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # Too long, or behind a folder that one may not enter: it is judged as a file.
        return False


def _may_be_sample(path: Path) -> bool:
    """Whether it is a file: sockets and links that lead nowhere are no samples."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError:
        # What it is cannot be seen, and that is to be said.
        return True
    except OSError:
        return False


def _judge(path: Path, shown: str, limit_bytes: int | None) -> Named | Unusable:
    try:
        size = path.stat().st_size
    except OSError as error:
        return Unusable(shown=shown, why=f"{error.strerror}".lower())
    if not path.is_file():
        return Unusable(shown=shown, why="is neither a file nor a folder")
    if not os.access(path, os.R_OK):
        return Unusable(shown=shown, why="permission denied")
    if limit_bytes is not None and size > limit_bytes:
        why = f"is larger than {limit_bytes} bytes (ASSAY_SAMPLE_MAX_BYTES)"
        return Unusable(shown=shown, why=why)
    return Named(source=path, shown=shown)
