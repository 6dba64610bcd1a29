"""
What kind of file it is: the formats that count, and whatever else comes.
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
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
        (b"a", "text"),
        ("grüße\n".encode("utf-16"), "text"),
        ("ä".encode() * 5000, "text"),
        (b"\xef\xbb\xbfecho", "text"),
        (b"#!/bin/bash\necho", "script"),
        (b"<!-- a\nb --><!-- c --><html>", "html"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "macho"),
        (b"\xca\xfe\xba\xbe\0\x03\0\x34", "unknown"),
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
    content = b"PK\x03\x04" + noise + b"[Content_Types].xml" + b"word/document.xml"

    assert _classify(content).type == "ooxml"


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

    assert done.stdout.strip() in {"text", "script", "html"}
