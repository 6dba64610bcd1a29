"""A document costs no more than it may, and one that is made to is a finding."""

from __future__ import annotations

import base64
import io
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pikepdf
import pytest

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import compound_file
from orchestrator.demo.files.vba_project import MODULE_NAME, vba_project
from tests.fixtures.documents import analyze_document, kinds_of
from workers import Analysis

MIB = 1024 * 1024
TYPES = {"[Content_Types].xml": b"<Types/>"}
ODF = {"mimetype": b"application/vnd.oasis.opendocument.text"}
TEMPLATE = (
    b'<Relationship Type="http://x/attachedTemplate" TargetMode="External" '
    b'Target="https://templates.example/a.dotm"/>'
)
WORDML = '<?xml version="1.0"?><w xmlns="http://schemas.microsoft.com/office/word/2003/wordml">'


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        return analyze_document(tmp_path / "sample", data)

    return run


def packed(parts: dict[str, bytes]) -> bytes:
    """A package whose parts are compressed, in this order."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def overlapping(parts: dict[str, bytes], *, times: int) -> bytes:
    """A package whose directory names its last member several times."""
    data = packed(parts)
    end = data.rfind(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", data, end + 12)
    directory = data[start : start + size]
    last = directory[directory.rfind(b"PK\x01\x02") :]
    count = len(parts) + times
    record = struct.pack(
        "<4s4H2IH",
        *(b"PK\x05\x06", 0, 0, count, count),
        *(size + times * len(last), start, 0),
    )
    return data[:start] + directory + last * times + record


def active_mime(size: int) -> bytes:
    return b"ActiveMime".ljust(0x32, b"\0") + zlib.compress(bytes(size), 9)


def test_what_says_where_things_are_is_read_before_filler(analyze):
    filler = {f"word/media/{number}.bin": bytes(30 * MIB) for number in range(10)}

    analysis = analyze(
        packed({**TYPES, **filler, "word/_rels/document.xml.rels": TEMPLATE})
    )

    assert {"external_template", "bomb"} <= kinds_of(analysis)
    assert analysis.result["truncated"]


@pytest.mark.parametrize("kind", [TYPES, ODF])
def test_members_that_share_bytes_are_a_bomb_and_read_once(analyze, kind):
    started = time.process_time()

    analysis = analyze(overlapping({**kind, "x.xml": bytes(20 * MIB)}, times=500))

    assert "bomb" in kinds_of(analysis)
    assert analysis.result["truncated"]
    # Each of them costs a twentieth of a second.
    assert time.process_time() - started < 5


def test_a_directory_of_countless_members_is_not_read(analyze):
    data = bytearray(zip_of(TYPES))
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 64 * MIB)

    analysis = analyze(bytes(data))

    assert kinds_of(analysis) == {"bomb"}


def test_a_large_package_that_packs_as_content_does_is_no_bomb(analyze):
    text = b"".join(b"<c><v>%d</v></c>" % number for number in range(200_000))

    analysis = analyze(packed({**TYPES, "xl/worksheets/sheet1.xml": text}))

    assert kinds_of(analysis) == set()


@pytest.mark.parametrize(
    "text",
    [
        b"<Relationship " * 400_000,
        b"<w:instrText>" * 400_000,
        b'fldCharType="begin"' * 300_000,
        b"<Relationship " + b"a" * 60 + b" " * 5_000_000,
        b"<Relationship " + b'a="' * 1_500_000,
        b"<f>a|" * 1_000_000,
        b"a|'" * 1_500_000,
    ],
)
def test_hostile_markup_costs_linear_time(analyze, text: bytes):
    parts = {"xl/worksheets/a.xml": text, "xl/_rels/a.rels": text}
    started = time.process_time()

    analyze(packed({**TYPES, **parts}))

    # Ten times what it takes; the square of these lengths would take hours.
    assert time.process_time() - started < 10


def test_blanks_before_an_attribute_hide_nothing(analyze):
    padded = TEMPLATE.replace(b" TargetMode", b" " * 20_000 + b"TargetMode")

    analysis = analyze(packed({**TYPES, "word/_rels/document.xml.rels": padded}))

    assert "external_template" in kinds_of(analysis)


def test_more_elements_than_are_looked_at_are_a_finding(analyze):
    rels = b"<Relationship a='b'/>" * 101_000

    analysis = analyze(packed({**TYPES, "word/_rels/a.rels": rels}))

    assert "reading_stopped" in kinds_of(analysis)


@pytest.mark.parametrize(
    "data",
    [
        (WORDML + base64.b64encode(active_mime(40 * MIB)).decode()).encode(),
        b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="x"\r\n\r\n'
        b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(active_mime(40 * MIB))
        + b"\r\n--x--\r\n",
        compound_file(
            {
                "PowerPoint Document": struct.pack("<HHI", 0x10, 0x1011, 60_000)
                + struct.pack("<I", 40 * MIB)
                + zlib.compress(bytes(40 * MIB), 9)
            }
        ),
    ],
)
def test_a_packed_project_that_inflates_without_end_is_a_bomb(analyze, data: bytes):
    analysis = analyze(data)

    assert "bomb" in kinds_of(analysis)
    assert analysis.result["truncated"]


@pytest.mark.parametrize("stream", ["dir", MODULE_NAME])
def test_a_macro_that_unpacks_to_gigabytes_is_a_bomb(analyze, stream: str):
    # Six bytes that say: a letter, and 4,095 times the letter before.
    chunk = b"\x03\xb0" + b"\x02a" + b"\xfc\x0f"
    project = vba_project("AutoOpen", "")
    folder = project["VBA"]
    assert isinstance(folder, Mapping)
    packed_stream = b"\x01" + chunk * 500_000
    started = time.process_time()

    analysis = analyze(
        compound_file({**project, "VBA": {**folder, stream: packed_stream}})
    )

    assert "bomb" in kinds_of(analysis)
    assert time.process_time() - started < 5


def test_a_script_that_inflates_without_end_is_a_bomb(analyze, tmp_path: Path):
    path = tmp_path / "made.pdf"
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        script = pikepdf.Stream(pdf, bytes(40 * MIB))
        action = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=script)
        pdf.Root["/OpenAction"] = action
        pdf.save(path, compress_streams=True)

    analysis = analyze(path.read_bytes())

    assert {"bomb", "pdf_javascript"} <= kinds_of(analysis)


def nested(filters: int, size: int) -> bytes:
    """*size* zeros, compressed so many times over."""
    data = bytes(size)
    for _ in range(filters):
        data = zlib.compress(data, 9)
    return data


def pdf_of_streams(path: Path, data: bytes, *, filters: int, count: int = 1) -> bytes:
    """A PDF of so many actions, the script of each being the stream *data*."""
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        names = pikepdf.Array([pikepdf.Name.FlateDecode] * filters)
        script = pdf.make_indirect(pikepdf.Stream(pdf, data, Filter=names))
        action = {"/S": pikepdf.Name.JavaScript, "/JS": script}
        pdf.Root.Scripts = pikepdf.Array([pikepdf.Dictionary(action)] * count)
        pdf.save(path, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    return path.read_bytes()


def test_a_script_within_filters_within_filters_is_a_bomb(analyze, tmp_path: Path):
    bomb = nested(3, 100 * MIB)

    analysis = analyze(pdf_of_streams(tmp_path / "made.pdf", bomb, filters=3))

    assert "bomb" in kinds_of(analysis)


def test_many_scripts_that_just_fit_cost_no_more_than_one_document_may(
    analyze, tmp_path: Path
):
    bomb = nested(2, 31 * MIB)
    data = pdf_of_streams(tmp_path / "made.pdf", bomb, filters=2, count=100)
    started = time.process_time()

    analysis = analyze(data)

    assert "bomb" in kinds_of(analysis)
    assert "not read: too many bytes" in analysis.result["truncated"].values()
    # All of them take six seconds, and their words as many more.
    assert time.process_time() - started < 5


def test_a_member_that_asks_for_gigabytes_is_unreadable(analyze):
    """A dictionary of LZMA is allocated before the first byte comes out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("[Content_Types].xml", b"<Types/>")
        archive.writestr("word/document.xml", b"hello" * 100)
    data = bytearray(stream.getvalue())
    # Of the last member: version and size of its properties, then the dictionary's.
    at = data.rfind(b"\x09\x04\x05\x00") + 5
    data[at : at + 4] = b"\xff" * 4
    limits = resource.getrlimit(resource.RLIMIT_AS)

    resource.setrlimit(resource.RLIMIT_AS, (3 * 1024 * MIB, limits[1]))
    try:
        analysis = analyze(bytes(data))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)

    assert "part_unreadable" in kinds_of(analysis)


