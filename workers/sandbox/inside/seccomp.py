"""
A seccomp filter, assembled here: which system calls a sandbox child is refused.

A list of refusals, not of permissions: native parsers use what they like of the rest.
System calls that are newer than this list answer ENOSYS, as on an older kernel.
Standard library only. Numbers: the kernel's syscall tables for x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
from collections.abc import Iterable, Sequence

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT = 0x20, 0x15, 0x25, 0x45
_AND, _RETURN = 0x54, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16

#: Machine: (AUDIT_ARCH_…, column in the tables below).
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_BIT = 0x40000000
#: ``mseal``; what comes later is unknown here and answers ENOSYS.
_LAST_KNOWN = 462

#: CLONE_NEW* as the flags of clone(2) have them: every kind of namespace. With
#: CLONE_PARENT a process makes siblings, which nobody would look for below it.
_NEW_NAMESPACE, _PARENT = 0x7E020000, 0x00008000
_STREAM, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
#: F_SETOWN and F_SETOWN_EX; FIOSETOWN and SIOCSPGRP: whom a file signals.
_OWNERS_BY_FCNTL, _OWNERS_BY_IOCTL = (8, 15), (0x8901, 0x8902)
#: F_SETSIG: with which signal. With SIGCONT it would wake who was told to rest.
_SIGNALS_BY_FCNTL: tuple[int, ...] = (10,)
#: FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS and FS_IOC_FSSETXATTR: the folder that all samples
#: of a slot have would keep what one has set.
_FLAGS_OF_FILES: tuple[int, ...] = (0x40086602, 0x40046602, 0x401C5820)

# (x86-64, arm64); None: the architecture has no such call.
_REACHES_OTHER_PROCESSES = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}
_REACHES_THE_KERNEL = {
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "fanotify_init": (300, 262),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "memfd_secret": (447, 447),
}
_REACHES_OTHER_FILES = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Landlock does not govern owners and attributes, and the user may be the replica's.
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
#: Memory and queues that outlive an analysis and are shared by number, not by file.
_SHARED_BY_NUMBER = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
#: Modes: answered with success and not done, because everything that copies or extracts
#: files sets them, nobody here reads them, and a path may lead outside.
_PRETENDED = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
}
_NETWORK = {
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
}
#: Signals that name their target in the first argument.
_SIGNALS = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
_OTHER_SIGNALS = {"tkill": (200, 130), "pidfd_send_signal": (424, 424)}
_CLONE, _CLONE3, _TIMER_CREATE = (56, 220), (435, 435), (222, 107)
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_PRCTL, _PRLIMIT, _SET_AFFINITY = (157, 167), (302, 261), (203, 122)
_FCNTL, _IOCTL = (72, 25), (16, 29)

Numbers = tuple[int, int | None]
Instruction = tuple[int, int, int, int]
Program = list[Instruction]

_libc = ctypes.CDLL(None, use_errno=True)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def is_supported() -> bool:
    """Whether this machine's architecture is in the tables and its kernel filters."""
    return platform.machine() in _MACHINES and _libc.prctl(21, 0, 0, 0, 0) >= 0


