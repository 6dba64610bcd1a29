"""
Reads VBA and Excel 4 macros with olevba and names what they could do.

Names and known words are in the result, source code is evidence beside it. P-code is
not disassembled: that takes longer than everything else and fails more often.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import PurePosixPath

with warnings.catch_warnings():
    # olevba 0.60 calls pyparsing by names that pyparsing 3.3 has renamed.
    warnings.simplefilter("ignore", DeprecationWarning)
    from oletools import olevba
    from oletools.olevba import (
        TYPE_TEXT,
        OlevbaBaseException,
        VBA_Parser,
        VBA_Scanner,
    )

from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.dotted import is_version
from workers.findings import clean

#: A line of VBA has 1,023 characters at most. What is longer is cut there for the
#: scanner, whose pattern of e-mail addresses takes the square of such a run's length.
_LONG_RUN = re.compile(r"[\w.%+-]{1024}")
_MOST_MODULES = 200
#: Of each kind, in the row of a module.
_WORDS_SHOWN = 50
#: What one compressed stream of a project may unpack to, byte by byte in Python. A
#: module has 65,534 lines at most; ours are scanned up to a million characters.
_UNPACKED_BYTES = 4 * 1024 * 1024
#: The most that one chunk of it unpacks to: [MS-OVBA], compressed chunks.
_CHUNK_BYTES = 4096
_EXCEL4_FILE = "xlm_macro.txt"

_EXECUTION_WORDS = frozenset(
    word.lower()
    for word in (
        *(
            "Shell",
            "WScript.Shell",
            "ShellExecute",
            "ShellExecuteA",
            "Shell.Application",
        ),
        *("Run", "powershell", "command", "cmd.exe", "MacScript", "ExecuteExcel4Macro"),
        *("CreateThread", "CreateRemoteThread", "VirtualAlloc", "VirtualAllocEx"),
        *("WriteProcessMemory", "RtlMoveMemory", "SetTimer", "CallWindowProc"),
        *("CreateProcessA", "CreateProcess", "EnumSystemLanguageGroupsW"),
        *("CreateObject", "GetObject", "Win32_Process", "winmgmts"),
    )
)
_DOWNLOAD_WORDS = frozenset(
    word.lower()
    for word in (
        *("URLDownloadToFileA", "URLDownloadToFile", "Msxml2.XMLHTTP"),
        *("Microsoft.XMLHTTP", "MSXML2.ServerXMLHTTP", "User-Agent", "ADODB.Stream"),
        *("Net.WebClient", "DownloadFile", "DownloadString", "WinHttp"),
        *("WinHttp.WinHttpRequest", "WinHttpRequest.5.1"),
    )
)
_HIDING_WORDS = ("hex strings", "base64 strings", "dridex strings", "vba obfuscated")


class _BoundedUnpacker:
    """Unpacks streams of projects, but none whose chunks say that it is too much."""

    def __init__(self, unpack: Callable[[bytearray], bytes]) -> None:
        self._unpack = unpack
        self.refused = 0

    def __call__(self, compressed: bytearray) -> bytes:
        at, chunks = 1, 0
        while at + 2 <= len(compressed):
            at += (int.from_bytes(compressed[at : at + 2], "little") & 0x0FFF) + 3
            chunks += 1
        if chunks * _CHUNK_BYTES > _UNPACKED_BYTES:
            # Counted, since the library goes on after most errors.
            self.refused += 1
            raise ValueError("unpacks to more than any module has")
        return self._unpack(compressed)


# The library unpacks without a limit and has no setting for one. This can go when it
# has; the test of a project that unpacks to gigabytes will show it.
_unpacker = _BoundedUnpacker(olevba.decompress_stream)
olevba.decompress_stream = _unpacker


def read_macros(data: bytes, part: str, document: Document) -> None:
    """
    Note the macros of *data*, an OLE file or an XML document that may hold one.

    Args:
        data: The whole file or part.
        part: Where it is inside the document; for people.
        document: Gets the findings and one row per module with code.
    """
    refused = _unpacker.refused
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _read(data, part, document)
    except (OlevbaBaseException, *PARSER_ERRORS):
        document.findings.add("macro_unreadable", where=part)
    if _unpacker.refused > refused:
        document.findings.add("bomb", where=part, detail="a macro project")
        document.findings.cut(part, "a macro project is not unpacked")


def _read(data: bytes, part: str, document: Document) -> None:
    parser = VBA_Parser(part, data=data, disable_pcode=True)
    try:
        # What olevba cannot parse it takes for source code. It is some other text.
        if parser.type == TYPE_TEXT or not parser.detect_macros():
            return
        found = False
        modules = parser.extract_macros()
        for _, _, file_name, code in islice(modules, _MOST_MODULES):
            # It lists the sheets of every workbook; it says apart whether one has XLM.
            if file_name == _EXCEL4_FILE and not parser.contains_xlm_macros:
                continue
            if document.budget.is_spent:
                document.stop_reading(part)
                return
            if code and (file_name == _EXCEL4_FILE or _has_statements(code)):
                found = True
                _judge_module(str(file_name), code, part, document)
        if not found:
            document.findings.add("macro_unreadable", where=part)
        if next(modules, None) is not None:
            document.findings.cut(f"modules of {part}", f"{_MOST_MODULES} of more")
    finally:
        parser.close()


def _has_statements(code: str) -> bool:
    """Every document module has attributes; only some have code."""
    lines = (line.strip() for line in code.splitlines())
    return any(line and not line.startswith(("Attribute ", "'")) for line in lines)


def _judge_module(file_name: str, code: str, part: str, document: Document) -> None:
    if file_name == _EXCEL4_FILE:
        judge_source(code, "Excel 4", where=part, document=document, excel4=True)
    else:
        judge_source(code, PurePosixPath(file_name).stem, where=part, document=document)


def judge_source(
    code: str, module: str, *, where: str, document: Document, excel4: bool = False
) -> None:
    """
    Note what the source code of one module could do.

    Args:
        code: Of any Basic, or what the library writes of an Excel 4 macro sheet.
        module: Its name; for people.
        where: The part that holds it; for people.
        document: Gets the findings, and a row for the module.
        excel4: Whether it is an Excel 4 macro sheet.
    """
    findings = document.findings
    findings.add("macro_excel4" if excel4 else "macro", module=module, where=where)
    document.evidence.add_source(code, module, findings)
    words = _words(document.budget.take_source(code))
    if document.budget.is_spent:
        document.stop_reading(where)
    for word in words["AutoExec"]:
        findings.add("macro_auto_exec", name=word, module=module)
    for word in words["Suspicious"]:
        findings.add(_suspicious_kind(word), name=word, module=module)
    for word in words["IOC"]:
        findings.add("macro_indicator", name=word, module=module)
    for kind, found in words.items():
        if len(found) > _WORDS_SHOWN:
            amount = f"{_WORDS_SHOWN} of {len(found)}"
            findings.cut(f"{kind} words of {module}", amount)
    row = {
        "module": clean(module),
        "where": clean(where),
        "characters": len(code),
        "lines": code.count("\n"),
        "auto_exec": words["AutoExec"][:_WORDS_SHOWN],
        "suspicious": words["Suspicious"][:_WORDS_SHOWN],
        "indicators": words["IOC"][:_WORDS_SHOWN],
    }
    document.keep("macros", row)


def _words(code: str) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {"AutoExec": [], "Suspicious": [], "IOC": []}
    for kind, word, _ in VBA_Scanner(_LONG_RUN.sub("\\g<0>\n", code)).scan():
        if kind == "IOC" and is_version(word, code):
            continue
        if kind in words:
            words[kind].append(clean(word))
    return words


def _suspicious_kind(word: str) -> str:
    plain = word.lower()
    if plain in _EXECUTION_WORDS:
        return "macro_execution"
    if plain in _DOWNLOAD_WORDS:
        return "macro_download"
    if plain.startswith(_HIDING_WORDS):
        return "macro_obfuscation"
    return "macro_suspicious"
