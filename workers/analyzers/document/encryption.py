"""
Says whether an OLE document is encrypted, and opens it with the passwords of Office.

Excel and PowerPoint try a password of their own before they ask for one: what is
encrypted with it opens by itself, and hides from whoever does not try it. No password
is guessed beyond these.
"""

from __future__ import annotations

import io
import re
import struct
from xml.parsers.expat import ExpatError

import msoffcrypto  # type: ignore[import-untyped]  # it has no stubs
import olefile  # type: ignore[import-untyped]  # it has no stubs
from msoffcrypto.exceptions import (  # type: ignore[import-untyped]
    DecryptionError,
    FileFormatError,
    ParseError,
)

from workers.analyzers.document.biff import is_encrypted_workbook
from workers.analyzers.document.budget import PART_BYTES
from workers.analyzers.document.facts import PARSER_ERRORS, Document

#: Excel's and PowerPoint's own, which are no secret.
_DEFAULT_PASSWORDS = ("VelvetSweatshop", "/01Hannes Ruescher/01")
#: Office writes 100,000 rounds of hashing; each costs a microsecond, before any check.
_MOST_ROUNDS = 200_000
_ROUNDS = re.compile(rb"spinCount\s{0,8}=\s{0,8}[\"'](\d{1,12})")
#: The version of EncryptionInfo that is XML and says how many.
_AGILE = b"\x04\x00\x04\x00"
_HEAD_BYTES = 64 * 1024
#: Decryption of the old formats is pure Python.
_LARGEST_BYTES = PART_BYTES
_WORD_MAGIC = 0xA5EC
_WORD_ENCRYPTED = 0x0100
#: Of PowerPoint's current user: a token says whether the edit is encrypted.
_POWERPOINT_ENCRYPTED = 0xF3D1C4DF
_ERRORS = (*PARSER_ERRORS, DecryptionError, FileFormatError, ParseError, ExpatError)


def find_encryption(ole: olefile.OleFileIO) -> str | None:
    """The stream that says that the document is encrypted, if one does."""
    for stream, says_so in (
        ("EncryptionInfo", lambda _: True),
        ("EncryptedPackage", lambda _: True),
        ("WordDocument", _is_encrypted_text),
        ("Workbook", is_encrypted_workbook),
        ("Book", is_encrypted_workbook),
        ("Current User", _is_encrypted_presentation),
    ):
        if ole.exists(stream) and says_so(_head(ole, stream)):
            return stream
    return None


def decrypt(ole: olefile.OleFileIO, data: bytes, document: Document) -> bytes | None:
    """
    Open *data*, an encrypted OLE document, with the passwords that Office tries.

    Returns:
        The document in the clear; None if it takes another password, or too long.
    """
    if len(data) > _LARGEST_BYTES or _is_laborious(ole):
        return None
    for password in _DEFAULT_PASSWORDS:
        if not document.budget.has_time():
            return None
        try:
            return _decrypt(data, password)
        except _ERRORS:
            continue
    return None


def _head(ole: olefile.OleFileIO, stream: str) -> bytes:
    # Records of a workbook say within their first few that they are encrypted.
    head: bytes = ole.openstream(stream).read(_HEAD_BYTES)
    return head


def _is_encrypted_text(data: bytes) -> bool:
    """The flag fEncrypted of the file information block, [MS-DOC]."""
    if len(data) < 12:  # noqa: PLR2004  (up to the flags)
        return False
    magic, flags = struct.unpack_from("<H8xH", data)
    return magic == _WORD_MAGIC and bool(flags & _WORD_ENCRYPTED)


def _is_encrypted_presentation(data: bytes) -> bool:
    if len(data) < 16:  # noqa: PLR2004  (up to the token)
        return False
    token: int = struct.unpack_from("<12xI", data)[0]
    return token == _POWERPOINT_ENCRYPTED


def _is_laborious(ole: olefile.OleFileIO) -> bool:
    """Whether a password costs more than Office's own settings let it."""
    if not ole.exists("EncryptionInfo"):
        return False
    info = _head(ole, "EncryptionInfo")
    if not info.startswith(_AGILE):
        return False
    counts = [int(count) for count in _ROUNDS.findall(info)]
    # What is written so that only a parser of XML reads it is not believed.
    readable = len(counts) == info.count(b"spinCount") and len(info) < _HEAD_BYTES
    return not counts or not readable or max(counts) > _MOST_ROUNDS


def _decrypt(data: bytes, password: str) -> bytes:
    office = msoffcrypto.OfficeFile(io.BytesIO(data))
    # What comes out says whether the password was right: the library's own check of it
    # costs as much again, and fails where the hash is SHA-1.
    office.load_key(password=password)
    clear = io.BytesIO()
    office.decrypt(clear)
    return clear.getvalue()
