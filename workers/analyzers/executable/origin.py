"""
Reads what a PE program says of where it is from: version, debug path, who signed it.

All of it is the author's word: nothing is verified.
"""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import Any

import lief

from workers.analyzers.executable.program import Signer
from workers.findings import clean

#: Windows' own version resource has a dozen entries.
_MOST_ENTRIES = 50
_MOST_SIGNERS = 10
_COMMON_NAME = re.compile(r"(?:^|, )CN=((?:[^,\\]|\\.)*+)")


def version_info(pe: Any) -> dict[str, str]:
    """The texts of the version resource by name: ``CompanyName`` and so on."""
    resources = pe.resources_manager if pe.has_resources else None
    if resources is None or isinstance(resources, lief.lief_errors):
        return {}
    texts = (
        version.string_file_info
        for version in resources.version
        if version.string_file_info is not None
    )
    tables = chain.from_iterable(text.children for text in texts)
    entries = chain.from_iterable(table.entries for table in tables)
    found: dict[str, str] = {}
    for entry in islice(entries, _MOST_ENTRIES):
        # A table for each language: the first is what Windows shows.
        found.setdefault(clean(entry.key, 64), clean(entry.value))
    return found


def debug_path(pe: Any) -> str | None:
    """Where the debugging information was when the program was built."""
    debug = pe.codeview_pdb
    if debug is None:
        return None
    try:
        path = debug.filename
    except UnicodeDecodeError as exc:
        path = exc.object
    return clean(path) or None


def signers(pe: Any) -> list[Signer]:
    """Who signed it, in the certificate's words."""
    all_of_them = chain.from_iterable(
        signature.signers for signature in islice(pe.signatures, _MOST_SIGNERS)
    )
    return [_signer(signer) for signer in islice(all_of_them, _MOST_SIGNERS)]


def _signer(signer: Any) -> Signer:
    certificate = signer.cert
    # Without its certificate there is who had issued that.
    subject = certificate.subject if certificate is not None else ""
    name = _COMMON_NAME.search(subject)
    return Signer(
        name=clean(re.sub(r"\\(.)", r"\1", name[1] if name else subject)),
        subject=clean(subject),
        issuer=clean(signer.issuer),
    )
