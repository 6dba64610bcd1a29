"""
Samples that analyzers tend to trip over.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator

#: Of the noise among them; any other would do as well.
_SEED = 20261123
_MEBIBYTE = 1024 * 1024


def odd_samples() -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of samples that analyzers tend to trip over."""
    noise = random.Random(_SEED).randbytes(_MEBIBYTE)  # noqa: S311  (no secret)
    archive = _archive(noise[:4096])
    yield "empty", b""
    yield "one byte", b"\0"
    yield "1 MiB of noise", noise
    yield "1 MiB of zeros", bytes(_MEBIBYTE)
    yield "one line of 1 MiB", b"A" * _MEBIBYTE
    yield "text that is not UTF-8", "blåbærsyltetøy\r\n".encode("latin-1") * 100
    yield "zip", archive
    yield "zip, truncated", archive[: len(archive) // 2]
    yield "zip, first bytes only", b"PK\x03\x04"
    yield "program header only", b"MZ" + bytes(58) + b"\xff\xff\xff\x7f"
    yield "ELF header, then noise", b"\x7fELF\x02\x01\x01" + noise[:2048]
    yield "PDF header, then noise", b"%PDF-1.7\n" + noise[:2048] + b"\n%%EOF"
    yield "OLE header, then noise", bytes.fromhex("d0cf11e0a1b11ae1") + noise[:4096]


def _archive(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("one.bin", content)
        archive.writestr("../two.txt", "a name that points outside")
    return out.getvalue()
