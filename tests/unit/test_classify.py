"""
What kind of file it is: the formats that count, and whatever else comes.
"""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.classify import classify
from orchestrator.contracts.assignment import Classification
from orchestrator.demo.files import build
from orchestrator.store import HEAD_BYTES, TAIL_BYTES

#: (type, super type, platform) that the bundled files have.
BUNDLED = {
    ("pe", "executable", "windows"),
    ("elf", "executable", "linux"),
    ("macho", "executable", "macos"),
    ("png", "image", "any"),
    ("rtf", "document", "any"),
    ("ooxml", "document", "any"),
    ("zip", "archive", "any"),
    ("pdf", "document", "any"),
}

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml."
_POWERPOINT = "application/vnd.openxmlformats-officedocument.presentationml."
_MS_WORD = "application/vnd.ms-word."
_MS_EXCEL = "application/vnd.ms-excel."
_MS_POWERPOINT = "application/vnd.ms-powerpoint."
_VISIO = "application/vnd.ms-visio."
_ODF = "application/vnd.oasis.opendocument."

_MAGICS = [
    b"MZ",
    b"\x7fELF\x02\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\xcf\xfa\xed\xfe",
    b"\xfe\xed\xfa\xce",
    b"\xca\xfe\xba\xbe",
    b"%PDF-",
    b"{\\rtf",
    b"\xff\xfe",
    b"\xfe\xff",
]

#: Characters; many heads, so that what grows faster than they do is not overlooked.
_LONG = 32 * HEAD_BYTES

_CLASSIFY = """
import sys
from orchestrator.classify import classify
content = open(sys.argv[1], "rb").read()
print(classify(content, content, len(content)).type)
"""


def _classify(content: bytes) -> Classification:
    return classify(content[:HEAD_BYTES], content[-TAIL_BYTES:], len(content))


def _zip(members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _content_types(main_part: str) -> str:
    return f'<Types><Override PartName="/a/b.xml" ContentType="{main_part}"/></Types>'


def _office_file(
    main_part: str,
    parts: Mapping[str, bytes] | None = None,
    *,
    encoding: str = "utf-8",
) -> bytes:
    types = _content_types(main_part).encode(encoding)
    return _zip({"[Content_Types].xml": types, "a/b.xml": b"<a/>", **(parts or {})})


def _compound_file(
    names: list[str], *, root: str | None = None, sectors_before: int = 0
) -> bytes:
    """A header, sectors without meaning, and a directory."""
    header = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0"))
    struct.pack_into("<H", header, 0x1E, 9)
    struct.pack_into("<I", header, 0x30, sectors_before)
    entries = b""
    for name in ["Root Entry", *names]:
        entry = bytearray(name.encode("utf-16-le").ljust(128, b"\0"))
        if root is not None and not entries:
            entry[80:96] = uuid.UUID(root).bytes_le
        entries += entry
    return bytes(header) + b"\1" * 512 * sectors_before + entries.ljust(1024, b"\0")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("bundled")
    return {file.path.name: file.path.read_bytes() for file in build(folder)}


def _truncated(content: bytes) -> list[bytes]:
    ends = [*range(64), *(2**power for power in range(6, 16))]
    return [content[:end] for end in ends if end <= len(content)]


def test_every_bundled_format_is_told(bundled: dict[str, bytes]):
    found = {name: _classify(content) for name, content in bundled.items()}
    kinds = {
        (classification.type, classification.super_type, classification.platform)
        for classification in found.values()
    }

    assert kinds >= BUNDLED
    for classification in found.values():
        assert classification.type != "unknown"


def test_a_head_that_ends_anywhere_is_told_something(bundled: dict[str, bytes]):
    for content in bundled.values():
        for cut in _truncated(content):
            assert isinstance(_classify(cut), Classification)


@settings(max_examples=400)
@given(st.binary(max_size=2048))
def test_any_bytes_get_the_same_answer_twice(content: bytes):
    assert _classify(content) == _classify(content)


@settings(max_examples=200)
@given(
    magic=st.sampled_from(_MAGICS),
    rest=st.binary(max_size=512),
)
def test_a_magic_before_rubbish_raises_nothing(magic: bytes, rest: bytes):
    assert _classify(magic + rest).type != "empty"


@pytest.mark.parametrize("offset", [0x40, 0x3C, 8190, 2**31, 2**32 - 1])
def test_an_offset_beyond_the_file_is_only_dos(offset: int):
    content = b"MZ" + b"\0" * 0x3A + struct.pack("<I", offset) + b"\0" * 64

    assert _classify(content).type == "dos"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\0", "unknown"),
        (b"\0" * 4096, "unknown"),
        (b"\1" * 4096, "unknown"),
        (b"\4\5" * 2048, "unknown"),
        (bytes(range(1, 7)) * 500, "unknown"),
        (b"a", "text"),
        ("grüße\n".encode("utf-16"), "text"),
        ("ä".encode() * 5000, "text"),
        (b"\xef\xbb\xbfecho", "text"),
        (b"#!/bin/bash\necho", "script"),
        (b"<!-- a\nb --><!-- c --><html>", "html"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"\xca\xfe\xba\xbe\0\0\0\0", "unknown"),
        (b"\xca\xfe\xba\xbe\0\0\0\x01", "macho"),
        (b"\xca\xfe\xba\xbe\0\0\0\x2c", "macho"),
        (b"\xca\xfe\xba\xbf\0\0\0\x02", "macho"),
        (b"\xca\xfe\xba\xbe\0\0\0\x2d", "java_class"),
        (b"\xca\xfe\xba\xbe\0\x03\0\x2d", "java_class"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "java_class"),
        (b"\xca\xfe\xba\xbe\xff\xff\0\x41", "java_class"),
        (b"\0" * 257 + b"ustar", "tar"),
    ],
)
def test_a_few_bytes_are_enough(content: bytes, kind: str):
    assert _classify(content).type == kind


