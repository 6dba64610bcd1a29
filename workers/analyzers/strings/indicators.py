"""
Picks indicators out of bytes: URLs, hosts, addresses, hashes and encoded data.

Patterns start with a literal or at a boundary, so that hostile input costs linear time.
Does not read files and does not score.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from workers.dotted import reads_as_version
from workers.findings import clean

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Kept of each list; more than this is a data file, not a set of indicators.
LIST_LIMIT = 200
URL_LIMIT = 2048

_URL = re.compile(
    rb"(?:https?|ftps?|hxxps?)://[^\s\x00-\x20\"'<>\\^`{|}\x7f-\xff]{3,2000}",
    re.IGNORECASE,
)
#: Bare names only under domains that are seldom the end of a file's or symbol's name.
_HOST = re.compile(
    rb"(?<![A-Za-z0-9.@_/-])(?:[A-Za-z0-9-]{1,63}\.){1,8}"
    rb"(?:com|net|org|info|biz|onion|ru|cn|top|xyz|club|online|site|example|test)"
    rb"(?![A-Za-z0-9_.-])",
    re.IGNORECASE,
)
_ONION = re.compile(r"(?:^|\.)(?:[a-z2-7]{16}|[a-z2-7]{56})\.onion$")
_IPV4 = re.compile(rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(
    rb"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:{1,2}){2,7}[0-9a-fA-F]{1,4}(?![\w:.])"
)
_MAIL_DOMAIN = re.compile(
    rb"@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_MAIL_NAME = re.compile(rb"[A-Za-z0-9._%+-]{1,64}\Z")
_HASH = re.compile(
    rb"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})"
    rb"(?![0-9A-Za-z])"
)
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40,}={0,2}")
#: PowerShell takes any unambiguous beginning of -EncodedCommand.
_ENCODED_COMMAND = re.compile(
    rb"-e(?:nc?|nco(?:d(?:e(?:d(?:c(?:o(?:m(?:m(?:a(?:nd?)?)?)?)?)?)?)?)?)?)?"
    rb"[\s\"']{1,8}([A-Za-z0-9+/]{20,}={0,2})",
    re.IGNORECASE,
)
_HASH_NAMES = {32: "md5", 40: "sha1", 64: "sha256"}
_MAGICS = (
    (b"MZ", "pe"),
    (b"\x7fELF", "elf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"%PDF-", "pdf"),
    (b"\x89PNG", "png"),
    (b"\xd0\xcf\x11\xe0", "ole"),
)
#: Where a word would stand that says that four numbers are a version.
_BEFORE_BYTES = 40
_DECODE_CHARACTERS = 4096
_SHORTEST_IPV6_GROUPS = 3


class Blob(NamedTuple):
    """Base64 data: its length in characters and what its first bytes look like."""

    characters: int
    content: str


@dataclass(slots=True)
class Indicators:
    """Distinct indicators in order of appearance, each list bounded."""

    urls: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    ipv4: dict[str, str] = field(default_factory=dict)
    ipv6: dict[str, str] = field(default_factory=dict)
    emails: dict[str, None] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    blobs: dict[Blob, None] = field(default_factory=dict)
    encoded_commands: int = 0
    truncated: bool = False

    def collect(self, text: bytes) -> None:
        """Add everything that *text* holds."""
        self._collect_urls(text)
        for name in _hosts(text):
            self._keep(self.hosts, name, None)
        for address in _addresses(_IPV4, text):
            self._keep(self.ipv4, str(address), _scope(address))
        for address in _addresses(_IPV6, text):
            self._keep(self.ipv6, str(address), _scope(address))
        for email in _emails(text):
            self._keep(self.emails, email, None)
        for digest in _HASH.findall(text):
            value = digest.decode().lower()
            self._keep(self.hashes, value, _HASH_NAMES[len(value)])
        for blob in _blobs(text):
            self._keep(self.blobs, blob, None)
        self.encoded_commands += sum(
            _looks_like_utf16(match[1]) for match in _ENCODED_COMMAND.finditer(text)
        )

    def _collect_urls(self, text: bytes) -> None:
        for match in _URL.finditer(text):
            url = match[0].rstrip(b".,;:!?)]*").decode("ascii")
            host = _url_host(url)
            if host:
                self._keep(self.urls, clean(url, URL_LIMIT), host)
                self._keep(self.hosts, host, None)

    def _keep(self, kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
        if len(kept) >= LIST_LIMIT and key not in kept:
            self.truncated = True
            return
        kept.setdefault(key, value)


def is_onion(host: str) -> bool:
    """Whether *host* is the address of a Tor service."""
    return _ONION.search(host) is not None


def is_address(host: str) -> bool:
    """Whether *host* is an IP address rather than a name."""
    return _address(host.encode()) is not None


def _url_host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _hosts(text: bytes) -> Iterator[str]:
    for name in _HOST.findall(text):
        yield name.decode("ascii").lower()


def _addresses(pattern: re.Pattern[bytes], text: bytes) -> Iterator[_Address]:
    for match in pattern.finditer(text):
        if (address := _address(match[0])) is None:
            continue
        before = text[max(0, match.start() - _BEFORE_BYTES) : match.start()]
        if address.version == 4 and reads_as_version(  # noqa: PLR2004
            str(address), before.decode("latin-1")
        ):
            continue
        yield address


def _address(text: bytes) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        return None
    groups = [group for group in text.split(b":") if group]
    if address.version == 6 and len(groups) < _SHORTEST_IPV6_GROUPS:  # noqa: PLR2004
        return None
    return address


def _scope(address: _Address) -> str:
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    return "global" if address.is_global else "private"


def _emails(text: bytes) -> Iterator[str]:
    for match in _MAIL_DOMAIN.finditer(text):
        before = text[max(0, match.start() - 64) : match.start()]
        if name := _MAIL_NAME.search(before):
            yield f"{name[0].decode()}@{match[1].decode().lower()}"


def _blobs(text: bytes) -> Iterator[Blob]:
    for match in _BASE64.finditer(text):
        encoded = match[0]
        if _is_varied(encoded):
            yield Blob(len(encoded), _content(_decode(encoded)))


def _is_varied(encoded: bytes) -> bool:
    """Tell base64 from hexadecimal, paths and long identifiers: it uses every class."""
    body = encoded.rstrip(b"=")
    return (
        any(97 + 6 < byte < 123 for byte in body)  # noqa: PLR2004  (g to z: not hex)
        and any(65 <= byte < 91 for byte in body)  # noqa: PLR2004  (A to Z)
        and any(48 <= byte < 58 for byte in body)  # noqa: PLR2004  (0 to 9)
    )


def _decode(encoded: bytes) -> bytes:
    head = encoded.rstrip(b"=")[:_DECODE_CHARACTERS]
    whole = head[: len(head) - len(head) % 4]
    try:
        return base64.b64decode(whole)
    except binascii.Error:
        return b""


def _content(data: bytes) -> str:
    for magic, name in _MAGICS:
        if data.startswith(magic):
            return name
    if _is_utf16(data):
        return "utf16 text"
    if data and all(32 <= byte < 127 or byte in b"\r\n\t" for byte in data):  # noqa: PLR2004
        return "text"
    return "unknown"


def _looks_like_utf16(encoded: bytes) -> bool:
    return _is_utf16(_decode(encoded))


def _is_utf16(data: bytes) -> bool:
    """PowerShell's encoding: every second byte of ASCII text is zero."""
    return len(data) > 1 and not any(data[1::2]) and all(data[:-1:2])
