"""
A store's folder and its files: private, and durable before anybody refers to them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlparse

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


def root_of(url: str) -> Path:
    """
    Return the folder that a path or a ``file:`` URL names.

    Raises:
        ValueError: It is another URL.
    """
    # A plain path is taken literally: it may hold a percent sign or a hash.
    if "://" not in url:
        return Path(url).absolute()
    parsed = urlparse(url)
    path = unquote(parsed.path)
    if parsed.scheme != "file" or parsed.netloc or not path.startswith("/"):
        raise ValueError(f"{url!r} is not a store")
    return Path(path)


def folder_of(url: str) -> Path | None:
    """Return the folder that a store's address names, ``None`` where it is none."""
    with suppress(ValueError):
        return root_of(url)
    return None


def make_root(root: Path, kept: str) -> None:
    """
    Make the folder, those above it and *kept* in it, unless they are there.

    Whoever finds no *kept* later has another folder before them: of one that was
    unmounted the place stays.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    for folder in (root, root / kept):
        if _make_private_folder(folder):
            _flush(folder.parent)


def _make_private_folder(path: Path) -> bool:
    """Return whether it was made; ``False`` if it was there."""
    try:
        path.mkdir(mode=_PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
        return False
    # A strict umask takes this user's own rights away.
    path.chmod(_PRIVATE_FOLDER)
    return True


def new_private_file(path: Path) -> BinaryIO:
    """Open a new file that this user alone can read."""
    _make_private_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = os.open(path, flags, _PRIVATE_FILE)
    os.fchmod(descriptor, _PRIVATE_FILE)
    return os.fdopen(descriptor, "wb")


def rename_durably(source: Path, target: Path) -> None:
    """Give a file its name, and let a power cut not take it back."""
    # The row that is committed next must not outlive the bytes in a power cut.
    _flush(source)
    for folder in (target.parents[2], target.parents[1], target.parent):
        if _make_private_folder(folder):
            _flush(folder.parent)
    source.replace(target)
    _flush(target.parent)


def remove_older(folder: Path, before: datetime) -> int:
    """Remove the files last written before *before*; return how many."""
    removed = 0
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                removed += 1
    return removed


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
