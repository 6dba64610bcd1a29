"""What the analyzer ``executable`` reads and how it judges."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from orchestrator.demo import files as demo_files
from workers import Analysis, Sample, Unsupported
from workers.analyzers.executable.analyzer import executable
from workers.analyzers.executable.program import Import, Program, Section
from workers.analyzers.executable.rules import KINDS, judge
from workers.findings import Findings

CODE = Section(
    name=".text",
    address=0x1000,
    virtual_size=0x8000,
    file_offset=0x400,
    file_size=0x8000,
    entropy=6.2,
    readable=True,
    writable=False,
    executable=True,
)
DATA = replace(CODE, name=".data", address=0x9000, file_offset=0x8400, executable=False)
ORDINARY_IMPORTS = [
    Import(library="KERNEL32.dll", function=name)
    for name in ("ExitProcess", "CreateFileW", "ReadFile", "CloseHandle", "Sleep")
]


def program(**changes: object) -> Program:
    program = Program(
        format="pe",
        machine="AMD64",
        kind="windows_cui",
        bits=64,
        entry_point=0x1000,
        imports_matter=True,
        sections=[CODE, DATA],
        imports=list(ORDINARY_IMPORTS),
        libraries=["KERNEL32.dll"],
    )
    for name, value in changes.items():
        setattr(program, name, value)
    return program


def found_in(program: Program, *, file_size: int = 0x100000) -> set[str]:
    findings = Findings(KINDS)
    judge(program, findings, file_size=file_size)
    return {kind for kind in KINDS if kind in findings}


def imports(*functions: str) -> list[Import]:
    more = [Import(library="x.dll", function=name) for name in functions]
    return [*ORDINARY_IMPORTS, *more]


def analyze(path: Path) -> Analysis:
    size = path.stat().st_size
    analysis = executable(Sample(path=path, sha256="0" * 64, size=size))
    jsonschema.validate(analysis.result, executable.schema)
    return analysis


def test_an_ordinary_program_has_no_findings():
    assert found_in(program()) == set()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("upx", {"sections": [replace(CODE, name="UPX1"), DATA]}),
        ("packed_code", {"sections": [replace(CODE, entropy=7.9), DATA]}),
        (
            "write_execute",
            {"sections": [CODE, replace(DATA, executable=True, writable=True)]},
        ),
        ("entry_point_writable", {"sections": [replace(CODE, writable=True), DATA]}),
        ("entry_point_outside", {"entry_point": 0x99999}),
        (
            "entry_point_in_last_section",
            {"entry_point": 0x9000, "sections": [CODE, replace(DATA, executable=True)]},
        ),
        ("few_imports", {"imports": ORDINARY_IMPORTS[:1]}),
        ("tls_callbacks", {"tls_callbacks": 1}),
        ("executable_stack", {"executable_stack": True}),
        ("sections_missing", {"sections_missing": True}),
        ("signed", {"signed": True}),
        ("stripped", {"stripped": True}),
        (
            "process_injection",
            {
                "imports": imports(
                    "VirtualAllocEx", "WriteProcessMemory", "CreateRemoteThread"
                )
            },
        ),
        (
            "process_hollowing",
            {
                "imports": imports(
                    "NtUnmapViewOfSection", "WriteProcessMemory", "ResumeThread"
                )
            },
        ),
        (
            "keylogging",
            {"imports": imports("GetAsyncKeyState", "GetForegroundWindow")},
        ),
        ("downloader", {"imports": imports("URLDownloadToFileW", "ShellExecuteA")}),
        (
            "credential_dumping",
            {"imports": imports("MiniDumpWriteDump", "OpenProcess")},
        ),
        (
            "anti_debugging",
            {"imports": imports("IsDebuggerPresent", "CheckRemoteDebuggerPresent")},
        ),
        ("memory_execution", {"imports": imports("memfd_create", "fexecve")}),
    ],
)
def test_each_sign_is_recognised(kind: str, changes: dict[str, object]):
    assert kind in found_in(program(**changes))


@pytest.mark.parametrize(
    "functions",
    [
        ("VirtualAllocEx", "WriteProcessMemory"),
        ("IsDebuggerPresent",),
        ("URLDownloadToFileW",),
        ("OpenProcess",),
    ],
)
def test_half_of_a_combination_is_nothing(functions: tuple[str, ...]):
    assert found_in(program(imports=imports(*functions))) == set()


def test_a_managed_program_needs_no_imports():
    managed = program(imports=ORDINARY_IMPORTS[:1], libraries=["mscoree.dll"])

    assert found_in(managed) == set()


def test_a_section_beyond_the_end_of_the_file_is_noticed():
    assert "section_outside_file" in found_in(program(), file_size=0x500)


@pytest.mark.parametrize("kind", ["pe", "elf", "macho"])
def test_the_three_formats_are_read(tmp_path: Path, kind: str):
    files = {item.kind: item for item in demo_files.build(tmp_path)}

    analysis = analyze(files[kind].path)

    assert analysis.result["format"] == kind
    assert analysis.result["machine"] in {"AMD64", "X86_64"}
    assert analysis.result["bits"] == 64
    assert analysis.result["sections"][0]["rights"] == "r-x"
    assert analysis.score == -1


def test_imports_of_a_windows_program_are_listed_with_their_hash(tmp_path: Path):
    files = {item.kind: item for item in demo_files.build(tmp_path)}

    result = analyze(files["pe"].path).result

    assert result["imports"] == [
        {"library": "KERNEL32.dll", "functions": ["ExitProcess"]}
    ]
    assert len(result["imphash"]) == 32


def test_data_behind_the_sections_is_an_overlay(tmp_path: Path):
    files = {item.kind: item for item in demo_files.build(tmp_path, padding_bytes=500)}

    result = analyze(files["pe"].path).result

    assert result["overlay"]["size"] == 500
    assert result["overlay"]["offset"] == 1536


def test_a_real_program_is_read_and_its_lists_are_bounded():
    analysis = analyze(Path(sys.executable).resolve())

    assert analysis.result["sections"]
    assert analysis.result["import_count"] > 0
    assert analysis.score < 70


@pytest.mark.parametrize("data", [b"", b"MZ", b"plain text", b"MZ" * 500])
def test_what_is_no_program_is_unsupported(tmp_path: Path, data: bytes):
    path = tmp_path / "sample"
    path.write_bytes(data)

    with pytest.raises(Unsupported):
        analyze(path)


def test_one_packer_is_one_finding():
    upx0 = replace(CODE, name="UPX0", writable=True, entropy=0.0)
    upx1 = replace(CODE, name="UPX1", address=0x9000, writable=True, entropy=7.9)
    packed = program(
        sections=[upx0, upx1], entry_point=0x9000, imports=ORDINARY_IMPORTS[:1]
    )

    assert found_in(packed) == {"upx"}


def test_an_unknown_packer_is_one_finding_that_names_its_signs():
    packed = program(
        sections=[replace(CODE, name=".x", writable=True, entropy=7.9), DATA],
        imports=ORDINARY_IMPORTS[:1],
        tls_callbacks=1,
    )
    findings = Findings(KINDS)

    judge(packed, findings, file_size=0x100000)

    (row,) = findings.analysis({}).result["findings"]
    assert row["kind"] == "unknown_packer"
    assert row["detail"].endswith(
        "entry_point_writable, write_execute, few_imports, tls_callbacks"
    )


def test_what_a_packed_program_imports_still_counts():
    packed = program(
        sections=[replace(CODE, name="UPX1"), DATA],
        imports=imports("VirtualAllocEx", "WriteProcessMemory", "CreateRemoteThread"),
    )

    assert found_in(packed) == {"upx", "process_injection"}
