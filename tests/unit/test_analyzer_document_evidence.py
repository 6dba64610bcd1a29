"""What the analyzer ``document`` keeps for analysts to read themselves."""

from __future__ import annotations

from pathlib import Path

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, String

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import compound_file
from orchestrator.demo.files.vba_project import MODULE_NAME, vba_project
from tests.fixtures.documents import analyze_document
from workers import Analysis
from workers.analyzers.document.evidence import FILE_BYTES, MOST_FILES


class Kept:
    """An analysis, and the evidence that it came with by name."""

    def __init__(self, analysis: Analysis, folder: Path) -> None:
        self.analysis = analysis
        self.files = {
            str(file.file_name): (folder / file.path).read_bytes()
            for file in analysis.files
            if file.kind == "evidence"
        }


@pytest.fixture
def keep(tmp_path: Path):
    def run(data: bytes) -> Kept:
        return Kept(analyze_document(tmp_path / "sample", data), tmp_path)

    return run


def scripts_of(tmp_path: Path, *sources: str) -> bytes:
    path = tmp_path / "made.pdf"
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        actions = [
            Dictionary(S=Name.JavaScript, JS=String(source)) for source in sources
        ]
        pdf.Root.Actions = Array(actions)
        pdf.save(path)
    return path.read_bytes()


def flat_basic(count: int, lines: int = 1) -> bytes:
    """A flat OpenDocument of *count* modules of Basic."""
    modules = "".join(
        f'<ooo:module ooo:name="M{number}"><ooo:source-code>Sub S{number}\n'
        + "x = 1\n" * lines
        + "End Sub</ooo:source-code></ooo:module>"
        for number in range(count)
    )
    return (
        '<?xml version="1.0"?><office:document xmlns:office='
        f'"urn:oasis:names:tc:opendocument:xmlns:office:1.0">{modules}</office:document>'
    ).encode()


def test_the_source_of_a_macro_is_evidence_under_its_modules_name(keep):
    project = compound_file(vba_project("AutoOpen", "hello"))

    kept = keep(project)

    (name,) = kept.files
    assert name == f"macros/{MODULE_NAME}.bas"
    assert b'MsgBox "hello"' in kept.files[name]


def test_a_name_of_a_module_is_no_path(keep):
    module = '<ooo:module ooo:name="../../etc/x"><ooo:source-code>Sub A\nEnd Sub'
    data = flat_basic(0).replace(b"</office:document>", module.encode())

    assert list(keep(data).files) == ["macros/etc_x.bas"]


def test_modules_of_one_name_are_files_of_their_own(keep):
    data = flat_basic(2).replace(b'"M1"', b'"M0"')

    assert list(keep(data).files) == ["macros/M0.bas", "macros/M0-2.bas"]


def test_commands_of_dde_are_one_file_and_whole(keep):
    command = "DDEAUTO cmd.exe /k " + "x" * 500
    field = f"<w:fldSimple w:instr='{command}'/>"
    parts = {
        "[Content_Types].xml": b"<Types/>",
        "word/document.xml": f"<w:document>{field}</w:document>".encode(),
    }

    kept = keep(zip_of(parts))

    assert kept.files == {
        "dde-commands.txt": f"word/document.xml: {command}\n".encode()
    }


def test_scripts_of_a_pdf_are_evidence(keep, tmp_path: Path):
    kept = keep(scripts_of(tmp_path, "app.alert(1)", "app.alert(2)", "app.alert(1)"))

    assert sorted(kept.files.values()) == [b"app.alert(1)", b"app.alert(2)"]
    assert all(name.startswith("scripts/Actions") for name in kept.files)


def test_a_form_that_formats_fields_leaves_no_evidence(keep, tmp_path: Path):
    assert keep(scripts_of(tmp_path, "AFNumber_Format(2, 0, 0, 0);")).files == {}


def test_more_modules_than_are_kept_are_said_to_be_cut(keep):
    kept = keep(flat_basic(MOST_FILES + 5))

    assert len(kept.files) == MOST_FILES
    assert "evidence" in kept.analysis.result["truncated"]


def test_a_huge_module_is_kept_up_to_a_limit(keep):
    kept = keep(flat_basic(1, lines=50_000))

    assert len(kept.files["macros/M0.bas"]) == FILE_BYTES
    assert "macros/M0.bas" in kept.analysis.result["truncated"]


def test_a_document_without_anything_active_has_no_evidence(keep):
    assert keep(b"{\\rtf1 nothing}").files == {}
