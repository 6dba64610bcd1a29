"""
What a process may reach: the replica's own protection, and the walls of a sandbox.

Owns the order in which the walls go up, and says which are missing on this machine. It
starts and ends no process. Standard library only: the sandbox child imports it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from workers.sandbox.inside import landlock, seccomp

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_KEEPCAPS = 1, 4, 8
_SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 36, 38
_CAP_CHOWN, _CAP_DAC_READ_SEARCH, _CAP_KILL, _CAP_SETGID, _CAP_SETUID = 0, 2, 5, 6, 7
_CAPABILITY_VERSION_3 = 0x20080522

_READ = landlock.READ_FILE | landlock.READ_DIR
_READ_AND_RUN = _READ | landlock.EXECUTE
_WRITE = (
    _READ
    | landlock.WRITE_FILE
    | landlock.TRUNCATE
    | landlock.REMOVE_DIR
    | landlock.REMOVE_FILE
    | landlock.MAKE_DIR
    | landlock.MAKE_REG
    | landlock.MAKE_SYM
    | landlock.REFER
)
_DEVICE = landlock.READ_FILE | landlock.WRITE_FILE

#: Programs, libraries and tables that any process needs. ``/etc`` as a whole stays out
#: of reach: it holds secrets.
_SYSTEM: dict[str, int] = {
    **dict.fromkeys(("/usr", "/bin", "/lib", "/lib64"), _READ_AND_RUN),
    **dict.fromkeys(
        (
            "/etc/ld.so.cache",
            "/etc/localtime",
            "/etc/mime.types",
            "/etc/magic",
            "/etc/ssl/certs",
            "/etc/ssl/openssl.cnf",
        ),
        _READ,
    ),
    **dict.fromkeys(("/dev/null", "/dev/zero", "/dev/full"), _DEVICE),
    **dict.fromkeys(("/dev/random", "/dev/urandom"), landlock.READ_FILE),
}
_NAMES_OF_HOSTS = dict.fromkeys(
    (
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/resolv.conf",
        "/etc/nsswitch.conf",
        "/etc/services",
        "/etc/protocols",
        "/etc/gai.conf",
    ),
    landlock.READ_FILE,
)

_MAX_FILES = 1024
#: Bytes; a file that an analyzer writes, its output on stdout included.
_MAX_FILE_BYTES = 1024**3
#: Only where a slot has a user, or a cgroup, of its own: the kernel counts processes
#: per user.
MAX_PROCESSES = 256

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Walls:
    """
    What the processes of one slot are confined to.

    ``uid``: user and group of its own, ``None`` to stay who we are (not root).
    ``slot``: its directory, readable. ``work``: below it, writable, nothing else is.
    ``code``: files and directories that it may read and run beside the system's.
    ``share``: a cgroup that limits them together, if there is one.
    """

    uid: int | None
    slot: Path
    work: Path
    code: tuple[str, ...]
    share: Path | None
    network: bool
    memory_bytes: int


def protect_process() -> None:
    """
    Close the memory and environment of the calling process to other processes.

    For a process that holds secrets: no core dump, no ptrace, and its ``environ``,
    ``mem`` and ``fd`` in ``/proc`` are root's alone. It also becomes the one to which
    what is left of a killed template falls, so that a sandbox can find and end it.
    """
    _prctl(_SET_DUMPABLE, 0)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def own_descendants() -> None:
    """Have every orphan below the calling process fall to it, not to init."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """
    Have the kernel send *how* when the parent, of pid *parent*, ends.

    The kernel means the parent's *thread* that forked: fork where a thread stays.
    """
    _prctl(_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)


def confine(walls: Walls) -> None:
    """
    Put up every wall that this kernel has around the calling process, for ever.

    Call it in a process with one thread, before it sees anything hostile. What holds
    afterwards is said in :mod:`workers.sandbox.sandbox`.

    Raises:
        OSError: A wall that this kernel has could not be put up.
    """
    ruleset = _prepared_ruleset(walls) if landlock.abi() else None
    parent = os.getppid()
    if walls.share is not None:
        (walls.share / "cgroup.procs").write_text("0")
    _set_limits(walls)
    _be_killed_first()
    if walls.uid is not None:
        _become(walls.uid, keep_reading=ruleset is not None and _is_private(walls))
    _prctl(_SET_DUMPABLE, 0)
    # After the change of user, which clears it.
    end_with_parent(parent)
    own_descendants()
    _prctl(_SET_NO_NEW_PRIVS, 1)
    if ruleset is not None:
        landlock.restrict(ruleset)
    if seccomp.is_supported():
        seccomp.install(network=walls.network, signal_only=_only_signal(walls))


def prepared_layer(walls: Walls) -> int:
    """
    Return a Landlock layer that keeps a child from signalling whoever is not its own.

    Raises:
        OSError: The kernel refused; where it :func:`has_scopes` it should not.
    """
    return landlock.prepare_scope(str(walls.work))


def tie(parent: int, layer: int | None) -> None:
    """
    Tie the calling process to its parent, of pid *parent*, for ever.

    Args:
        layer: Of the process's own, so that not even its parent takes its signals;
            ``None`` where the walls alone stand.

    Raises:
        OSError: What this kernel has could not be done.
    """
    if layer is not None:
        landlock.restrict(layer)
    # The walls let both be said again, and not be taken back.
    end_with_parent(parent)
    own_descendants()


def has_scopes() -> bool:
    """Whether this kernel can keep a process from signalling those outside."""
    return landlock.abi() >= landlock.SCOPE_ABI


def missing_walls() -> tuple[str, ...]:
    """Return one sentence per wall that this machine lacks, each with what follows."""
    version = landlock.abi()
    missing = []
    if version == 0:
        missing.append(
            "no Landlock: an analyzer can read and write every file that its user can;"
            " use Linux 5.13 or newer with landlock in its lsm= list"
        )
    elif version < landlock.TRUNCATE_ABI:
        missing.append(
            f"Landlock ABI {version}: an analyzer can empty files that its user can"
            " write; use Linux 6.2 or newer"
        )
    if version < landlock.SCOPE_ABI:
        missing.append(
            "no scope of signals in Landlock: each analysis costs milliseconds more;"
            " use Linux 6.12 or newer"
        )
    if not seccomp.is_supported():
        missing.append(
            "no seccomp filter for this machine: an analyzer can open sockets and has"
            " every system call; use Linux on x86-64 or arm64"
        )
    if os.geteuid() == 0 and not can_change_user():
        missing.append(
            "root without CAP_SETUID, CAP_SETGID, CAP_CHOWN and CAP_KILL: analyzers run"
            " as root; give the capabilities or run the replica as an ordinary user"
        )
    return tuple(missing)


def can_change_user() -> bool:
    """Whether this process may give a child a user of its own, and govern it."""
    wanted = (_CAP_CHOWN, _CAP_KILL, _CAP_SETGID, _CAP_SETUID)
    return all(_effective_capabilities() >> capability & 1 for capability in wanted)


def code_paths(modules: Mapping[str, ModuleType]) -> tuple[str, ...]:
    """
    Return what of this process's code a child may read: as little as keeps it working.

    The interpreter's and every ``site-packages`` tree as a whole; of any other entry of
    ``sys.path`` (a project's root may hold secrets) the packages and files in *modules*
    (``sys.modules``), which the import of the analyzer has loaded.
    """
    # Not the prefix itself: a project may have made its root a virtual environment.
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    parts = ("bin", "lib", "lib64", "share", "pyvenv.cfg")
    trees = [f"{prefix}/{part}" for prefix in sorted(prefixes) for part in parts]
    trees += [
        entry
        for entry in sys.path
        if entry.endswith(("site-packages", "dist-packages"))
    ]
    trees = [str(Path(tree).resolve()) for tree in trees]
    loaded = {_root_of(name, modules) for name in list(modules)}
    outside = (
        path
        for path in loaded
        if path and not any(_is_below(path, tree) for tree in trees)
    )
    return tuple(dict.fromkeys([*trees, *sorted(outside)]))


def _root_of(name: str, modules: Mapping[str, ModuleType]) -> str | None:
    # The outermost package that has a file; a namespace package has none, and is
    # merely a folder.
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = modules.get(".".join(parts[:end]))
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            path = Path(file).resolve()
            return str(path.parent if hasattr(module, "__path__") else path)
    return None


def _is_below(path: str, tree: str) -> bool:
    return Path(path).is_relative_to(tree)


def _prepared_ruleset(walls: Walls) -> int:
    paths = dict(_SYSTEM)
    paths.update(dict.fromkeys(walls.code, _READ_AND_RUN))
    paths.update(_NAMES_OF_HOSTS if walls.network else {})
    paths[str(walls.slot)] = _READ
    paths[str(walls.work)] = _WRITE
    return landlock.prepare(landlock.Ruleset(paths=paths, tcp=walls.network))


def _set_limits(walls: Walls) -> None:
    _lower(resource.RLIMIT_AS, walls.memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _MAX_FILES)
    _lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    _lower(resource.RLIMIT_MEMLOCK, 0)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    if walls.uid is not None:
        _lower(resource.RLIMIT_NPROC, MAX_PROCESSES)


def _lower(what: int, limit: int) -> None:
    hard = resource.getrlimit(what)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (limit, limit))


def _be_killed_first() -> None:
    # When the machine runs out of memory the kernel shall take the analysis, not the
    # replica. Some containers forbid it; then the kernel's own choice stands.
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return


def _become(uid: int, *, keep_reading: bool) -> None:
    # An interpreter below a private home directory could not be read by another user.
    # There the one capability that reads is kept: Landlock still decides what.
    if keep_reading:
        _prctl(_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if keep_reading:
        _prctl(_SET_KEEPCAPS, 0)
        _set_capabilities(1 << _CAP_DAC_READ_SEARCH)


def _is_private(walls: Walls) -> bool:
    code = [Path(path) for path in walls.code if Path(path).exists()]
    readable = all(path.stat().st_mode & 0o4 for path in code)
    return not (
        readable and all(_is_on_a_public_way(path) for path in [*code, walls.slot])
    )


def _is_on_a_public_way(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o1 for parent in path.parents)


def _only_signal(walls: Walls) -> int | None:
    return None if walls.uid is not None or has_scopes() else os.getpid()


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _set_capabilities(mask: int) -> None:
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)(_CapabilityData(mask, mask, 0), _CapabilityData())
    _check(_libc.capset(ctypes.byref(header), data), "capset")


def _effective_capabilities() -> int:
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    _check(_libc.capget(ctypes.byref(header), data), "capget")
    return int(data[0].effective) | int(data[1].effective) << 32


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
