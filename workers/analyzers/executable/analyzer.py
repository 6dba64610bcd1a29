"""
The bundled analyzer ``executable``: what PE, ELF and Mach-O programs are made of.

Runs nothing of the sample and does not verify signatures.
"""

from __future__ import annotations

from dataclasses import asdict

from workers import Analysis, Sample, Unsupported, analyzer
from workers.analysis import JSON
from workers.analyzers.executable.program import Import, Overlay, Program, Section
from workers.analyzers.executable.readers import read_program
from workers.analyzers.executable.rules import KINDS, judge
from workers.findings import Findings, array, schema, strict

#: Shown of each list; the counts beside them are of everything that was read.
_SECTIONS_SHOWN = 96
_NAMES_SHOWN = 500

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_BITS = {"type": "number"}

# Not a pattern: with one, results are judged by another process.
_RIGHTS = [read + write + run for read in "r-" for write in "w-" for run in "x-"]
_SCHEMA = schema(
    {
        "format": {"enum": ["pe", "elf", "macho"]},
        "machine": _TEXT,
        "program_kind": _TEXT,
        "bits": {"enum": [32, 64]},
        "entry_point": _TEXT_OR_NULL,
        "timestamp": {"type": ["integer", "null"]},
        "imphash": _TEXT_OR_NULL,
        "interpreter": _TEXT_OR_NULL,
        "signed": _FLAG,
        "position_independent": _FLAG,
        "stripped": {"type": ["boolean", "null"]},
        "tls_callbacks": _COUNT,
        "slices": array(_TEXT),
        "sections": array(
            strict(
                {
                    "name": _TEXT,
                    "address": _TEXT,
                    "virtual_size": _COUNT,
                    "file_offset": _COUNT,
                    "file_size": _COUNT,
                    "entropy": _BITS,
                    "rights": {"enum": _RIGHTS},
                    "sha256": _TEXT_OR_NULL,
                }
            )
        ),
        "libraries": array(_TEXT),
        "import_count": _COUNT,
        "imports": array(strict({"library": _TEXT, "functions": array(_TEXT)})),
        "export_count": _COUNT,
        "exports": array(_TEXT),
        "version_info": {"type": "object", "additionalProperties": _TEXT},
        "debug_path": _TEXT_OR_NULL,
        "signers": array(strict({"name": _TEXT, "subject": _TEXT, "issuer": _TEXT})),
        "overlay": {
            "anyOf": [
                {"type": "null"},
                strict({"offset": _COUNT, "size": _COUNT, "entropy": _BITS}),
            ]
        },
    }
)


@analyzer(
    "executable",
    version="3",
    # Not all of the super type: Android and Java programs are archives.
    accepts=["pe", "elf", "macho"],
    run_seconds=60,
    schema=_SCHEMA,
    title="Executables",
    description="Headers, sections, imports and anomalies of PE, ELF and Mach-O.",
)
def executable(sample: Sample) -> Analysis:
    """Read the program's structure and say what is remarkable about it."""
    program = read_program(str(sample.path), file_size=sample.size)
    if program is None:
        raise Unsupported("not a PE, ELF or Mach-O program that can be read")
    findings = Findings(KINDS)
    judge(program, findings, file_size=sample.size)
    _note_cuts(program, findings)
    return findings.analysis(_facts(program))


def _facts(program: Program) -> dict[str, JSON]:
    entry = program.entry_point
    return {
        "format": program.format,
        "machine": program.machine,
        "program_kind": program.kind,
        "bits": program.bits,
        "entry_point": None if entry is None else hex(entry),
        "timestamp": program.timestamp,
        "imphash": program.imphash,
        "interpreter": program.interpreter,
        "signed": program.signed,
        "position_independent": program.position_independent,
        "stripped": program.stripped,
        "tls_callbacks": program.tls_callbacks,
        "slices": program.slices[:_SECTIONS_SHOWN],
        "sections": [_section(part) for part in program.sections[:_SECTIONS_SHOWN]],
        "libraries": program.libraries[:_NAMES_SHOWN],
        "import_count": len(program.imports),
        "imports": _imports(program.imports[:_NAMES_SHOWN]),
        "export_count": len(program.exports),
        "exports": program.exports[:_NAMES_SHOWN],
        "version_info": program.version_info,
        "debug_path": program.debug_path,
        "signers": [asdict(signer) for signer in program.signers],
        "overlay": _overlay(program.overlay),
    }


def _note_cuts(program: Program, findings: Findings) -> None:
    for name, rows, shown in (
        ("sections", program.sections, _SECTIONS_SHOWN),
        ("libraries", program.libraries, _NAMES_SHOWN),
        ("imports", program.imports, _NAMES_SHOWN),
        ("exports", program.exports, _NAMES_SHOWN),
        ("slices", program.slices, _SECTIONS_SHOWN),
    ):
        if len(rows) > shown:
            findings.cut(name, f"{shown} of {len(rows)}")
    if program.sections_overlap:
        findings.cut("the program", "not read")
    elif program.sections_unmeasured:
        amount = f"{program.sections_unmeasured} not measured"
        findings.cut("contents of sections", amount)


def _section(part: Section) -> JSON:
    rights = "".join(
        letter if given else "-"
        for letter, given in zip(
            "rwx", (part.readable, part.writable, part.executable), strict=True
        )
    )
    return {
        "name": part.name,
        "address": hex(part.address),
        "virtual_size": part.virtual_size,
        "file_offset": part.file_offset,
        "file_size": part.file_size,
        "entropy": round(part.entropy, 3),
        "rights": rights,
        "sha256": part.sha256,
    }


def _imports(imports: list[Import]) -> JSON:
    by_library: dict[str, list[str]] = {}
    for item in imports:
        by_library.setdefault(item.library, []).append(item.function)
    return [
        {"library": library, "functions": functions}
        for library, functions in by_library.items()
    ]


def _overlay(overlay: Overlay | None) -> JSON:
    if overlay is None:
        return None
    return {
        "offset": overlay.offset,
        "size": overlay.size,
        "entropy": round(overlay.entropy, 3),
    }
