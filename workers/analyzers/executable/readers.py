"""
Reads PE, ELF and Mach-O programs with LIEF into :class:`Program`.

Native code parses hostile input here: it belongs in a sandbox child. Does not judge.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import lief

from workers.analyzers.executable.contents import Contents, is_section_bomb
from workers.analyzers.executable.origin import debug_path, signers, version_info
from workers.analyzers.executable.program import (
    Import,
    Program,
    Section,
    name_of,
    overlay_of,
)

#: Kept of each list while reading: a header may promise millions of entries.
MOST_SECTIONS = 512
MOST_NAMES = 20_000
#: Symbols of an ELF file that are asked whether they are imported or exported.
_MOST_SYMBOLS = 1_000_000

_PE_EXECUTE, _PE_READ, _PE_WRITE = 0x20000000, 0x40000000, 0x80000000
_PE_DLL = 0x2000
_PE_RELOCATABLE_IMAGE = 0x0040
_ELF_WRITE, _ELF_ALLOCATED, _ELF_EXECUTE = 1, 2, 4
_SEGMENT_EXECUTE, _SEGMENT_WRITE, _SEGMENT_READ = 1, 2, 4
_MACHO_READ, _MACHO_WRITE, _MACHO_EXECUTE = 1, 2, 4

# LIEF says on standard error what it thinks of every odd byte, and of its own exit.
lief.logging.disable()
lief.disable_leak_warning()


def read_program(path: str, *, file_size: int) -> Program | None:
    """Read the program at *path*; ``None`` where it is of none of the three formats."""
    with warnings.catch_warnings():
        # LIEF warns of each number that its enumerations do not know.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _read(path, file_size)


def _read(path: str, file_size: int) -> Program | None:
    if lief.is_pe(path):
        if is_section_bomb(path, file_size):
            return Program(
                format="pe",
                machine="",
                kind="unread",
                bits=32,
                sections_overlap=True,
            )
        pe = lief.PE.parse(path)
        return None if pe is None else _read_pe(pe, file_size)
    if lief.is_elf(path):
        elf = lief.ELF.parse(path)
        return None if elf is None else _read_elf(elf, file_size)
    if lief.is_macho(path):
        fat = lief.MachO.parse(path)
        return None if fat is None or not len(fat) else _read_macho(fat, file_size)
    return None


def _read_pe(pe: Any, file_size: int) -> Program:
    header, optional = pe.header, pe.optional_header
    base = optional.imagebase
    is_library = bool(header.characteristics & _PE_DLL)
    entry = optional.addressof_entrypoint
    tls = pe.tls
    contents = Contents(file_size)
    sections = [
        _pe_section(part, base, contents) for part in islice(pe.sections, MOST_SECTIONS)
    ]
    return Program(
        format="pe",
        machine=name_of(header.machine),
        kind="library" if is_library else name_of(optional.subsystem).lower(),
        bits=64 if pe.optional_header.magic == lief.PE.PE_TYPE.PE32_PLUS else 32,
        entry_point=base + entry if entry else None,
        timestamp=header.time_date_stamps,
        imphash=lief.PE.get_imphash(pe, lief.PE.IMPHASH_MODE.PEFILE) or None,
        signed=pe.has_signatures,
        position_independent=bool(optional.dll_characteristics & _PE_RELOCATABLE_IMAGE),
        imports_matter=not is_library,
        tls_callbacks=len(tls.callbacks) if tls is not None else 0,
        overlay=overlay_of(pe.overlay, file_size=file_size),
        libraries=_names(pe.imports),
        sections=sections,
        sections_unmeasured=contents.unmeasured,
        imports=list(islice(_pe_imports(pe), MOST_NAMES)),
        exports=list(islice(_pe_exports(pe), MOST_NAMES)),
        version_info=version_info(pe),
        debug_path=debug_path(pe),
        signers=signers(pe),
    )


def _pe_section(part: Any, base: int, contents: Contents) -> Section:
    flags = part.characteristics
    entropy, digest = contents.measure(part)
    return Section(
        name=_text(part),
        address=base + part.virtual_address,
        virtual_size=part.virtual_size,
        file_offset=part.pointerto_raw_data,
        file_size=part.sizeof_raw_data,
        entropy=entropy,
        sha256=digest,
        readable=bool(flags & _PE_READ),
        writable=bool(flags & _PE_WRITE),
        executable=bool(flags & _PE_EXECUTE),
    )


def _pe_imports(pe: Any) -> Iterator[Import]:
    for tables in (pe.imports, pe.delay_imports):
        for table in tables:
            library = _text(table)
            for entry in table.entries:
                name = f"#{entry.ordinal}" if entry.is_ordinal else _text(entry)
                yield Import(library=library, function=name)


def _pe_exports(pe: Any) -> Iterator[str]:
    export = pe.get_export()
    if export is not None:
        for entry in export.entries:
            yield _text(entry) or f"#{entry.ordinal}"


def _read_elf(elf: Any, file_size: int) -> Program:
    header = elf.header
    contents = Contents(file_size)
    sections = [
        _elf_section(part, contents)
        for part in islice(elf.sections, MOST_SECTIONS)
        if _text(part)
    ]
    stack = elf.get(lief.ELF.Segment.TYPE.GNU_STACK)
    return Program(
        format="elf",
        machine=name_of(header.machine_type),
        kind=name_of(header.file_type).lower(),
        bits=64 if header.identity_class == lief.ELF.Header.CLASS.ELF64 else 32,
        entry_point=header.entrypoint or None,
        interpreter=_text(elf, "interpreter") if elf.has_interpreter else None,
        position_independent=elf.is_pie,
        stripped=not len(elf.symtab_symbols),
        executable_stack=stack is not None and _has(stack.flags, _SEGMENT_EXECUTE),
        sections_missing=not sections and header.entrypoint != 0,
        overlay=overlay_of(elf.overlay, file_size=file_size),
        libraries=_names(_elf_libraries(elf)),
        sections=sections or _elf_segments(elf, contents),
        sections_unmeasured=contents.unmeasured,
        imports=[
            Import(library="", function=name)
            for name in _names(item for item in _elf_symbols(elf) if item.imported)
        ],
        exports=_names(item for item in _elf_symbols(elf) if item.exported),
    )


def _elf_symbols(elf: Any) -> Iterator[Any]:
    # Not the library's lists of both: each step of those goes through all symbols.
    return islice(chain(elf.dynamic_symbols, elf.symtab_symbols), _MOST_SYMBOLS)


def _elf_libraries(elf: Any) -> Iterator[Any]:
    needed = lief.ELF.DynamicEntry.TAG.NEEDED
    return (entry for entry in elf.dynamic_entries if entry.tag == needed)


def _elf_section(part: Any, contents: Contents) -> Section:
    entropy, digest = contents.measure(part)
    return Section(
        name=_text(part),
        address=part.virtual_address,
        virtual_size=part.size,
        file_offset=part.file_offset,
        file_size=0 if part.type == lief.ELF.Section.TYPE.NOBITS else part.size,
        entropy=entropy,
        sha256=digest,
        readable=_has(part.flags, _ELF_ALLOCATED),
        writable=_has(part.flags, _ELF_WRITE),
        executable=_has(part.flags, _ELF_EXECUTE),
    )


def _elf_segments(elf: Any, contents: Contents) -> list[Section]:
    """Describe what is loaded, for programs whose section table was taken away."""
    loaded = (part for part in elf.segments if part.type == lief.ELF.Segment.TYPE.LOAD)
    return [
        Section(
            name=f"LOAD {number}",
            address=part.virtual_address,
            virtual_size=part.virtual_size,
            file_offset=part.file_offset,
            file_size=part.physical_size,
            entropy=overlay.entropy if overlay else 0.0,
            sha256=contents.digest(part.content),
            readable=_has(part.flags, _SEGMENT_READ),
            writable=_has(part.flags, _SEGMENT_WRITE),
            executable=_has(part.flags, _SEGMENT_EXECUTE),
        )
        for number, part in enumerate(islice(loaded, MOST_SECTIONS))
        for overlay in [overlay_of(part.content, file_size=part.physical_size)]
    ]


def _read_macho(fat: Any, file_size: int) -> Program:
    """Read the first slice of a universal binary; the others are only named."""
    macho = fat.at(0)
    header = macho.header
    contents = Contents(file_size)
    segments = {_text(part): part for part in islice(macho.segments, MOST_SECTIONS)}
    return Program(
        format="macho",
        machine=name_of(header.cpu_type),
        kind=name_of(header.file_type).lower(),
        bits=64 if header.is_64bit else 32,
        entry_point=macho.entrypoint if macho.has_entrypoint else None,
        interpreter=_text(macho.dylinker) if macho.has_dylinker else None,
        signed=macho.has_code_signature,
        position_independent=macho.is_pie,
        stripped=not len(macho.symbols),
        executable_stack=not macho.has_nx_stack,
        overlay=overlay_of(macho.overlay, file_size=file_size),
        slices=[name_of(item.header.cpu_type) for item in islice(fat, MOST_SECTIONS)],
        libraries=_names(macho.libraries),
        sections=[
            _macho_section(part, segments.get(_text(part, "segment_name")), contents)
            for part in islice(macho.sections, MOST_SECTIONS)
        ],
        sections_unmeasured=contents.unmeasured,
        imports=[
            Import(library="", function=name) for name in _names(macho.imported_symbols)
        ],
        exports=_names(macho.exported_symbols),
    )


def _macho_section(part: Any, segment: Any | None, contents: Contents) -> Section:
    entropy, digest = contents.measure(part)
    rights = int(segment.init_protection) if segment is not None else _MACHO_READ
    return Section(
        name=f"{_text(part, 'segment_name')},{_text(part)}",
        address=part.virtual_address,
        virtual_size=part.size,
        file_offset=part.offset,
        file_size=part.size if part.offset else 0,
        entropy=entropy,
        sha256=digest,
        readable=bool(rights & _MACHO_READ),
        writable=bool(rights & _MACHO_WRITE),
        executable=bool(rights & _MACHO_EXECUTE),
    )


def _has(flags: Any, bit: int) -> bool:
    return bool(int(flags) & bit)


def _names(items: Iterable[Any]) -> list[str]:
    return [name for name in map(_text, islice(items, MOST_NAMES)) if name]


def _text(owner: Any, attribute: str = "name") -> str:
    """Read a text of LIEF's; some it hands over as bytes, some it fails to decode."""
    try:
        return name_of(getattr(owner, attribute))
    except UnicodeDecodeError as exc:
        return name_of(exc.object)
