"""What the analyzer ``document`` reads of what documents say of themselves."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pikepdf
import pytest
from pikepdf import Dictionary, Name, Stream

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import compound_file
from tests.fixtures.documents import analyze_document

CORE = (
    b"<cp:coreProperties><dc:title>Plan &amp; more</dc:title>"
    b"<dc:creator>Ann</dc:creator><cp:lastModifiedBy>Bob</cp:lastModifiedBy>"
    b'<dcterms:created xsi:type="dcterms:W3CDTF">2024-01-02T03:04:05Z'
    b"</dcterms:created></cp:coreProperties>"
)
APP = (
    b"<Properties><Template>Evil.dotm</Template>"
    b"<Application>Microsoft Office Word</Application></Properties>"
)


@pytest.fixture
def properties(tmp_path: Path):
    def read(data: bytes) -> dict[str, str]:
        analysis = analyze_document(tmp_path / "sample", data)
        found: dict[str, str] = analysis.result["properties"]
        return found

    return read


def package(**parts: bytes) -> bytes:
    return zip_of({"[Content_Types].xml": b"<Types/>", **parts})


def summary(*values: tuple[int, bytes]) -> bytes:
    """A stream of SummaryInformation with these properties."""
    table, body = b"", b""
    at = 8 + 8 * len(values)
    for number, value in values:
        table += struct.pack("<2I", number, at + len(body))
        body += value + bytes(-len(value) % 4)
    section = struct.pack("<2I", at + len(body), len(values)) + table + body
    head = struct.pack("<2HI16sI", 0xFFFE, 0, 2, bytes(16), 1)
    return head + bytes(16) + struct.pack("<I", 48) + section


def code_text(text: bytes) -> bytes:
    return struct.pack("<2I", 30, len(text) + 1) + text + b"\0"


def pdf(tmp_path: Path, *, info: dict[str, str], packet: bytes | None = None) -> bytes:
    path = tmp_path / "made.pdf"
    with pikepdf.new() as made:
        made.add_blank_page()
        made.trailer.Info = made.make_indirect(
            Dictionary({f"/{name}": value for name, value in info.items()})
        )
        if packet is not None:
            made.Root.Metadata = Stream(made, packet)
            made.Root.Metadata.Type = Name.Metadata
        made.save(path, fix_metadata_version=False)
    return path.read_bytes()


def test_a_package_tells_who_made_it_when_and_with_what(properties):
    found = properties(package(**{"docProps/core.xml": CORE, "docProps/app.xml": APP}))

    assert found == {
        "title": "Plan & more",
        "author": "Ann",
        "last_saved_by": "Bob",
        "created": "2024-01-02T03:04:05Z",
        "template": "Evil.dotm",
        "application": "Microsoft Office Word",
    }


def test_a_compound_file_tells_it_in_its_code_page(properties):
    stream = summary(
        (1, struct.pack("<Ih", 2, 1251)),
        (4, code_text("Анна".encode("cp1251"))),
        (18, code_text(b"Microsoft Word")),
        (12, struct.pack("<IQ", 64, 133_000_000_000_000_000)),
    )

    found = properties(compound_file({"\x05SummaryInformation": stream}))

    assert found == {
        "author": "Анна",
        "application": "Microsoft Word",
        "created": "2022-06-18T04:26:40Z",
    }


def test_an_open_document_tells_it(properties):
    meta = (
        b"<office:meta><meta:initial-creator>Ann</meta:initial-creator>"
        b"<dc:creator>Bob</dc:creator><meta:generator>LibreOffice/7</meta:generator>"
        b'<meta:template xlink:type="simple" xlink:href="../t.ott"/></office:meta>'
    )
    parts = {"mimetype": b"application/vnd.oasis.opendocument.text", "meta.xml": meta}

    assert properties(zip_of(parts)) == {
        "author": "Ann",
        "last_saved_by": "Bob",
        "application": "LibreOffice/7",
        "template": "../t.ott",
    }


def test_xml_of_office_2003_tells_it(properties):
    text = (
        b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:'
        b'spreadsheet"><DocumentProperties><Author>Ann</Author><LastAuthor>Bob'
        b"</LastAuthor></DocumentProperties></Workbook>"
    )

    assert properties(text) == {"author": "Ann", "last_saved_by": "Bob"}


def test_rich_text_tells_it(properties):
    data = (
        b"{\\rtf1{\\info{\\title Plan}{\\author Ann}{\\operator Bob}"
        b"{\\creatim\\yr2024\\mo1\\dy2\\hr3\\min4}{\\*\\company Acme}}text}"
    )

    assert properties(data) == {
        "title": "Plan",
        "author": "Ann",
        "last_saved_by": "Bob",
        "company": "Acme",
        "created": "2024-01-02T03:04",
    }


def test_a_pdf_tells_it_in_its_dictionary(properties, tmp_path: Path):
    info = {
        "Author": "Ann",
        "Producer": "Acme PDF",
        "Creator": "Word",
        "CreationDate": "D:20240102030405+01'00'",
    }

    assert properties(pdf(tmp_path, info=info)) == {
        "author": "Ann",
        "producer": "Acme PDF",
        "application": "Word",
        "created": "2024-01-02T03:04:05+01:00",
    }


def test_a_pdf_tells_it_in_its_packet(properties, tmp_path: Path):
    packet = (
        b'<rdf:Description xmp:CreatorTool="Word"><dc:title><rdf:Alt>'
        b'<rdf:li xml:lang="x-default">Plan</rdf:li></rdf:Alt></dc:title>'
        b"<pdf:Producer>Acme PDF</pdf:Producer></rdf:Description>"
    )

    assert properties(pdf(tmp_path, info={"Title": "Other"}, packet=packet)) == {
        "title": "Other",
        "application": "Word",
        "producer": "Acme PDF",
    }


def test_properties_that_are_blank_or_damaged_are_left_out(properties):
    damaged = summary((4, struct.pack("<2I", 30, 0x7FFFFFFF)))

    assert properties(compound_file({"\x05SummaryInformation": damaged})) == {}
    assert properties(compound_file({"\x05SummaryInformation": b"\0" * 40})) == {}
    assert properties(package(**{"docProps/core.xml": b"<dc:title> </dc:title>"})) == {}


@pytest.mark.parametrize("piece", [b"<dc:title ", b"<", b"<a>", b"<rdf:li>", b"x='"])
def test_hostile_properties_cost_linear_time(properties, piece: bytes):
    part = piece * (4 * 1024 * 1024 // len(piece))
    started = time.process_time()

    properties(package(**{"docProps/core.xml": part}))

    assert time.process_time() - started < 5
