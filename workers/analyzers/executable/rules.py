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


def judge(program: Program, findings: Findings, *, file_size: int) -> None:
    """Add to *findings* what is remarkable about *program*."""
    _judge_sections(program, findings, file_size)
    _judge_entry_point(program, findings)
    _judge_imports(program, findings)
    _judge_traits(program, findings)


def _judge_sections(program: Program, findings: Findings, file_size: int) -> None:
    for section in program.sections:
        if section.name.upper().startswith("UPX"):
            findings.add("upx", name=section.name)
        if _is_packed(section):
            bits = f"{section.entropy:.2f} bits per byte"
            findings.add("packed_code", name=section.name, detail=bits)
        if section.writable and section.executable:
            findings.add("write_execute", name=section.name)
        if section.file_offset + section.file_size > file_size:
            findings.add("section_outside_file", name=section.name)


def _is_packed(section: Section) -> bool:
    return (
        section.executable
        and section.entropy >= _PACKED_BITS
        and section.file_size >= _PACKED_BYTES
    )


def _judge_entry_point(program: Program, findings: Findings) -> None:
    entry = program.entry_point
    if entry is None or not program.sections:
        return
    homes = [section for section in program.sections if section.holds(entry)]
    if not homes:
        findings.add("entry_point_outside", where=hex(entry))
        return
    if any(home.writable for home in homes):
        findings.add("entry_point_writable", name=homes[0].name)
    loaded = [section for section in program.sections if section.virtual_size]
    executable = [section for section in loaded if section.executable]
    if len(executable) > 1 and homes[0] is loaded[-1]:
        findings.add("entry_point_in_last_section", name=homes[0].name)


def _judge_imports(program: Program, findings: Findings) -> None:
    functions = {_plain(item.function): item.function for item in program.imports}
    for kind, *groups in _COMBINATIONS:
        names = list(_matches(functions, groups))
        if len(names) == len(groups):
            findings.add(kind, detail=", ".join(dict.fromkeys(names)))
    code = sum(part.file_size for part in program.sections if part.executable)
    managed = any(name.lower() == "mscoree.dll" for name in program.libraries)
    if (
        program.imports_matter
        and not managed
        and code >= _MUCH_CODE_BYTES
        and len(program.imports) < _FEW_IMPORTS
    ):
        findings.add("few_imports", detail=f"{len(program.imports)} functions")


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


def _judge_traits(program: Program, findings: Findings) -> None:
    if program.tls_callbacks:
        findings.add("tls_callbacks", detail=f"{program.tls_callbacks} callbacks")
    if program.executable_stack:
        findings.add("executable_stack")
    if program.sections_missing:
        findings.add("sections_missing")
    if program.signed:
        findings.add("signed")
    if program.overlay is not None:
        findings.add("overlay", detail=f"{program.overlay.size} bytes")
    if program.stripped:
        findings.add("stripped")
    linked = program.libraries or program.interpreter
    if program.format == "elf" and program.entry_point is not None and not linked:
        findings.add("static")
