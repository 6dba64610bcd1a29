"""What the analyzer ``executable`` tells of a program's origin, and of its sections."""

from __future__ import annotations

import hashlib
import struct
import time
from pathlib import Path

import jsonschema
import lief
import pytest

from orchestrator.demo import files as demo_files
from tests.fixtures.authenticode import signed
from workers import Analysis, Sample
from workers.analyzers.executable.analyzer import executable

MIB = 1024 * 1024


@pytest.fixture(name="program")
def small_program(tmp_path: Path) -> bytes:
    files = {item.kind: item for item in demo_files.build(tmp_path, padding_bytes=0)}
    return files["pe"].path.read_bytes()


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        path = tmp_path / "sample"
        path.write_bytes(data)
        analysis = executable(Sample(path=path, sha256="0" * 64, size=len(data)))
        jsonschema.validate(analysis.result, executable.schema)
        return analysis

    return run


def text_block(key: str, *children: bytes, value: bytes = b"", kind: int = 1) -> bytes:
    """One structure of a version resource, padded to its end."""
    head = key.encode("utf-16-le") + b"\0\0"
    body = head + bytes(-(6 + len(head)) % 4) + value + bytes(-len(value) % 4)
    body += b"".join(children)
    count = len(value) if kind == 0 else len(value) // 2
    block = struct.pack("<3H", 6 + len(body), count, kind) + body
    return block + bytes(-len(block) % 4)


def version_resource(texts: dict[str, str]) -> bytes:
    fixed = struct.pack("<I", 0xFEEF04BD) + struct.pack("<I", 0x10000) + bytes(44)
    strings = [
        text_block(key, value=(value + "\0").encode("utf-16-le"))
        for key, value in texts.items()
    ]
    table = text_block("StringFileInfo", text_block("040904b0", *strings))
    return text_block("VS_VERSION_INFO", table, value=fixed, kind=0)


def with_resource(program: bytes, kind: int, data: bytes) -> bytes:
    """Put *data* behind the headers as the only resource, of that kind."""
    image = bytearray(program)
    header = struct.unpack_from("<I", image, 0x3C)[0]
    count = struct.unpack_from("<H", image, header + 6)[0]
    address, offset = 0x3000, len(image)
    leaf = 3 * 24
    tree = b"".join(
        struct.pack("<IIHHHH2I", 0, 0, 0, 0, 0, 1, name, place)
        for name, place in ((kind, 0x80000018), (1, 0x80000030), (0x409, leaf))
    )
    body = tree + struct.pack("<4I", address + leaf + 16, len(data), 0, 0) + data
    body += bytes(-len(body) % 0x200)
    section = struct.pack(
        "<8s6I2HI",
        b".rsrc",
        len(body),
        address,
        len(body),
        offset,
        0,
        0,
        0,
        0,
        0x40000040,
    )
    struct.pack_into("<H", image, header + 6, count + 1)
    at = header + 24 + 240 + count * 40
    image[at : at + 40] = section
    struct.pack_into("<I", image, header + 24 + 56, 0x3000 + 0x1000)
    struct.pack_into("<2I", image, header + 24 + 112 + 2 * 8, address, len(body))
    return bytes(image) + body


def sharing_sections(program: bytes, count: int, size: int) -> bytes:
    """A program of *count* sections, each with the same *size* bytes."""
    image = bytearray(program[: struct.unpack_from("<I", program, 0x3C)[0] + 264])
    struct.pack_into("<H", image, len(image) - 264 + 6, count)
    for number in range(count):
        image += struct.pack(
            *("<8s6I2HI", b".%d" % number, size, 0x1000 * (number + 1), size, 0x8000),
            *(0, 0, 0, 0, 0x60000020),
        )
    return bytes(image).ljust(0x8000, b"\0") + bytes(size)


def test_a_section_is_told_by_its_hash(analyze, program: bytes):
    section = analyze(program).result["sections"][0]

    content = program[section["file_offset"] :][: section["virtual_size"]]
    assert section["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_version_information_is_told(analyze, program: bytes):
    texts = {"CompanyName": "Acme \N{POUND SIGN}", "OriginalFilename": "acme.exe"}

    analysis = analyze(with_resource(program, 16, version_resource(texts)))

    assert analysis.result["version_info"] == texts


def test_version_information_that_is_damaged_is_none(analyze, program: bytes):
    whole = version_resource({"CompanyName": "Acme"})

    for length in range(0, len(whole), 7):
        analysis = analyze(with_resource(program, 16, whole[:length]))

        assert analysis.result["version_info"] in ({}, {"CompanyName": "Acme"})


def test_who_signed_is_told_by_name(analyze, program: bytes):
    data = signed(program, name="Acme, Signing", organisation="Acme Ltd")

    analysis = analyze(data)

    subject = "O=Acme Ltd, CN=Acme\\, Signing"
    assert analysis.result["signers"] == [
        {"name": "Acme, Signing", "subject": subject, "issuer": subject}
    ]
    assert {"kind": "signed"} in analysis.result["findings"]


def test_a_signature_that_is_cut_off_names_nobody(analyze, program: bytes):
    data = signed(program, name="Acme", organisation="Acme Ltd")

    for length in range(len(program), len(data), 50):
        assert analyze(data[:length]).result["signers"] == []


def test_where_the_debugging_information_was_is_told(analyze, tmp_path, program):
    plain = tmp_path / "plain.exe"
    plain.write_bytes(program)
    pe = lief.PE.parse(plain)
    assert pe is not None
    pe.add_debug_info(lief.PE.CodeViewPDB("C:\\build\\acme.pdb"))
    made = tmp_path / "debug.exe"
    pe.write(str(made))

    assert analyze(made.read_bytes()).result["debug_path"] == "C:\\build\\acme.pdb"


def test_a_program_that_says_nothing_of_itself_has_no_origin(analyze, program: bytes):
    result = analyze(program).result

    assert result["version_info"] == {}
    assert result["debug_path"] is None
    assert result["signers"] == []


def test_sections_that_share_bytes_many_times_are_a_finding(analyze, program: bytes):
    started = time.process_time()

    analysis = analyze(sharing_sections(program, 96, 20 * MIB))

    assert {"kind": "sections_overlap"} in analysis.result["findings"]
    assert analysis.result["truncated"] == {"the program": "not read"}
    # Copying and measuring all of them takes ten times as long.
    assert time.process_time() - started < 0.5


def test_a_program_of_countless_symbols_is_read_in_seconds(analyze):
    count = 300_000
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0x401000, 0, 64, 0, 64, 56, 0, 64, 3, 0
    )
    section = struct.Struct("<IIQQQQIIQQ")
    tables = (
        section.pack(*[0] * 10)
        + section.pack(1, 2, 0, 0, 256, 24 * count, 2, 0, 8, 24)
        + section.pack(1, 3, 0, 0, 256, 4096, 0, 0, 1, 0)
    )
    started = time.process_time()

    analysis = analyze(
        header + tables + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 5, 5) * count
    )

    assert analysis.result["format"] == "elf"
    # Where each step goes through all symbols, this takes four seconds.
    assert time.process_time() - started < 2
