"""What a document fetches from another machine, or starts, however that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.demo.files.archives import zip_of
from tests.fixtures.documents import analyze_document, kinds_of
from workers import Analysis

TYPES = {"[Content_Types].xml": b"<Types/>"}
OPEN_DOCUMENT = b"application/vnd.oasis.opendocument.text"
UNC = rb"\\\\192.0.2.1\\share\\a.dotm"
ADDRESS = "http://e.example/a.dotm"
TEMPLATE = b"{\\rtf1 {\\*\\template http://e.example/a.dotm}}"
MACRO = b'<script:module>Sub AutoOpen\nShell("calc")\nEnd Sub</script:module>'


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        return analyze_document(tmp_path / "sample", data)

    return run


def relationships(kind: str, target: str) -> bytes:
    return (
        '<Relationships><Relationship Id="a" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        f'{kind}" Target="{target}" TargetMode="External"/></Relationships>'
    ).encode()


def package(kind: str, target: str) -> bytes:
    return zip_of({**TYPES, "word/_rels/a.rels": relationships(kind, target)})


@pytest.mark.parametrize(
    "name",
    [
        UNC,
        b"\n" + ADDRESS.encode(),
        "".join(f"\\'{ord(char):02x}" for char in ADDRESS).encode(),
        "".join(f"\\u{ord(char)}?" for char in ADDRESS).encode(),
        "".join(f"\\u{ord(char) - 0x1000}?" for char in ADDRESS).encode(),
        b"{\\b http:}{\\b //e.example/a.dotm}",
    ],
)
def test_a_template_of_rich_text_is_found_however_it_is_spelled(analyze, name: bytes):
    analysis = analyze(b"{\\rtf1 {\\*\\template " + name + b"}}")

    assert "external_template" in kinds_of(analysis)


@pytest.mark.parametrize(
    "data",
    [
        b"{\\rtf1 {\\*\\template C:\\\\Users\\\\a\\\\Normal.dotm}}",
        package("attachedTemplate", "file:///C:\\Users\\a\\Templates\\Report.dotx"),
        package("attachedTemplate", "file:///Users/a/Templates/Report.dotx"),
        package("attachedTemplate", "Report.dotx"),
        package("oleObject", "file:///C:\\a.xlsx!Sheet1!R1C1"),
    ],
)
def test_what_stands_in_a_folder_of_the_author_is_not_elsewhere(analyze, data: bytes):
    assert analyze(data).score == -1


@pytest.mark.parametrize(
    "target",
    [
        *("https://e.example/a", "file://192.0.2.1/a", "file:////192.0.2.1/a"),
        *("\\\\192.0.2.1\\a", "file:///\\\\192.0.2.1\\a", "mhtml:http://e.example/a"),
    ],
)
def test_a_template_on_another_machine_is_elsewhere(analyze, target: str):
    assert "external_template" in kinds_of(analyze(package("attachedTemplate", target)))


def test_a_slide_that_starts_a_program_is_suspicious(analyze):
    slide = b'<a:hlinkMouseOver r:id="a" action="ppaction://program"/>'

    analysis = analyze(zip_of({**TYPES, "ppt/slides/slide1.xml": slide}))

    assert "slide_program" in kinds_of(analysis)
    assert analysis.score >= 30


@pytest.mark.parametrize(
    "chunk",
    [
        TEMPLATE,
        package("attachedTemplate", ADDRESS),
    ],
)
def test_a_chunk_that_becomes_part_of_the_text_is_read(analyze, chunk: bytes):
    analysis = analyze(zip_of({**TYPES, "word/chunk.bin": chunk}))

    assert "external_template" in kinds_of(analysis)


def test_an_opendocument_without_its_type_is_read(analyze):
    parts = {
        "META-INF/manifest.xml": b"<manifest/>",
        "content.xml": b"<content/>",
        "Basic/Standard/A.xml": MACRO,
    }

    analysis = analyze(zip_of(parts))

    assert analysis.result["format"] == "odf"
    assert "macro" in kinds_of(analysis)


def test_a_package_of_two_kinds_is_read_as_both(analyze):
    """The type of another kind would hide what the program that opens it sees."""
    parts = {
        "mimetype": OPEN_DOCUMENT,
        "[content_types].xml": b"<Types/>",
        "word/_rels/a.rels": relationships("attachedTemplate", ADDRESS),
        "Basic/Standard/A.xml": MACRO,
    }

    assert {"external_template", "macro"} <= kinds_of(analyze(zip_of(parts)))


def test_an_object_of_an_opendocument_may_have_any_name(analyze):
    parts = {"mimetype": OPEN_DOCUMENT, "Obj12/content.xml": b"<content/>"}

    assert "embedded_object" in kinds_of(analyze(zip_of(parts)))
