"""
Landlock through raw system calls: which files, ports and signals a process may reach.

Decides nothing: the rules come from ``confinement``. Standard library only.
Source: the kernel's ``include/uapi/linux/landlock.h`` and userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

#: Rights that may be granted on something that is not a directory.
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_FIRST_ABI_RIGHTS = (1 << 13) - 1
_TCP_BIND_AND_CONNECT = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

#: The ABI that first knows a thing.
REFER_ABI, TRUNCATE_ABI, TCP_ABI, IOCTL_ABI, SCOPE_ABI = 2, 3, 4, 5, 6

_libc = ctypes.CDLL(None, use_errno=True)


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruleset:
    """
    What stays allowed.

    ``paths``: ``{path: rights}``; one that does not exist is left out.
    ``tcp``: whether TCP bind and connect stay allowed. Signals to and abstract sockets
    of processes outside are always refused, where the kernel can.
    """

    paths: Mapping[str, int] = field(default_factory=dict)
    tcp: bool = False


def abi() -> int:
    """Return the Landlock ABI of the running kernel, 0 where it has none."""
    version: int = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    return max(version, 0)


def prepare(ruleset: Ruleset) -> int:
    """
    Build *ruleset* and return its file descriptor; nothing is restricted yet.

    Raises:
        OSError: The kernel refused; with ENOSYS or EOPNOTSUPP it has no Landlock.
    """
    version = abi()
    handled = _handled_rights(version)
    attr = _RulesetAttr(
        handled,
        _TCP_BIND_AND_CONNECT if version >= TCP_ABI and not ruleset.tcp else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if version >= SCOPE_ABI else 0,
    )
    fd = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.sizeof(attr), 0)
    for path, rights in ruleset.paths.items():
        _allow(fd, path, rights & handled)
    return fd


def prepare_scope(folder: str) -> int:
    """
    Build a ruleset that refuses signals to whoever is outside of it, and nothing else.

    Args:
        folder: Below it files may still be moved from one folder to another, which
            older kernels refuse in any layer that does not allow it.

    Raises:
        OSError: The kernel refused; before :data:`SCOPE_ABI` it cannot.
    """
    attr = _RulesetAttr(REFER, 0, _ABSTRACT_SOCKETS_AND_SIGNALS)
    fd = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.sizeof(attr), 0)
    _allow(fd, folder, REFER)
    return fd


def restrict(ruleset_fd: int) -> None:
    """Bind the calling thread, and all it will ever start, to a prepared ruleset."""
    _call(_RESTRICT_SELF, ruleset_fd, 0)
    os.close(ruleset_fd)


def _handled_rights(version: int) -> int:
    rights = _FIRST_ABI_RIGHTS
    rights |= REFER if version >= REFER_ABI else 0
    rights |= TRUNCATE if version >= TRUNCATE_ABI else 0
    rights |= IOCTL_DEV if version >= IOCTL_ABI else 0
    return rights


def _allow(ruleset_fd: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112  (a str all the way: it is hot)
            rights &= _FILE_RIGHTS
        attr = _PathBeneathAttr(rights, fd)
        _call(_ADD_RULE, ruleset_fd, _PATH_BENEATH, ctypes.byref(attr), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
