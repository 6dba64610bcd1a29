"""
Judges a program: signs of packing, odd layout, and imports that belong together.

Pure: values in, findings out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workers.analyzers.executable.program import Program, Section
from workers.findings import Findings, Kind

KINDS = {
    "upx": Kind(
        points=15, reason="Packed with UPX, by its sections", behaviour="packed"
    ),
    "packed_code": Kind(
        points=20,
        reason="Executable code looks compressed or encrypted",
        behaviour="packed",
    ),
    "unknown_packer": Kind(
        points=35,
        reason="Packed by a packer that is not known: its code unpacks itself",
        behaviour="packed",
    ),
    "entry_point_writable": Kind(
        points=20,
        reason="The program starts in a section that it can rewrite",
        behaviour="packed",
    ),
    "entry_point_in_last_section": Kind(
        points=10, reason="The program starts in its last section"
    ),
    "entry_point_outside": Kind(
        points=15, reason="The program starts outside of its sections"
    ),
    "write_execute": Kind(
        points=10, reason="A section is both writable and executable"
    ),
    "few_imports": Kind(
        points=15, reason="Much code but hardly an import", behaviour="hidden-imports"
    ),
    "section_outside_file": Kind(
        points=5, reason="A section reaches beyond the end of the file"
    ),
    "sections_overlap": Kind(
        points=30,
        reason="Sections hold the same bytes many times over",
        behaviour="decompression-bomb",
    ),
    "executable_stack": Kind(points=5, reason="The stack is executable"),
    "sections_missing": Kind(points=10, reason="The section table was taken away"),
    "tls_callbacks": Kind(
        points=5, reason="Code runs before the entry point (TLS callbacks)"
    ),
    "process_injection": Kind(
        points=45,
        reason="Imports what it takes to run code in another process",
        behaviour="process-injection",
    ),
    "process_hollowing": Kind(
        points=45,
        reason="Imports what it takes to replace a process's memory",
        behaviour="process-hollowing",
    ),
    "keylogging": Kind(
        points=25,
        reason="Imports what it takes to record the keyboard",
        behaviour="keylogging",
    ),
    "downloader": Kind(
        points=25,
        reason="Imports what it takes to download a program and start it",
        behaviour="download-and-execute",
    ),
    "credential_dumping": Kind(
        points=25,
        reason="Imports what it takes to dump another process's memory",
        behaviour="credential-dumping",
    ),
    "anti_debugging": Kind(
        points=10, reason="Imports several debugger checks", behaviour="anti-debugging"
    ),
    "memory_execution": Kind(
        points=25,
        reason="Imports what it takes to run a program from memory",
        behaviour="fileless-execution",
    ),
    "signed": Kind(points=0, reason="Carries a signature (not verified)"),
    "overlay": Kind(points=0, reason="Carries data behind its sections"),
    "stripped": Kind(points=0, reason="Has no symbols"),
    "static": Kind(points=0, reason="Is linked statically"),
}

#: A kind of finding and its details, before it is known what it is a sign of.
_Sign = tuple[str, dict[str, str]]

#: Compressed code measures above 7.2 bits per byte, compiled code below 6.8.
_PACKED_BITS = 7.2
#: Short sections measure anything.
_PACKED_BYTES = 1024
_MUCH_CODE_BYTES = 16 * 1024
_FEW_IMPORTS = 5

#: Kind, and groups of functions: one of every group must be imported.
_COMBINATIONS = (
    (
        "process_injection",
        ("VirtualAllocEx", "NtAllocateVirtualMemory", "NtMapViewOfSection"),
        ("WriteProcessMemory", "NtWriteVirtualMemory", "NtMapViewOfSection"),
        (
            *("CreateRemoteThread", "CreateRemoteThreadEx", "NtCreateThreadEx"),
            *("RtlCreateUserThread", "QueueUserAPC", "NtQueueApcThread"),
        ),
    ),
    (
        "process_hollowing",
        ("NtUnmapViewOfSection", "ZwUnmapViewOfSection"),
        ("WriteProcessMemory", "NtWriteVirtualMemory"),
        ("SetThreadContext", "NtSetContextThread", "ResumeThread", "NtResumeThread"),
    ),
    (
        "keylogging",
        ("SetWindowsHookEx", "GetAsyncKeyState", "GetKeyboardState"),
        ("GetForegroundWindow", "GetWindowText", "MapVirtualKey", "ToUnicode"),
        ("GetAsyncKeyState", "GetKeyNameText"),
    ),
    (
        "downloader",
        ("URLDownloadToFile", "URLDownloadToCacheFile"),
        ("ShellExecute", "ShellExecuteEx", "WinExec", "CreateProcess"),
    ),
    (
        "credential_dumping",
        ("MiniDumpWriteDump",),
        ("OpenProcess", "NtOpenProcess"),
    ),
    (
        "anti_debugging",
        ("IsDebuggerPresent",),
        ("CheckRemoteDebuggerPresent", "NtQueryInformationProcess"),
    ),
    ("memory_execution", ("memfd_create",), ("fexecve", "execveat", "execve")),
)


#: What every packer leaves behind: signs of one thing, and one finding together.
_PACKER_SIGNS = (
    "entry_point_writable",
    "entry_point_in_last_section",
    "write_execute",
    "few_imports",
    "sections_missing",
    "tls_callbacks",
)
#: Of these, what says that code is written while it runs.
_UNPACKING_SIGNS = frozenset({"entry_point_writable", "write_execute"})


def judge(program: Program, findings: Findings, *, file_size: int) -> None:
    """Add to *findings* what is remarkable about *program*."""
    signs = [
        *_layout_signs(program),
        *_entry_point_signs(program),
        *_import_signs(program),
        *_trait_signs(program),
    ]
    if not _judge_packer(program, findings, {sign for sign, _ in signs}):
        for sign, details in signs:
            findings.add(sign, **details)
    _judge_sections(program, findings, file_size)
    _judge_entry_point(program, findings)
    _judge_imports(program, findings)
    _judge_traits(program, findings)


def _judge_packer(program: Program, findings: Findings, signs: set[str]) -> bool:
    """Note the packer with what it leaves behind; whether there is one."""
    left = ", ".join(sign for sign in _PACKER_SIGNS if sign in signs)
    upx = [part for part in program.sections if part.name.upper().startswith("UPX")]
    packed = [part for part in program.sections if _is_packed(part)]
    if upx:
        findings.add("upx", name=upx[0].name, detail=left)
    elif packed:
        kind = "unknown_packer" if signs & _UNPACKING_SIGNS else "packed_code"
        bits = f"{packed[0].entropy:.2f} bits per byte"
        detail = f"{bits}; {left}" if left else bits
        findings.add(kind, name=packed[0].name, detail=detail)
    return bool(upx or packed)


def _layout_signs(program: Program) -> Iterator[_Sign]:
    for section in program.sections:
        if section.writable and section.executable:
            yield "write_execute", {"name": section.name}


def _judge_sections(program: Program, findings: Findings, file_size: int) -> None:
    if program.sections_overlap or program.sections_unmeasured:
        findings.add("sections_overlap")
    for section in program.sections:
        if section.file_offset + section.file_size > file_size:
            findings.add("section_outside_file", name=section.name)


def _is_packed(section: Section) -> bool:
    return (
        section.executable
        and section.entropy >= _PACKED_BITS
        and section.file_size >= _PACKED_BYTES
    )


def _homes(program: Program) -> list[Section]:
    entry = program.entry_point
    if entry is None:
        return []
    return [section for section in program.sections if section.holds(entry)]


def _entry_point_signs(program: Program) -> Iterator[_Sign]:
    homes = _homes(program)
    if not homes:
        return
    if any(home.writable for home in homes):
        yield "entry_point_writable", {"name": homes[0].name}
    loaded = [section for section in program.sections if section.virtual_size]
    executable = [section for section in loaded if section.executable]
    if len(executable) > 1 and homes[0] is loaded[-1]:
        yield "entry_point_in_last_section", {"name": homes[0].name}


def _judge_entry_point(program: Program, findings: Findings) -> None:
    entry = program.entry_point
    if entry is not None and program.sections and not _homes(program):
        findings.add("entry_point_outside", where=hex(entry))


def _judge_imports(program: Program, findings: Findings) -> None:
    functions = {_plain(item.function): item.function for item in program.imports}
    for kind, *groups in _COMBINATIONS:
        names = list(_matches(functions, groups))
        if len(names) == len(groups):
            findings.add(kind, detail=", ".join(dict.fromkeys(names)))


def _import_signs(program: Program) -> Iterator[_Sign]:
    code = sum(part.file_size for part in program.sections if part.executable)
    managed = any(name.lower() == "mscoree.dll" for name in program.libraries)
    if (
        program.imports_matter
        and not managed
        and code >= _MUCH_CODE_BYTES
        and len(program.imports) < _FEW_IMPORTS
    ):
        yield "few_imports", {"detail": f"{len(program.imports)} functions"}


def _matches(
    functions: dict[str, str], groups: Sequence[Sequence[str]]
) -> Iterator[str]:
    """Yield for each group the first of its functions that is imported, if any."""
    for group in groups:
        for name in group:
            if name in functions:
                yield functions[name]
                break


def _plain(function: str) -> str:
    """Drop the suffix that tells the ANSI form of a Windows function from the wide."""
    if function[-1:] in {"A", "W"} and function[-2:-1].islower():
        return function[:-1]
    return function


def _trait_signs(program: Program) -> Iterator[_Sign]:
    if program.sections_missing:
        yield "sections_missing", {}
    if program.tls_callbacks:
        yield "tls_callbacks", {"detail": f"{program.tls_callbacks} callbacks"}


def _judge_traits(program: Program, findings: Findings) -> None:
    if program.executable_stack:
        findings.add("executable_stack")
    if program.signed:
        findings.add("signed")
    if program.overlay is not None:
        findings.add("overlay", detail=f"{program.overlay.size} bytes")
    if program.stripped:
        findings.add("stripped")
    linked = program.libraries or program.interpreter
    if program.format == "elf" and program.entry_point is not None and not linked:
        findings.add("static")
