"""
What the analyzer ``document`` collects of a document, whatever its format.

Declares the kinds of finding and their points; does not read anything.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, assert_never

from workers.analysis import JSON
from workers.analyzers.document.budget import Budget
from workers.analyzers.document.evidence import Evidence
from workers.findings import Findings, Kind, clean

#: Kept of each list.
LIST_LIMIT = 200

#: The lists of a document, as the result calls them.
Rows = Literal["macros", "objects", "relationships"]

#: What pure Python parsers raise on input that its author did not think of. A damaged
#: part must not hide what the others show.
PARSER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

KINDS = {
    "macro": Kind(points=30, reason="Carries a macro", behaviour="macro"),
    "macro_auto_exec": Kind(
        points=30,
        reason="A macro runs without being asked",
        behaviour="macro-auto-exec",
    ),
    "macro_execution": Kind(
        points=20,
        reason="A macro can start programs or native code",
        behaviour="macro-execution",
    ),
    "macro_download": Kind(
        points=20,
        reason="A macro can download from the network",
        behaviour="download-and-execute",
    ),
    "macro_obfuscation": Kind(points=10, reason="A macro hides its strings"),
    "macro_suspicious": Kind(
        points=5, reason="A macro uses words that malicious macros use"
    ),
    "macro_indicator": Kind(
        points=5, reason="A macro names a URL, an address or a program file"
    ),
    "macro_excel4": Kind(
        points=40, reason="Carries an Excel 4 macro sheet", behaviour="macro"
    ),
    "macro_unreadable": Kind(points=10, reason="A macro project cannot be read"),
    "external_template": Kind(
        points=45,
        reason="Loads its template from elsewhere",
        behaviour="template-injection",
    ),
    "external_object": Kind(
        points=25, reason="Loads an object or frame from elsewhere"
    ),
    "external_page": Kind(
        points=60,
        reason="Loads a web page as an object, a common exploit",
        behaviour="remote-exploit",
    ),
    "external_link": Kind(points=0, reason="Refers to content elsewhere"),
    "dde": Kind(points=45, reason="Starts programs through DDE", behaviour="dde"),
    "slide_program": Kind(
        points=45,
        reason="Slide that starts a program when it is clicked or pointed at",
        behaviour="slide-program",
    ),
    "embedded_object": Kind(
        points=10, reason="Carries an embedded object", behaviour="embedded-object"
    ),
    "embedded_program": Kind(
        points=35,
        reason="Carries an embedded program or script",
        behaviour="embedded-payload",
    ),
    "activex": Kind(points=10, reason="Carries an ActiveX control"),
    "equation_editor": Kind(
        points=60,
        reason="Carries an Equation Editor object, a common exploit",
        behaviour="exploit",
    ),
    "encrypted": Kind(points=0, reason="Is encrypted, so parts cannot be seen"),
    "encrypted_default": Kind(
        points=10, reason="Is encrypted with a password that Office tries by itself"
    ),
    "bomb": Kind(
        points=30,
        reason="Unpacks to an absurd size, or the same bytes many times",
        behaviour="decompression-bomb",
    ),
    "part_too_large": Kind(points=10, reason="A part unpacks to an absurd size"),
    "reading_stopped": Kind(
        points=10, reason="Takes too much to be read in full, so parts were not seen"
    ),
    "part_unreadable": Kind(points=0, reason="A part cannot be read"),
    "rtf_object": Kind(
        points=15, reason="RTF with an embedded object", behaviour="embedded-object"
    ),
    "rtf_object_update": Kind(
        points=20, reason="RTF that activates its object when it is opened"
    ),
    "pdf_javascript": Kind(
        points=30, reason="PDF with JavaScript", behaviour="pdf-javascript"
    ),
    "pdf_javascript_on_open": Kind(
        points=20, reason="PDF that runs JavaScript when it is opened"
    ),
    "pdf_javascript_suspicious": Kind(
        points=20, reason="JavaScript of a PDF uses functions that exploits use"
    ),
    "pdf_form_script": Kind(
        points=0,
        reason="JavaScript by which a form checks the reader or formats fields",
    ),
    "pdf_damaged": Kind(
        points=0, reason="PDF that is damaged, so its bytes were searched"
    ),
    "pdf_launch": Kind(
        points=50, reason="PDF that starts a program", behaviour="pdf-launch"
    ),
    "pdf_submit": Kind(points=10, reason="PDF that sends a form or imports data"),
    "pdf_remote_goto": Kind(points=5, reason="PDF that opens another document"),
    "pdf_embedded_file": Kind(points=10, reason="PDF with an embedded file"),
    "pdf_form": Kind(points=0, reason="PDF with a form"),
    "pdf_xfa": Kind(points=5, reason="PDF with an XFA form"),
    "pdf_uri": Kind(points=0, reason="PDF with links"),
    "shortcut": Kind(points=0, reason="Is a shortcut"),
    "shortcut_interpreter": Kind(
        points=30,
        reason="Shortcut that gives a command to an interpreter",
        behaviour="shortcut-command",
    ),
    "shortcut_padding": Kind(
        points=30, reason="Shortcut that hides its command behind blanks"
    ),
    "shortcut_remote": Kind(points=20, reason="Shortcut to a place on the network"),
}

#: File names that Windows runs when they are opened.
_PROGRAM_ENDINGS = (
    *(".exe", ".scr", ".com", ".pif", ".dll", ".cpl", ".msi", ".bat", ".cmd"),
    *(".ps1", ".vbs", ".vbe", ".js", ".jse", ".wsf", ".wsh", ".hta", ".lnk"),
)


@dataclass(slots=True)
class Document:
    """One document while it is looked at; the rows are as in the result."""

    format: str
    findings: Findings
    encrypted: bool = False
    macros: list[JSON] = field(default_factory=list)
    objects: list[JSON] = field(default_factory=list)
    relationships: list[JSON] = field(default_factory=list)
    pdf: JSON = None
    #: What it says of itself, by the names of ``properties``.
    properties: dict[str, str] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    budget: Budget = field(default_factory=Budget)
    _met: Counter[str] = field(default_factory=Counter)

    def keep(self, name: Rows, row: JSON) -> None:
        """Append *row* to the list of that name unless it is full."""
        rows = self._rows(name)
        self._met[name] += 1
        if len(rows) < LIST_LIMIT:
            rows.append(row)
        else:
            self.findings.cut(name, f"{LIST_LIMIT} of {self._met[name]}")

    def _rows(self, name: Rows) -> list[JSON]:
        match name:
            case "macros":
                return self.macros
            case "objects":
                return self.objects
            case "relationships":
                return self.relationships
            case _:
                assert_never(name)

    def add_dde(self, command: str, *, where: str) -> None:
        """Note a program that is asked through DDE, and what for."""
        self.findings.add("dde", name=command.strip(), where=where)
        self.evidence.add_command(command.strip(), where)

    def note_property(self, name: str, value: str) -> None:
        """Note what it says of itself; what was said first stands."""
        if value.strip():
            self.properties.setdefault(name, clean(value.strip()))

    def stop_reading(self, where: str) -> None:
        """Note that the budget ran out at *where*; of a bomb that is known already."""
        self.findings.cut(where or "document", f"not read: {self.budget.reason}")
        if "bomb" not in self.findings:
            self.findings.add("reading_stopped", where=where, detail=self.budget.reason)

    def add_object(
        self, *, kind: str, name: str, file_name: str, size: int, where: str
    ) -> None:
        """Note an embedded object, and whether it is a program."""
        self.findings.add(kind, name=file_name or name, where=where)
        if file_name.lower().rstrip("\0 ").endswith(_PROGRAM_ENDINGS):
            self.findings.add("embedded_program", name=file_name, where=where)
        if name.lower().startswith("equation"):
            self.findings.add("equation_editor", name=name, where=where)
        row = {
            "class_name": clean(name),
            "file_name": clean(file_name),
            "size": size,
            "where": clean(where),
        }
        self.keep("objects", row)