def test_entities_within_what_says_how_it_is_encrypted_are_not_expanded(analyze):
    entities = b'<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 10)
        for level in range(9)
    )
    info = b"\4\0\4\0\x40\0\0\0<!DOCTYPE e [" + entities + b"]><e spinCount='1'>&j;</e>"
    started = time.process_time()

    analysis = analyze(
        compound_file({"EncryptionInfo": info, "EncryptedPackage": bytes(4096)})
    )

    assert kinds_of(analysis) == {"encrypted"}
    assert time.process_time() - started < 5


def test_a_message_of_countless_parts_is_read_as_far_as_parts_are_looked_at(analyze):
    head = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
    started = time.process_time()

    analysis = analyze(head + b"--b\n\nx\n" * 500_000)

    assert "reading_stopped" in kinds_of(analysis)
    assert "MIME" in analysis.result["truncated"]
    # All of them take seven seconds.
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("data", "cut"),
    [
        (b"a: b\n" * 5_000_000, "MIME"),
        (b"Content-Type: multipart/mixed; " + b'a*0*="b";' * 200_000, "MIME headers"),
    ],
)
def test_heads_of_a_message_are_read_up_to_a_limit(analyze, data: bytes, cut: str):
    started = time.process_time()

    analysis = analyze(b"MIME-Version: 1.0\n" + data + b"\n\nx")

    assert cut in analysis.result["truncated"]
    # Without one, these take ten seconds and more.
    assert time.process_time() - started < 6


def test_documents_within_documents_have_a_bottom(analyze):
    inner = zip_of(TYPES)
    for _ in range(20):
        inner = zip_of({**TYPES, "word/embeddings/a.docx": inner})

    analysis = analyze(inner)

    assert "reading_stopped" in kinds_of(analysis)


def test_the_source_of_many_macros_is_scanned_up_to_a_limit(analyze):
    module = b"<script:module>" + b"x = 1\n" * 40_000 + b"</script:module>"
    parts = {f"Basic/Standard/m{number}.xml": module for number in range(6)}
    started = time.process_time()

    analysis = analyze(packed({**ODF, **parts}))

    assert "reading_stopped" in kinds_of(analysis)
    assert time.process_time() - started < 20


def test_a_run_without_blanks_in_a_macro_costs_linear_time(analyze):
    started = time.process_time()

    analyze(packed({**ODF, "Basic/Standard/m.xml": b"a-" * 40_000}))

    # Uncut it takes half a minute.
    assert time.process_time() - started < 8