@given(
    head=st.binary(max_size=256),
    tail=st.binary(max_size=256),
    size=st.integers(min_value=1, max_value=2**63),
    magic=st.sampled_from([b"", *_MAGICS]),
)
def test_ends_that_do_not_fit_together_raise_nothing(
    head: bytes, tail: bytes, size: int, magic: bytes
):
    assert classify(magic + head, tail, size).type != "empty"


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"{\\rtf1 ", "rtf"),
        (b"%PDF-1.4\n", "pdf"),
        (b"<?xml version='1.0'?><a>", "xml"),
        (b"PK\3\4".ljust(30, b"\0"), "zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    ],
)
@pytest.mark.parametrize(
    "mark", [(257, b"ustar"), (54, b"FAT16"), (40, b" EMF"), (32769, b"CD001")]
)
def test_bytes_further_on_do_not_hide_a_document(
    start: bytes, kind: str, mark: tuple[int, bytes]
):
    content = start.ljust(mark[0], b" ") + mark[1] + b" " * 700
    trailer = b"koly\0\0\0\x04".ljust(512, b"\0")

    assert _classify(content).type == kind
    assert _classify(content.ljust(2 * HEAD_BYTES, b" ") + trailer).type == kind


def test_a_zip_whose_directory_points_outside_is_a_zip():
    directory = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, 2**32 - 1, 2**32 - 1, 9)

    assert _classify(b"PK\3\4" + b"\0" * 26 + directory).type == "zip"
    assert _classify(directory).type == "zip"


@pytest.mark.parametrize("outer", ["pe", "elf", "macho", "png", "rtf", "pdf"])
def test_what_starts_the_file_decides_whatever_follows(
    outer: str, bundled: dict[str, bytes]
):
    contents = {_classify(content).type: content for content in bundled.values()}

    for inner in ("zip", "ooxml", "pdf", "pe"):
        polyglot = contents[outer] + contents[inner]
        assert _classify(polyglot).type == outer


def test_a_zip_is_told_by_its_directory_at_the_end():
    noise = random.Random(7).randbytes(200_000)
    content = _zip({"a": noise, "[Content_Types].xml": b"<Types/>", "word/a": b""})

    assert _classify(content).type == "ooxml"


def test_names_in_the_content_of_a_zip_tell_nothing():
    names = b"[Content_Types].xml word/document.xml META-INF/MANIFEST.MF"

    members = {"a": names, "b.docx": _office_file(_WORD + "document.main+xml")}
    content = _zip(members, method=zipfile.ZIP_STORED)

    assert _classify(content).type == "zip"


