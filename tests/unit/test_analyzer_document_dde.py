"""DDE and Excel 4 macros are found in whatever container they stand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import compound_file
from tests.fixtures.documents import (
    analyze_document,
    biff,
    kinds_of,
    wide,
    workbook,
)
from workers import Analysis

TYPES = {"[Content_Types].xml": b"<Types/>"}
ODF = {"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}
WORDML = (
    '<?xml version="1.0"?>'
    '<w xmlns="http://schemas.microsoft.com/office/word/2003/wordml">'
)
PACKAGE = (
    '<?xml version="1.0"?><pkg:package '
    'xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">'
)
SPREADSHEET = (
    '<?xml version="1.0"?>'
    '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">'
)
FLAT_ODF = (
    '<?xml version="1.0"?><office:document '
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0">'
)
FIELD = '<w:instrText>DDEAUTO c:\\\\x.exe "/c"</w:instrText>'


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        return analyze_document(tmp_path / "sample", data)

    return run


def sup_book(path: str) -> bytes:
    return biff(0x01AE, struct.pack("<H", 1) + wide(path))


def extern_name(flags: int) -> bytes:
    return biff(0x0023, struct.pack("<H", flags) + bytes(8))


def xlsb_link(link_type: int) -> bytes:
    texts = b"".join(
        struct.pack("<I", len(text)) + text.encode("utf-16-le")
        for text in ("cmd", "/c calc.exe")
    )
    body = struct.pack("<H", link_type) + texts
    return b"\xe8\x02" + bytes([len(body)]) + body


@pytest.mark.parametrize(
    "data",
    [
        zip_of({**TYPES, "word/header1.xml": FIELD.encode()}),
        zip_of({**TYPES, "word/document.xml": FIELD.encode("utf-16")}),
        zip_of(
            {**TYPES, "word/document.xml": b"<w:fldSimple w:instr='DDE cmd \"/c\"'/>"}
        ),
        zip_of(
            {
                **TYPES,
                "xl/externalLinks/a.xml": b'<ddeLink ddeService="cmd" ddeTopic="x"/>',
            }
        ),
        zip_of(
            {
                **TYPES,
                "xl/worksheets/sheet1.xml": b"<c><f>cmd|&apos;/c calc&apos;!A1</f></c>",
            }
        ),
        zip_of({**TYPES, "xl/tabs/a.xml": b"<x:f>cmd|'/c calc'!A1</x:f>"}),
        zip_of(
            {
                **TYPES,
                "xl/workbook.xml": b"<definedName>cmd|'/c a'!A1</definedName>",
            }
        ),
        zip_of({**TYPES, "xl/externalLinks/externalLink1.bin": xlsb_link(1)}),
        compound_file(
            {"Workbook": workbook(sup_book("cmd\x03/c calc"), extern_name(0))}
        ),
        compound_file({"WordDocument": b'\xec\xa5text\x13 DDEAUTO cmd "/c"\x14'}),
        b"{\\rtf1 {\\field{\\*\\fldinst {\\rtlch \\af0 \\insrsid12 DDEAUTO cmd}}}}",
        b"{\\rtf1 {\\field{\\*\\fldinst{\\b D}{\\b D}{\\b E} cmd}}}",
        b"{\\rtf1 {\\field{\\*\\fldinst \\'44\\'44EAUTO cmd}}}",
        (WORDML + FIELD + "</w>").encode(),
        (PACKAGE + '<pkg:part pkg:name="/word/document.xml">' + FIELD).encode(),
        (SPREADSHEET + "<Cell ss:Formula=\"=cmd|'/c calc'!A1\"/>").encode(),
        (SPREADSHEET + "<SupBook><Path>cmd|/c calc</Path></SupBook>").encode("utf-16"),
        (
            FLAT_ODF + '<office:dde-source office:dde-application="cmd" '
            'office:dde-topic="/c calc"/>'
        ).encode(),
        zip_of(
            {
                **ODF,
                "content.xml": b'<dde-connection-decl office:dde-application="cmd"/>',
            }
        ),
        zip_of(
            {
                **ODF,
                "content.xml": b'<a table:formula="of:=DDE(&quot;cmd&quot;)"/>',
            }
        ),
        zip_of(
            {
                **ODF,
                "content.xml": b'<a table:formula=\'of:=1+DDE("cmd";"a";"b")\'/>',
            }
        ),
        zip_of(
            {
                **ODF,
                "content.xml": b"<a table:formula=\"msoxl:=cmd|'/c calc'!A1\"/>",
            }
        ),
        (SPREADSHEET + "<s:Cell s:Formula=\"=cmd|'/c calc'!A1\"/>").encode(),
        b"name,value\r\nx,\"=cmd|'/c calc'!A0\"\r\n",
        b"=cmd|' /C calc'!A0",
        b"@SUM(1+9)*cmd|' /C calc'!A0",
        b"ID;PWXL\r\nC;Y1;X1;K0;Ecmd|'/c calc'!A1\r\nE\r\n",
    ],
)
def test_dde_is_found_in_every_container(analyze, data: bytes):
    analysis = analyze(data)

    assert "dde" in kinds_of(analysis)
    assert analysis.score >= 45


@pytest.mark.parametrize(
    "data",
    [
        zip_of({**TYPES, "word/document.xml": b"<w:instrText>PAGE DDE</w:instrText>"}),
        zip_of({**TYPES, "word/document.xml": b"<w:t>DDEAUTO cmd</w:t>"}),
        zip_of({**TYPES, "xl/sharedStrings.xml": b"<t>cmd|'/c calc'!A1</t>"}),
        zip_of({**TYPES, "xl/externalLinks/externalLink1.bin": xlsb_link(2)}),
        compound_file(
            {"Workbook": workbook(sup_book("Package\x03a.doc"), extern_name(0x10))}
        ),
        compound_file({"Workbook": workbook(sup_book("other.xls"), extern_name(0))}),
        # From Excel 97 on, this record has numbers: here a 3 among them.
        compound_file({"Workbook": workbook(biff(0x0017, b"\x06AB\x03CDE"))}),
        zip_of(
            {
                **ODF,
                "content.xml": b'<office:dde-source office:dde-application="soffice"/>',
            }
        ),
        b"time,load\r\n12:00,a|b\r\n",
        b"a;b\r\n-1;=SUM(A1:A2)\r\n",
        b"name,text\r\nx,- use a|b! it works\r\n",
        b"size,text\r\n-17.5,a|b!c\r\n",
    ],
)
def test_what_only_looks_like_dde_is_none(analyze, data: bytes):
    assert "dde" not in kinds_of(analyze(data))


def test_a_command_that_is_spelled_in_numbers_is_read(analyze):
    field = '<w:fldChar w:fldCharType="begin"/><w:instrText>{}</w:instrText>'
    words = ("SET c ", " QUOTE 68 68 69 65 85 84 79 ", " QUOTE 32 99 109 100")
    text = "".join(field.format(word) for word in words)

    analysis = analyze(zip_of({**TYPES, "word/document.xml": text.encode()}))

    (found,) = [item for item in analysis.result["findings"] if item["kind"] == "dde"]
    assert found["name"] == "DDEAUTO cmd"


@pytest.mark.parametrize(
    "parts",
    [
        {"xl/macrosheets/sheet1.bin": b"\x81\x01\x00"},
        {"xl/renamed/sheet.xml": b"<xm:macrosheet xmlns:xm='x'/>"},
        {
            "xl/_rels/workbook.bin.rels": b"<Relationship Type='http://x/xlMacrosheet' "
            b"Target='odd/name.bin'/>"
        },
    ],
)
def test_an_excel_4_macro_sheet_is_found_by_any_of_its_marks(analyze, parts):
    assert "macro_excel4" in kinds_of(analyze(zip_of({**TYPES, **parts})))


def test_a_workbook_within_a_document_is_looked_into(analyze):
    inner = zip_of({**TYPES, "xl/macrosheets/sheet1.xml": b"<xm:macrosheet/>"})

    analysis = analyze(zip_of({**TYPES, "word/embeddings/a.xlsm": inner}))

    (found,) = [
        item for item in analysis.result["findings"] if item["kind"] == "macro_excel4"
    ]
    assert found["where"] == "word/embeddings/a.xlsm:xl/macrosheets/sheet1.xml"


def test_a_workbook_of_ordinary_sheets_has_no_excel_4_macro(analyze):
    name = b"\x06\x00Sheet1"
    sheet = biff(0x0085, struct.pack("<IBB", 0, 0, 0) + name)

    analysis = analyze(compound_file({"Workbook": workbook(sheet)}))

    assert "macro_excel4" not in kinds_of(analysis)


def test_a_sylk_file_that_is_a_macro_sheet_is_one(analyze):
    analysis = analyze(
        b"ID;P\r\nO;E\r\nNN;NAuto_open;ER1C1\r\nC;X1;Y1;EEXEC()\r\nE\r\n"
    )

    assert kinds_of(analysis) == {"macro_excel4"}
