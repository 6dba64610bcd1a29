"""
Builds the smallest valid PE, ELF and Mach-O files that end as soon as they start.

Each has one section of code and a correct header, so that any parser accepts it. The
filler goes behind the mapped part, where loaders do not look.
"""

from __future__ import annotations

import struct

from orchestrator.demo.files.recipe import Recipe

_X86_64_RETURN_ZERO = b"\x31\xc0\xc3"
_X86_64_LINUX_EXIT_ZERO = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"

_PE_BASE = 0x140000000
_PE_TEXT, _PE_DATA = 0x1000, 0x2000
_DOS_STUB = (
    bytes.fromhex("0e1fba0e00b409cd21b8014ccd21")
    + b"This program cannot be run in DOS mode.\r\r\n$"
)


def pe(recipe: Recipe) -> bytes:
    """Build a 64-bit Windows console program; its entry point returns zero."""
    dos = struct.pack("<2s58xI", b"MZ", 0x80) + _DOS_STUB
    sections = _pe_section(b".text", _PE_TEXT, 0x200, 0x60000020)
    sections += _pe_section(b".rdata", _PE_DATA, 0x400, 0x40000040)
    headers = dos.ljust(0x80, b"\0") + _pe_headers() + sections
    code = _X86_64_RETURN_ZERO.ljust(0x200, b"\xcc")
    data = _pe_imports(recipe.label).ljust(0x200, b"\0")
    return headers.ljust(0x200, b"\0") + code + data + recipe.filler


def _pe_headers() -> bytes:
    coff = struct.pack("<4s2H3I2H", b"PE\0\0", 0x8664, 2, 0x65000000, 0, 0, 240, 0x22)
    standard = struct.pack("<H2B5I", 0x20B, 14, 0, 0x200, 0x200, 0, _PE_TEXT, _PE_TEXT)
    windows = struct.pack(
        # Alignments, versions, image and header size, subsystem (console), flags
        # (relocation unaware, NX compatible, no SEH), stack and heap, directories.
        "<Q2I6H4I2H4Q2I",
        *(_PE_BASE, 0x1000, 0x200, 6, 0, 0, 0, 6, 0),
        *(0, 0x3000, 0x200, 0, 3, 0x0500),
        *(0x100000, 0x1000, 0x100000, 0x1000, 0, 16),
    )
    directories = bytearray(16 * 8)
    struct.pack_into("<2I", directories, 8, _PE_DATA, 40)
    return coff + standard + windows + bytes(directories)


def _pe_section(name: bytes, address: int, offset: int, flags: int) -> bytes:
    return struct.pack(
        "<8s6I2HI", name, 0x200, address, 0x200, offset, 0, 0, 0, 0, flags
    )


def _pe_imports(label: str) -> bytes:
    """Lay out one import: descriptor, terminator, two thunk tables, names, a label."""
    lookup, table, function, library = (_PE_DATA + at for at in (40, 56, 72, 88))
    descriptor = struct.pack("<5I", lookup, 0, 0, library, table)
    thunks = struct.pack("<2Q", function, 0) * 2
    names = b"\0\0ExitProcess\0".ljust(16, b"\0") + b"KERNEL32.dll\0\0\0\0"
    return descriptor + bytes(20) + thunks + names + label.encode()


def elf(recipe: Recipe) -> bytes:
    """Build a static 64-bit Linux program; it exits with status zero."""
    base, headers = 0x400000, 64 + 56
    code = _X86_64_LINUX_EXIT_ZERO
    names = b"\0.text\0.shstrtab\0"
    names_at = headers + len(code)
    table_at = names_at + len(names)
    ident = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header = ident + struct.pack(
        *("<2HI3QI6H", 2, 62, 1, base + headers, 64, table_at),
        *(0, 64, 56, 1, 64, 3, 2),
    )
    load = struct.pack("<2I6Q", 1, 5, 0, base, base, names_at, names_at, 0x1000)
    table = (
        bytes(64)
        + _elf_section(1, 1, 6, (base + headers, headers, len(code)))
        + _elf_section(7, 3, 0, (0, names_at, len(names)))
    )
    return header + load + code + names + table + recipe.label.encode() + recipe.filler


def _elf_section(
    name: int, kind: int, flags: int, place: tuple[int, int, int]
) -> bytes:
    return struct.pack("<2I4Q2I2Q", name, kind, flags, *place, 0, 0, 1, 0)


def macho(recipe: Recipe) -> bytes:
    """Build a 64-bit macOS program; its entry point returns zero."""
    page, code = 0x1000, _X86_64_RETURN_ZERO
    base, entry = 0x100000000, page - 16
    section = struct.pack(
        *("<16s16s2Q8I", b"__text", b"__TEXT", base + entry, len(code)),
        *(entry, 4, 0, 0, 0x80000400, 0, 0, 0),
    )
    commands = [
        _macho_segment(b"__PAGEZERO", (0, base, 0, 0), 0),
        _macho_segment(b"__TEXT", (base, page, 0, page), 5, section),
        _macho_segment(b"__LINKEDIT", (base + page, page, page, 16), 1),
        _macho_string(0x0E, struct.pack("<I", 12), b"/usr/lib/dyld"),
        _macho_string(
            0x0C, struct.pack("<4I", 24, 2, 0, 0x10000), b"/usr/lib/libSystem.B.dylib"
        ),
        struct.pack("<2I2Q", 0x80000028, 24, entry, 0),
    ]
    body = b"".join(commands)
    header = struct.pack(
        "<8I", 0xFEEDFACF, 0x01000007, 3, 2, len(commands), len(body), 0x85, 0
    )
    text = (header + body).ljust(entry, b"\0") + code.ljust(16, b"\x90")
    return text + recipe.label.encode()[:16].ljust(16, b"\0") + recipe.filler


def _macho_segment(
    name: bytes, place: tuple[int, int, int, int], rights: int, section: bytes = b""
) -> bytes:
    size = 72 + len(section)
    numbers = (*place, rights, rights, bool(section), 0)
    return struct.pack("<2I16s4Q4I", 0x19, size, name, *numbers) + section


def _macho_string(command: int, fields: bytes, text: bytes) -> bytes:
    body = fields + text + b"\0"
    body += bytes(-len(body) % 8)
    return struct.pack("<2I", command, 8 + len(body)) + body
