"""
From where a replica reads samples: the folders and hosts that it was given, no others.

An assignment says where the bytes are, and whoever can write into the worker's queue
says it too. So nothing is opened, and nobody is asked, on a message's word alone. Reads
no bytes.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

#: What one path of the API may look like: with anything else in it (a second slash, an
#: @, a dot) it could lead, token and all, to another host or another page.
_API_PATH = re.compile(r"/internal(?:/[A-Za-z0-9_-]+)+")

_PORTS = {"http": 80, "https": 443}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK the opening of a FIFO would wait for somebody to write to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: What opening a link says, where it is to be a folder or a file.
_IS_LINK = frozenset({errno.ELOOP, errno.ENOTDIR})
#: No names of a file.
_NO_NAMES = frozenset({"", ".", ".."})
_SHOWN_CHARACTERS = 200


class RefusedSourceError(Exception):
    """This replica reads no samples there; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is asked for samples; without ``port`` at any."""

    name: str
    port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """``roots``: absolute folders that hold samples. ``hosts``: who signs URLs."""

    roots: tuple[Path, ...] = ()
    hosts: tuple[Host, ...] = ()

    def open(self, value: str) -> BinaryIO:
        """
        Open the regular file *value*, below one of the roots, for reading.

        Links are followed as far as they stay below the root.

        Raises:
            RefusedSourceError: It is not below a root, or no regular file.
            OSError: It is not there, or cannot be read.
        """
        found = self._open_as_written(value) if _names_a_file(value) else None
        if found is None:
            found = _open_below(*self._below_a_root(value))
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise RefusedSourceError(
                f"where.value: {_shown(value)} is no regular file; a store's are"
            )
        return os.fdopen(found, "rb", buffering=0)

    def check_url(self, value: str) -> str:
        """
        Return *value* if it is a URL of one of the hosts.

        Raises:
            RefusedSourceError: It is not.
        """
        try:
            url = httpx.URL(value)
        except (httpx.InvalidURL, ValueError):
            raise RefusedSourceError("where.value: is not a URL") from None
        if url.scheme not in _PORTS or url.userinfo or not url.host:
            raise RefusedSourceError(
                "where.value: a URL of a sample is http:// or https:// and a host,"
                " without a user"
            )
        port = url.port or _PORTS[url.scheme]
        if Host(url.host) in self.hosts or Host(url.host, port) in self.hosts:
            return value
        # The rest of it is signed, which makes it a secret.
        asked = f"{_shown(url.host)}, port {port}"
        raise RefusedSourceError(
            f"where.value: {asked}: is not a host from which this replica reads"
            " samples; name it in ASSAY_SAMPLE_HOSTS if it is your store's"
        )

    def _open_as_written(self, value: str) -> int | None:
        """Open it if no link is on the way, as in a store of ours; else ``None``."""
        for root in map(str, self.roots):
            inside = value.removeprefix(f"{root}/")
            parts = inside.split("/")
            if inside == value or not _NO_NAMES.isdisjoint(parts):
                continue
            try:
                return _open_below(root, parts)
            except OSError as error:
                if error.errno not in _IS_LINK:
                    raise
        return None

    def _below_a_root(self, value: str) -> tuple[str, tuple[str, ...]]:
        if not self.roots:
            raise RefusedSourceError(
                "where.kind: this replica was given no folder to read samples from;"
                " set ASSAY_SAMPLE_ROOT to the store's folder where it is shared, or"
                " unset ASSAY_SAMPLES_SHARED at the dispatcher"
            )
        if not value.startswith("/") or not _names_a_file(value):
            raise RefusedSourceError(
                "where.value: a path is absolute, of UTF-8 and without NUL"
            )
        real = os.path.realpath(value)
        for root in self.roots:
            real_root = os.path.realpath(root)
            if real.startswith(f"{real_root.rstrip('/')}/"):
                return real_root, Path(real).relative_to(real_root).parts
        raise RefusedSourceError(
            f"where.value: {_shown(value)} is not below ASSAY_SAMPLE_ROOT; set that to"
            " the store's folder if this is in it"
        )


def _open_below(root: str, parts: Sequence[str]) -> int:
    at = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)


def check_api_path(value: str) -> str:
    """
    Return *value* if it is a path of the API's ``/internal/``.

    Raises:
        RefusedSourceError: It is not: the attempt's token would go elsewhere.
    """
    if _API_PATH.fullmatch(value) is None:
        raise RefusedSourceError(
            f"where.value: {_shown(value)} is no path below /internal/ of the API at"
            " ASSAY_API_URL; the orchestrator sends no other"
        )
    return value


def _names_a_file(value: str) -> bool:
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])
