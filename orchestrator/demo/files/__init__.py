"""
The files of ``assay demo``: harmless, valid, of many formats, made at run time.

Each says what analysis is expected to find in it. Nothing binary is kept in the
repository, and nothing here analyses or submits a file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.demo.files import archives, executables, office, pdf, pictures, texts
from orchestrator.demo.files.recipe import Recipe

__all__ = ["DemoFile", "Expectation", "build"]

Status = Literal["malicious", "not_malicious", "any"]
#: Short name of a worker, and a kind among the ``findings`` of its result.
Finding = tuple[str, str]

#: Hosts that are reserved for examples: they belong to nobody.
DEFAULT_URLS = (
    "https://www.example.com/start?from=demo",
    "http://downloads.example.net/readme.txt",
    "https://example.org/",
)
#: Names under which Office runs a macro without being asked, in lower case.
AUTO_EXEC_NAMES = frozenset(
    f"{start}{event}"
    for start in ("auto", "auto_", "document_", "document", "workbook_")
    for event in ("open", "close")
)
_LABEL_CHARACTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """
    What analysis must say of a file.

    ``status``: of the verdict. ``findings``: each must be among the worker's findings.
    """

    status: Status
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoFile:
    """One file that was written. ``kind``: what it is, the same in every run."""

    path: Path
    kind: str
    description: str
    expectation: Expectation


@dataclass(frozen=True, slots=True)
class _Plan:
    kind: str
    file_name: str
    builder: Callable[[Recipe], bytes]
    description: str
    status: Status = "not_malicious"
    findings: tuple[Finding, ...] = ()
    has_macro: bool = False


_URL = (("strings", "url"),)
_PLANS = (
    _Plan("pe", "program.exe", executables.pe, "Windows program that returns at once"),
    _Plan("elf", "program", executables.elf, "Linux program that exits at once"),
    _Plan("macho", "program.bin", executables.macho, "macOS program, returns at once"),
    _Plan("zip", "archive.zip", archives.zip_archive, "ZIP archive of three texts"),
    _Plan("gzip", "messages.log.gz", archives.gzip_text, "compressed log"),
    _Plan(
        "docm",
        "letter.docm",
        office.docm,
        "Word document with a macro",
        "any",
        (("document", "macro"), ("yara", "Office_Zip_With_Macro_Project")),
        has_macro=True,
    ),
    _Plan(
        "doc",
        "invoice.doc",
        office.doc,
        "legacy Word document with a macro",
        "any",
        (("document", "macro"), ("yara", "OLE_With_Macro_Code")),
        has_macro=True,
    ),
    _Plan(
        "rtf",
        "memo.rtf",
        office.rtf,
        "Rich Text with an embedded text file",
        "any",
        (("document", "rtf_object"), ("yara", "RTF_Embedded_Object")),
    ),
    _Plan(
        "pdf_javascript",
        "form.pdf",
        pdf.pdf_with_javascript,
        "PDF that runs JavaScript when it is opened",
        "any",
        (("document", "pdf_javascript"), ("yara", "PDF_JavaScript_On_Open")),
    ),
    _Plan("pdf", "page.pdf", pdf.pdf_plain, "PDF with a link", findings=_URL),
    _Plan("shell", "install.sh", texts.shell_script, "shell script", findings=_URL),
    _Plan(
        "powershell",
        "setup.ps1",
        texts.powershell_script,
        "PowerShell script with a download cradle in a comment",
        "any",
        (*_URL, ("yara", "PowerShell_Download_Cradle")),
    ),
    _Plan("javascript", "app.js", texts.javascript, "JavaScript", findings=_URL),
    _Plan("html", "index.html", texts.html, "web page with links", findings=_URL),
    _Plan("png", "picture.png", pictures.png, "picture"),
    _Plan("text", "notes.txt", texts.note, "plain text with links", findings=_URL),
    _Plan(
        "eicar",
        "eicar.com",
        texts.eicar,
        "EICAR anti-virus test file",
        "malicious",
        (("yara", "EICAR_Test_File"),),
    ),
    _Plan("empty", "empty.dat", texts.empty, "file of no bytes"),
)


def build(
    folder: Path,
    *,
    seed: int | None = None,
    urls: Sequence[str] = DEFAULT_URLS,
    macro_name: str = "AutoOpen",
    padding_bytes: int = 0,
) -> list[DemoFile]:
    """
    Write the demo files into *folder*, which is created if it is missing.

    Args:
        folder: Files of the same names in it are overwritten.
        seed: Other names and other content, so other hashes, for each number; the
            expectations stay. ``None``: always the same files.
        urls: Mentioned by the files that mention any; at least one.
        macro_name: Name of the macro in the Office documents.
        padding_bytes: Bytes to add where a format has room for them.

    Raises:
        ValueError: *urls* is empty or *macro_name* is no VBA identifier.
    """
    if not urls:
        raise ValueError("urls: give at least one")
    chance = random.Random(seed if seed is not None else 0)  # noqa: S311  (no secret)
    label = "demo" if seed is None else "".join(chance.choices(_LABEL_CHARACTERS, k=10))
    recipe = Recipe(
        urls=tuple(urls),
        macro_name=macro_name,
        label=label,
        filler=chance.randbytes(padding_bytes),
    )
    folder.mkdir(parents=True, exist_ok=True)
    prefixes = _prefixes(None if seed is None else chance)
    return [_write(folder, plan, recipe, next(prefixes)) for plan in _PLANS]


def _prefixes(chance: random.Random | None) -> Iterator[str]:
    while True:
        if chance is None:
            yield ""
        else:
            yield "".join(chance.choices(_LABEL_CHARACTERS, k=6)) + "-"


def _write(folder: Path, plan: _Plan, recipe: Recipe, prefix: str) -> DemoFile:
    path = folder / f"{prefix}{plan.file_name}"
    path.write_bytes(plan.builder(recipe))
    findings = plan.findings
    if plan.has_macro and recipe.macro_name.lower() in AUTO_EXEC_NAMES:
        findings = (*findings, ("document", "macro_auto_exec"))
    return DemoFile(
        path=path,
        kind=plan.kind,
        description=plan.description,
        expectation=Expectation(status=plan.status, findings=findings),
    )
