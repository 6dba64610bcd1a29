"""
The bundled analyzer ``strings``: what a sample says in plain sight.

It reports indicators and entropy, and seldom scores: a URL is no offence. It does not
decode or follow anything.
"""

from __future__ import annotations

import re

from workers import Analysis, Sample, analyzer
from workers.analysis import JSON
from workers.analyzers.strings.indicators import (
    LIST_LIMIT,
    Indicators,
    is_address,
    is_onion,
)
from workers.analyzers.strings.scan import BLOCK_BYTES, Entropy, RunStatistics, Scan
from workers.findings import Findings, Kind, array, schema, strict

#: Words alone convict nobody: the score stays within what people read as informational.
HIGHEST_SCORE = 29

KINDS = {
    "encoded_powershell": Kind(
        points=25,
        reason="A PowerShell command is passed in encoded form",
        behaviour="encoded-command",
    ),
    "encoded_executable": Kind(
        points=25,
        reason="Base64 data decodes to a program",
        behaviour="encoded-payload",
    ),
    "onion_host": Kind(
        points=15, reason="Names a Tor onion service", behaviour="tor-service"
    ),
    "address_url": Kind(points=10, reason="A URL names a bare IP address as its host"),
    "program_url": Kind(points=5, reason="A URL leads to a program or script"),
    "high_entropy": Kind(
        points=0, reason="The whole file looks compressed or encrypted"
    ),
    "url": Kind(points=0, reason="Holds URLs"),
    "email": Kind(points=0, reason="Holds e-mail addresses"),
    "hash": Kind(points=0, reason="Holds what look like file hashes"),
}

_PROGRAM_URL = re.compile(
    r"\.(?:exe|dll|scr|ps1|bat|cmd|vbs|hta|js|jse|wsf|msi|apk|elf|sh)(?:[?#]|$)",
    re.IGNORECASE,
)
#: Random bytes measure close to 8 bits; compressed files start at about this value.
_HIGH_ENTROPY_BITS = 7.9

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_BITS = {"type": "number", "minimum": 0, "maximum": 8}
_RUNS = strict({"count": _COUNT, "characters": _COUNT, "longest": _COUNT})
_ADDRESSES = array(strict({"address": _TEXT, "scope": _TEXT}))

_SCHEMA = schema(
    {
        "scanned_bytes": _COUNT,
        "entropy": strict(
            {
                "overall": _BITS,
                "block_bytes": _COUNT,
                "highest_block": _BITS,
                "highest_block_offset": _COUNT,
            }
        ),
        "strings": strict({"ascii": _RUNS, "utf16le": _RUNS}),
        "urls": array(strict({"url": _TEXT, "host": _TEXT})),
        "hosts": array(_TEXT),
        "ipv4": _ADDRESSES,
        "ipv6": _ADDRESSES,
        "emails": array(_TEXT),
        "hashes": strict(
            {"md5": array(_TEXT), "sha1": array(_TEXT), "sha256": array(_TEXT)}
        ),
        "base64": array(strict({"characters": _COUNT, "content": _TEXT})),
    }
)


@analyzer(
    "strings",
    version="3",
    accepts=["*"],
    run_seconds=120,
    schema=_SCHEMA,
    # It is memory-safe and keeps nothing from one sample to the next.
    reuse_child=True,
    title="Strings and indicators",
    description="URLs, hosts, addresses, e-mails, hashes, encoded data and entropy.",
)
def strings(sample: Sample) -> Analysis:
    """Read the sample once and report what its text names."""
    scan, found = Scan(entropy=Entropy.of(sample.size)), Indicators()
    with sample.open() as stream:
        for text in scan.texts(stream):
            found.collect(text)
    findings = Findings(KINDS, highest=HIGHEST_SCORE)
    _judge_network(findings, found)
    _judge_content(findings, found, scan)
    _note_cuts(findings, found)
    if scan.scanned_bytes < sample.size:
        findings.cut("bytes", f"{scan.scanned_bytes} of {sample.size}")
    return findings.analysis(
        {
            "scanned_bytes": scan.scanned_bytes,
            "entropy": _entropy(scan.entropy),
            "strings": {"ascii": _runs(scan.ascii), "utf16le": _runs(scan.utf16)},
            **_lists(found),
        }
    )


def _note_cuts(findings: Findings, found: Indicators) -> None:
    cut = {
        "urls": found.urls.is_cut,
        "hosts": found.hosts.is_cut,
        "ipv4": found.ipv4.is_cut,
        "ipv6": found.ipv6.is_cut,
        "emails": found.emails.is_cut,
        "hashes": found.hashes.is_cut,
        "base64": found.blobs.is_cut,
    }
    for name in (name for name, is_cut in cut.items() if is_cut):
        findings.cut(name, f"{LIST_LIMIT} of more")


def _judge_network(findings: Findings, found: Indicators) -> None:
    for host in found.hosts:
        if is_onion(host):
            findings.add("onion_host", name=host)
    for url, host in found.urls.items():
        findings.add("url", name=url)
        if is_address(host):
            findings.add("address_url", name=url)
        if _PROGRAM_URL.search(url):
            findings.add("program_url", name=url)


def _judge_content(findings: Findings, found: Indicators, scan: Scan) -> None:
    for email in found.emails:
        findings.add("email", name=email)
    for digest, name in found.hashes.items():
        findings.add("hash", name=digest, detail=name)
    for blob in found.blobs:
        if blob.content in {"pe", "elf"}:
            findings.add("encoded_executable", detail=f"{blob.characters} characters")
    if found.encoded_commands:
        count = f"{found.encoded_commands} time(s)"
        findings.add("encoded_powershell", detail=count)
    if scan.entropy.overall >= _HIGH_ENTROPY_BITS:
        findings.add("high_entropy", detail=f"{scan.entropy.overall:.2f} bits per byte")


def _entropy(entropy: Entropy) -> JSON:
    return {
        "overall": round(entropy.overall, 4),
        "block_bytes": BLOCK_BYTES,
        "highest_block": round(entropy.highest, 4),
        "highest_block_offset": entropy.highest_offset,
    }


def _runs(runs: RunStatistics) -> JSON:
    return {"count": runs.count, "characters": runs.total, "longest": runs.longest}


def _lists(found: Indicators) -> dict[str, JSON]:
    return {
        "urls": [{"url": url, "host": host} for url, host in found.urls.items()],
        "hosts": list(found.hosts),
        "ipv4": _addresses(found.ipv4),
        "ipv6": _addresses(found.ipv6),
        "emails": list(found.emails),
        "hashes": {
            kind: [digest for digest, name in found.hashes.items() if name == kind]
            for kind in ("md5", "sha1", "sha256")
        },
        "base64": [
            {"characters": blob.characters, "content": blob.content}
            for blob in found.blobs
        ],
    }


def _addresses(scopes: dict[str, str]) -> JSON:
    return [{"address": address, "scope": scope} for address, scope in scopes.items()]
