"""
Programs by their first bytes: of Windows, Linux, macOS, Java, Python and the rest.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from orchestrator.classify.ends import Ends
from orchestrator.classify.kinds import kind, program
from orchestrator.contracts.assignment import Classification

_PE_ARCHES: Mapping[int, str] = {
    0x14C: "x86",
    0x162: "mips",
    0x166: "mips",
    0x1A2: "sh",
    0x1A6: "sh",
    0x1C0: "arm",
    0x1C2: "arm",
    0x1C4: "arm",
    0x1F0: "ppc",
    0x200: "ia64",
    0x284: "alpha",
    0xEBC: "efi",
    0x5032: "riscv",
    0x5064: "riscv",
    0x6232: "loongarch",
    0x6264: "loongarch",
    0x8664: "x86_64",
    0xA641: "arm64",
    0xA64E: "arm64",
    0xAA64: "arm64",
}
#: What else than PE stands where the DOS header points to: (type, platform).
_OTHER_MZ: Mapping[bytes, tuple[str, str]] = {
    b"NE": ("ne", "windows"),
    b"LE": ("le", "windows"),
    b"LX": ("lx", "os2"),
}
_ELF_ARCHES: Mapping[int, str] = {
    2: "sparc",
    3: "x86",
    4: "m68k",
    6: "x86",
    8: "mips",
    10: "mips",
    15: "hppa",
    18: "sparc",
    20: "ppc",
    21: "ppc64",
    22: "s390",
    23: "spu",
    39: "arm",
    40: "arm",
    41: "alpha",
    42: "sh",
    43: "sparc64",
    45: "arc",
    50: "ia64",
    62: "x86_64",
    75: "vax",
    76: "cris",
    83: "avr",
    88: "m32r",
    92: "openrisc",
    93: "arc",
    94: "xtensa",
    105: "msp430",
    106: "blackfin",
    113: "nios2",
    164: "hexagon",
    180: "mips",
    183: "arm64",
    188: "tile",
    189: "microblaze",
    190: "cuda",
    191: "tile",
    195: "arc",
    224: "amdgpu",
    243: "riscv",
    247: "bpf",
    252: "csky",
    253: "arc",
    258: "loongarch",
    0x9026: "alpha",
    0xA390: "s390",
    0xABC7: "xtensa",
    0xBAAB: "microblaze",
    0xBEEF: "nios2",
}
_ELF_64_BIT = 2
#: What is no program, but the memory of one that died.
_ELF_CORE = 4
#: Machines of which the class of the file says how wide they are.
_ELF_WIDE: Mapping[str, str] = {"s390": "s390x", "sparc": "sparc64"}
#: What most systems write (0) and what Linux may write (3) is Linux.
_ELF_PLATFORMS: Mapping[int, str] = {
    2: "netbsd",
    6: "solaris",
    9: "freebsd",
    12: "openbsd",
}
_MACHO_ARCHES: Mapping[int, str] = {
    6: "m68k",
    7: "x86",
    11: "hppa",
    12: "arm",
    14: "sparc",
    18: "ppc",
    0x01000007: "x86_64",
    0x0100000C: "arm64",
    0x0200000C: "arm64",
    0x01000012: "ppc64",
}
_MACHO_ORDERS: Mapping[bytes, str] = {
    b"\xce\xfa\xed\xfe": "<",
    b"\xcf\xfa\xed\xfe": "<",
    b"\xfe\xed\xfa\xce": ">",
    b"\xfe\xed\xfa\xcf": ">",
}
#: Universal binaries; the first is the magic of Java classes too.
_FAT_MAGICS = {b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"}
#: The version of the first Java class file; no universal binary has so many parts.
_FIRST_JAVA_VERSION = 45

#: A version, CR LF, one to three words of flags, time and size, and a marshalled code.
_PYC = re.compile(
    rb"(?s)(?:.[\x0b-\x0e]|[\x03\x04\xd1\xb3\x3b\x6d][\xf2\xf3])\r\n"
    rb".{4}(?:.{4}|.{8})?[c\xe3]"
)
#: (magic, type, platform, architecture, MIME type).
_OTHERS: tuple[tuple[bytes, str, str, str, str], ...] = (
    (b"dex\n0", "dex", "android", "dalvik", "application/vnd.android.dex"),
    (b"\0asm", "wasm", "any", "wasm", "application/wasm"),
    (b"\x1bLua", "lua_bytecode", "any", "lua", "application/x-lua-bytecode"),
    (b"BC\xc0\xde", "llvm_bitcode", "any", "llvm", "application/x-llvm"),
)


def find_executable(ends: Ends) -> Classification | None:
    """Return what program this is, by its first bytes and where they point to."""
    head = ends.head
    if head[:2] == b"MZ":
        return _dos_or_pe(ends)
    if head[:4] == b"\x7fELF" and len(head) >= 20:
        return _elf(head)
    if head[:4] in _MACHO_ORDERS and len(head) >= 8:
        return _macho(_macho_arch(head))
    if head[:4] in _FAT_MAGICS and len(head) >= 8:
        return _java_or_fat(head)
    if _PYC.match(head):
        return program("pyc", "python", "python", "application/x-python-code")
    for magic, name, platform, arch, mime in _OTHERS:
        if head.startswith(magic):
            return program(name, platform, arch, mime)
    return None


def _dos_or_pe(ends: Ends) -> Classification | None:
    # The header is never without zeros; a text may begin with these two letters.
    if b"\0" not in ends.head[:64] and len(ends.head) > 2:
        return None
    if len(ends.head) >= 0x40:
        offset = struct.unpack_from("<I", ends.head, 0x3C)[0]
        header = ends.at(offset, 6)
        if header[:4] == b"PE\0\0" and len(header) == 6:
            arch = _PE_ARCHES.get(int.from_bytes(header[4:], "little"))
            mime = "application/vnd.microsoft.portable-executable"
            return program("pe", "windows", arch, mime)
        if header[:2] in _OTHER_MZ:
            name, platform = _OTHER_MZ[header[:2]]
            return program(name, platform, "x86", "application/x-dosexec")
    return program("dos", "dos", "x86", "application/x-dosexec")


def _elf(head: bytes) -> Classification:
    order = ">" if head[5] == 2 else "<"
    if struct.unpack_from(f"{order}H", head, 16)[0] == _ELF_CORE:
        return kind("elf_core", "data", "application/x-coredump")
    arch = _ELF_ARCHES.get(struct.unpack_from(f"{order}H", head, 18)[0])
    if head[4] == _ELF_64_BIT and arch is not None:
        arch = _ELF_WIDE.get(arch, arch)
    platform = _ELF_PLATFORMS.get(head[7], "linux")
    return program("elf", platform, arch, "application/x-elf")


def _java_or_fat(head: bytes) -> Classification | None:
    count = int.from_bytes(head[4:8], "big")
    if head[3] == 0xBE and count & 0xFFFF >= _FIRST_JAVA_VERSION:
        return program("java_class", "java", "jvm", "application/java-vm")
    if not 0 < count < _FIRST_JAVA_VERSION:
        return None
    arch = None
    if count == 1 and len(head) >= 12:
        arch = _MACHO_ARCHES.get(int.from_bytes(head[8:12], "big"))
    return _macho(arch)


def _macho_arch(head: bytes) -> str | None:
    cpu: int = struct.unpack_from(f"{_MACHO_ORDERS[head[:4]]}I", head, 4)[0]
    return _MACHO_ARCHES.get(cpu)


def _macho(arch: str | None) -> Classification:
    return program("macho", "macos", arch, "application/x-mach-binary")