@pytest.mark.parametrize(
    ("machine", "bits", "arch"),
    [
        (2, 32, "sparc"),
        (2, 64, "sparc64"),
        (3, 32, "x86"),
        (8, 32, "mips"),
        (15, 32, "hppa"),
        (20, 32, "ppc"),
        (21, 64, "ppc64"),
        (22, 32, "s390"),
        (22, 64, "s390x"),
        (40, 32, "arm"),
        (43, 64, "sparc64"),
        (50, 64, "ia64"),
        (62, 64, "x86_64"),
        (183, 64, "arm64"),
        (243, 64, "riscv"),
        (258, 64, "loongarch"),
        (0x9026, 64, "alpha"),
        (0xFFFE, 64, "unknown"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_machine_of_an_elf_is_named(machine: int, bits: int, arch: str, order: str):
    header = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + b"\0" * 9
    found = _classify(header + struct.pack(f"{order}HH", 3, machine) + b"\0" * 40)

    assert (found.type, found.platform, found.arch) == ("elf", "linux", arch)


@pytest.mark.parametrize(
    ("main_part", "mime_type"),
    [
        (_WORD + "document.main+xml", _WORD + "document"),
        (_WORD + "template.main+xml", _WORD + "template"),
        (
            _MS_WORD + "document.macroEnabled.main+xml",
            _MS_WORD + "document.macroEnabled.12",
        ),
        (
            _MS_WORD + "template.macroEnabledTemplate.main+xml",
            _MS_WORD + "template.macroEnabled.12",
        ),
        (_EXCEL + "sheet.main+xml", _EXCEL + "sheet"),
        (_EXCEL + "template.main+xml", _EXCEL + "template"),
        (
            _MS_EXCEL + "sheet.macroEnabled.main+xml",
            _MS_EXCEL + "sheet.macroEnabled.12",
        ),
        (
            _MS_EXCEL + "addin.macroEnabled.main+xml",
            _MS_EXCEL + "addin.macroEnabled.12",
        ),
        (
            _MS_EXCEL + "template.macroEnabled.main+xml",
            _MS_EXCEL + "template.macroEnabled.12",
        ),
        (
            _MS_EXCEL + "sheet.binary.macroEnabled.main",
            _MS_EXCEL + "sheet.binary.macroEnabled.12",
        ),
        (_POWERPOINT + "presentation.main+xml", _POWERPOINT + "presentation"),
        (_POWERPOINT + "slideshow.main+xml", _POWERPOINT + "slideshow"),
        (
            _MS_POWERPOINT + "slideshow.macroEnabled.main+xml",
            _MS_POWERPOINT + "slideshow.macroEnabled.12",
        ),
        (_VISIO + "drawing.main+xml", _VISIO + "drawing"),
        (_VISIO + "drawing.macroEnabled.main+xml", _VISIO + "drawing.macroEnabled.12"),
        (
            "application/vnd.ms-package.xps-fixeddocument+xml",
            "application/vnd.ms-xpsdocument",
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_content_types_tell_the_kind_of_an_office_file(
    main_part: str, mime_type: str, encoding: str
):
    found = _classify(_office_file(main_part, encoding=encoding))

    assert (found.type, found.mime_type) == ("ooxml", mime_type)


def test_an_open_xps_is_told_by_its_relationships():
    parts = {"_rels/.rels": b'Type="http://schemas.openxps.org/oxps/v1.0/fixed"'}
    main_part = "application/vnd.ms-package.xps-fixeddocument+xml"

    assert _classify(_office_file(main_part, parts)).mime_type == "application/oxps"


@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("word/document.xml", _WORD + "document"),
        ("xl/vbaProject.bin", _MS_EXCEL + "sheet.macroEnabled.12"),
        ("xl/workbook.bin", _MS_EXCEL + "sheet.binary.macroEnabled.12"),
        ("visio/document.xml", _VISIO + "drawing"),
        ("FixedDocSeq.fdseq", "application/vnd.ms-xpsdocument"),
    ],
)
def test_names_tell_an_office_file_whose_content_types_are_out_of_sight(
    name: str, mime_type: str
):
    noise = random.Random(7).randbytes(HEAD_BYTES + TAIL_BYTES)
    content = _zip(
        {
            "a": noise[:HEAD_BYTES],
            "[Content_Types].xml": b"<Types/>",
            name: b"",
            "b": noise,
        }
    )

    found = _classify(content)

    assert (found.type, found.mime_type) == ("ooxml", mime_type)


def test_a_zip_of_thousands_of_members_is_told_by_the_first_and_the_last():
    many = {f"com/example/names/that/are/long/{n}.class": b"" for n in range(3000)}
    java = {"META-INF/": b"", "META-INF/MANIFEST.MF": b"", **many}
    android = {**many, "AndroidManifest.xml": b""}

    assert _classify(_zip(java)).type == "jar"
    assert _classify(_zip(android)).type == "apk"


def test_a_directory_that_does_not_fit_hides_no_document():
    content = _office_file(_WORD + "document.main+xml")
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)

    assert _classify(b"PK\3\4".ljust(30, b"\0") + content + end).type == "ooxml"


def test_content_types_that_inflate_without_end_are_read_up_to_a_limit():
    types = b" " * 2**24 + _content_types(_WORD + "template.main+xml").encode()
    content = _zip({"[Content_Types].xml": types, "word/document.xml": b""})

    assert _classify(content).mime_type == _WORD + "document"


def test_a_zip_of_which_the_end_is_missing_is_told_by_its_first_members():
    content = _office_file(
        _EXCEL + "template.main+xml", {"xl/workbook.xml": b"x" * 900}
    )

    assert _classify(content[:600]).mime_type == _EXCEL + "template"


@pytest.mark.parametrize(
    ("members", "kind", "mime_type"),
    [
        (
            {"mimetype": _ODF.encode() + b"text-template"},
            "odf",
            _ODF + "text-template",
        ),
        ({"mimetype": _ODF.encode() + b"spreadsheet"}, "odf", _ODF + "spreadsheet"),
        (
            {"META-INF/manifest.xml": b"", "content.xml": b""},
            "odf",
            _ODF + "text",
        ),
        ({"mimetype": b"application/epub+zip"}, "epub", "application/epub+zip"),
        (
            {"META-INF/MANIFEST.MF": b"", "A.class": b""},
            "jar",
            "application/java-archive",
        ),
        (
            {"META-INF/MANIFEST.MF": b"", "AndroidManifest.xml": b""},
            "apk",
            "application/vnd.android.package-archive",
        ),
        ({"Payload/A.app/Info.plist": b""}, "ipa", "application/x-ios-app"),
        ({"[Content_Types].xml": b"", "a.nuspec": b""}, "nupkg", "application/zip"),
        ({"[Content_Types].xml": b""}, "zip", "application/zip"),
        ({"a": b""}, "zip", "application/zip"),
    ],
)
def test_members_tell_what_a_zip_is(
    members: dict[str, bytes], kind: str, mime_type: str
):
    found = _classify(_zip(members))

    assert (found.type, found.mime_type) == (kind, mime_type)


@pytest.mark.parametrize(
    ("names", "kind", "mime_type"),
    [
        (["WordDocument", "1Table"], "ole", "application/msword"),
        (["Workbook"], "ole", "application/vnd.ms-excel"),
        (["Book", "WordDocument"], "ole", "application/vnd.ms-excel"),
        (["WordDocument", "Workbook"], "ole", "application/msword"),
        (
            ["Current User", "PowerPoint Document"],
            "ole",
            "application/vnd.ms-powerpoint",
        ),
        (["VisioDocument"], "ole", "application/vnd.visio"),
        (
            ["EncryptionInfo", "EncryptedPackage"],
            "ole",
            "application/x-ooxml-protected",
        ),
        (["__properties_version1.0"], "msg", "application/vnd.ms-outlook"),
        (["Something"], "ole", "application/x-ole-storage"),
    ],
)
@pytest.mark.parametrize("sectors_before", [0, 3, 400])
def test_the_directory_tells_what_a_compound_file_is(
    names: list[str], kind: str, mime_type: str, sectors_before: int
):
    found = _classify(_compound_file(names, sectors_before=sectors_before))

    assert (found.type, found.mime_type) == (kind, mime_type)


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        ("000c1084-0000-0000-c000-000000000046", "msi"),
        ("00020d0b-0000-0000-c000-000000000046", "msg"),
        ("00020820-0000-0000-c000-000000000046", "ole"),
    ],
)
def test_the_class_of_the_root_goes_before_names(root: str, kind: str):
    assert _classify(_compound_file(["WordDocument"], root=root)).type == kind


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        (b"", "pdf"),
        (b"% a comment\n", "pdf"),
        (b"\n" * 1000, "pdf"),
        (bytes(range(1, 256)), "pdf"),
        (b"<html>", "pdf"),
        (b"\xef\xbb\xbf", "pdf"),
        (b"a" * 1024, "text"),
        (b"%PDF- 1.4", "pdf"),
        (b'data = b"', "text"),
        (b"MZ\0\0", "dos"),
    ],
)
def test_a_pdf_begins_within_the_first_kilobyte(before: bytes, kind: str):
    assert _classify(before + b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>").type == kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{\\rt", "rtf"),
        (b"{\\rt{\\object}}", "rtf"),
        (b"{\\rtf1\\ansi}", "rtf"),
        (b"{\\rtfoo}", "rtf"),
        (b"\r\n {\\rtf1}", "rtf"),
        (b"{\\r}", "text"),
        (b"A text about {\\rtf1}", "text"),
    ],
)
def test_rtf_needs_no_more_than_word_does(content: bytes, kind: str):
    assert _classify(content).type == kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\x10\0\0\0AVI LIST", "avi"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x18ftypheic", "heif"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska", "mkv"),
        (b"ID3\x03\0\0", "mp3"),
        (b"\xff\xfb\x90\x64\0\0", "mp3"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "bmp"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0", "ico"),
        (b"II*\0\x08\0\0\0", "tiff"),
        (b"MSCF\0\0\0\0", "cab"),
        (b"Rar!\x1a\x07\0", "rar"),
        (b"Rar!\x1a\x07\x01\0", "rar"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
        (b"BZh91AY&SY", "bzip2"),
        (b"!<arch>\ndebian-binary   ", "deb"),
        (b"!<arch>\nfoo.o/", "ar"),
        (b"\xed\xab\xee\xdb\3\0", "rpm"),
        (b"\0" * 32769 + b"CD001\1", "iso"),
        (b"\1" * 700 + b"conectix" + b"\0" * 504, "vhd"),
        (b"\1" * 700 + b"koly\0\0\0\x04" + b"\0" * 504, "dmg"),
        (b"vhdxfile", "vhdx"),
        (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0", "lnk"),
        (b"ITSF\3\0\0\0", "chm"),
        (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1", "onenote"),
        (b"\0asm\1\0\0\0", "wasm"),
        (b"dex\n035\0", "dex"),
        (b"\xa7\x0d\r\n" + b"\0" * 12 + b"\xe3", "pyc"),
        (b"\x03\xf3\r\n" + b"\x11" * 4 + b"c", "pyc"),
        (b"SQLite format 3\0", "sqlite"),
        (b"\0\1\0\0Standard Jet DB\0", "mdb"),
        (b"CWS\x0a\x10\x10\0\0x", "swf"),
        (b"#@~^AAAA==", "script"),
    ],
)
def test_a_magic_has_a_name(content: bytes, kind: str):
    assert _classify(content).type == kind


@pytest.mark.parametrize(
    "content",
    [
        b"MZ is the mark of Mark Zbikowski.",
        b"BZh is how it begins.",
        b"FWS and CWS are marks of films.",
        b"Rar! she said.",
        b"BM is a car, nearly, and nothing else follows.",
        b"GIF pictures are old.",
        b"PK\n",
        b"dex is short.",
        b"7z x file",
        b"%PDF- is how it begins.",
    ],
)
def test_letters_of_a_magic_in_a_text_tell_nothing(content: bytes):
    assert _classify(content).mime_type == "text/plain"


@pytest.mark.parametrize("length", [40, 64, 200, 1000, 9000])
def test_random_bytes_are_no_text(length: int):
    rng = random.Random(11)
    found = [_classify(rng.randbytes(length)).super_type for _ in range(200)]

    # By chance two bytes in a thousand files begin like something.
    assert found.count("unknown") >= 198
    assert not {"script", "document"} & set(found)


@pytest.mark.parametrize(
    "pattern",
    [
        "<!--a-->",
        "<!--",
        "function ",
        "$a = ",
        "dim x\n sub ",
        "\n \n ",
        "\n",
        "\r",
        "#!" + "a " * 50,
        "a=" * 40,
        "new-object ",
        "a word, ",
        "for x in ",
        "1 ",
        ",\t",
        "(= |",
        "From: a@ ",
        "def f(",
        "<?",
        "function(){",
    ],
)
def test_text_made_to_be_slow_is_not(pattern: str, tmp_path: Path):
    file = tmp_path / "slow"
    file.write_text(pattern * (_LONG // len(pattern)))

    # Linear is a tenth of a second, quadratic an hour: another process can be ended.
    done = subprocess.run(
        [sys.executable, "-c", _CLASSIFY, str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout.strip() in {"text", "script", "html", "json"}