def install(*, network: bool, signal_only: int | None) -> None:
    """
    Refuse for ever, in this process and all it starts, what the tables above name.

    Args:
        network: Leave sockets of IPv4 and IPv6 alone (Unix sockets are refused still).
        signal_only: Refuse signals to any process but this pid and the own group; for
            kernels where nothing else does.

    Raises:
        OSError: The kernel refused; ``no_new_privs`` is not set, or it has no seccomp.
    """
    code = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in _assemble(network=network, signal_only=signal_only)
    )
    program = _FilterProgram(len(code) // 8, code)
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _assemble(*, network: bool, signal_only: int | None) -> Program:
    arch, column = _MACHINES[platform.machine()]
    program = _head(arch)
    for table in (
        _REACHES_OTHER_PROCESSES,
        _REACHES_THE_KERNEL,
        _REACHES_OTHER_FILES,
        _SHARED_BY_NUMBER,
    ):
        program += _refuse(table.values(), column, errno.EPERM)
    program += _refuse(_PRETENDED.values(), column, 0)
    # What they do is in memory, where a filter cannot look: namespaces; a signal of
    # choice to itself, as SIGCONT while it rests. Callers fall back to clone and alarm.
    program += _refuse([_CLONE3, _TIMER_CREATE], column, errno.ENOSYS)
    program += _network_rules(column, network=network)
    program += _argument_rules(column)
    fcntls, ioctls = _SIGNALS_BY_FCNTL, _FLAGS_OF_FILES
    if signal_only is not None:
        program += _signal_rules(column, signal_only)
        fcntls += _OWNERS_BY_FCNTL
        ioctls += _OWNERS_BY_IOCTL
    program += _none_of(_FCNTL, column, argument=1, values=fcntls)
    program += _none_of(_IOCTL, column, argument=1, values=ioctls)
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _head(arch: int) -> Program:
    return [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JUMP_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        # Numbers with the x32 bit are another table's on the same architecture.
        (_JUMP_ANY_BIT, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_JUMP_ABOVE, 0, 1, _LAST_KNOWN),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]


def _network_rules(column: int, *, network: bool) -> Program:
    if network:
        return _only_if(_SOCKET, column, argument=0, one_of=[_INET, _INET6, _NETLINK])
    return _refuse(_NETWORK.values(), column, errno.EPERM)


def _argument_rules(column: int) -> Program:
    return [
        *_refuse_if(_CLONE, column, [(_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACE | _PARENT)]),
        # A datagram pair could be pointed at any named socket; a stream pair cannot.
        *_only_if(_SOCKETPAIR, column, argument=1, one_of=[_STREAM], mask=0xF),
        *_only_if(_PRLIMIT, column, argument=0, one_of=[0]),
        *_only_if(_SET_AFFINITY, column, argument=0, one_of=[0]),
        *_for_call(_PRCTL, column, _tied()),
    ]


def _tied() -> Program:
    # What ties the process tree together may be tied again, by a new child, and not be
    # untied from within.
    refused, allowed = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    return [
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS),
        (_JUMP_EQUAL, 0, 4, _SET_PDEATHSIG),
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8),
        (_JUMP_EQUAL, 0, 1, signal.SIGKILL),
        allowed,
        refused,
        (_JUMP_EQUAL, 0, 2, _SET_CHILD_SUBREAPER),
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8),
        (_JUMP_EQUAL, 0, 1, 1),
        allowed,
        refused,
    ]


def _signal_rules(column: int, signal_only: int) -> Program:
    program = _refuse(_OTHER_SIGNALS.values(), column, errno.EPERM)
    for numbers in _SIGNALS.values():
        program += _only_if(numbers, column, argument=0, one_of=[signal_only, 0])
    return program


def _refuse(calls: Iterable[Numbers], column: int, number: int) -> Program:
    program: Program = []
    for numbers in calls:
        if (call := numbers[column]) is not None:
            program.append((_JUMP_EQUAL, 0, 1, call))
            program.append((_RETURN, 0, 0, _ERRNO | number))
    return program


def _refuse_if(numbers: Numbers, column: int, tests: Program) -> Program:
    body = [
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS),
        *tests,
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return _for_call(numbers, column, body)


def _none_of(
    numbers: Numbers, column: int, *, argument: int, values: Sequence[int]
) -> Program:
    body: Program = [(_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * argument)]
    for left, value in zip(range(len(values), 0, -1), values, strict=True):
        body.append((_JUMP_EQUAL, left, 0, value))
    body.append((_RETURN, 0, 0, _ALLOW))
    body.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return _for_call(numbers, column, body)


def _only_if(
    numbers: Numbers,
    column: int,
    *,
    argument: int,
    one_of: Sequence[int],
    mask: int = 0xFFFFFFFF,
) -> Program:
    body: Program = [
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * argument),
        (_AND, 0, 0, mask),
    ]
    for left, value in zip(range(len(one_of), 0, -1), one_of, strict=True):
        body.append((_JUMP_EQUAL, left, 0, value))
    body.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    body.append((_RETURN, 0, 0, _ALLOW))
    return _for_call(numbers, column, body)


def _for_call(numbers: Numbers, column: int, body: Program) -> Program:
    call = numbers[column]
    if call is None:
        return []
    return [(_JUMP_EQUAL, 0, len(body), call), *body]
