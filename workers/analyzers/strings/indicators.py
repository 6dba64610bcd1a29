"""
Picks indicators out of bytes: URLs, hosts, addresses, hashes and encoded data.

Where they may be, ``anchors`` finds. Does not read files and does not score.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from workers.analyzers.strings import anchors
from workers.dotted import reads_as_version
from workers.findings import clean

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Kept of each list; more than this is a data file, not a set of indicators.
LIST_LIMIT = 200
URL_LIMIT = 2048

_ONION = re.compile(r"(?:^|\.)(?:[a-z2-7]{16}|[a-z2-7]{56})\.onion$")
#: PowerShell takes any unambiguous beginning of -EncodedCommand.
_ENCODED_COMMAND = re.compile(
    rb"-e(?:nc?|nco(?:d(?:e(?:d(?:c(?:o(?:m(?:m(?:a(?:nd?)?)?)?)?)?)?)?)?)?)?"
    rb"[\s\"']{1,8}([A-Za-z0-9+/]{20,}={0,2})",
    re.IGNORECASE,
)
#: Letters that no hexadecimal has, capitals and digits.
_CLASSES = (re.compile(rb"[h-z]"), re.compile(rb"[A-Z]"), re.compile(rb"[0-9]"))
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


class Kept(dict[_Key, _Value]):
    """Distinct things in order of appearance, at most :data:`LIST_LIMIT`."""

    #: There were more.
    is_cut = False

    def add_all(self, found: Iterable[tuple[_Key, _Value]]) -> None:
        """Keep what is new; nothing is looked for once there was too much."""
        if self.is_cut:
            return
        for key, value in found:
            if len(self) >= LIST_LIMIT and key not in self:
                self.is_cut = True
                return
            self.setdefault(key, value)


@dataclass(slots=True)
class Indicators:
    """Distinct indicators in order of appearance, each list bounded."""

    urls: Kept[str, str] = field(default_factory=Kept)
    hosts: Kept[str, None] = field(default_factory=Kept)
    ipv4: Kept[str, str] = field(default_factory=Kept)
    ipv6: Kept[str, str] = field(default_factory=Kept)
    emails: Kept[str, None] = field(default_factory=Kept)
    hashes: Kept[str, str] = field(default_factory=Kept)
    blobs: Kept[Blob, None] = field(default_factory=Kept)
    encoded_commands: int = 0

    def collect(self, text: bytes) -> None:
        """Add everything that *text* holds."""
        if not (self.urls.is_cut and self.hosts.is_cut):
            self._collect_urls(text)
        self.hosts.add_all((name, None) for name in _hosts(text))
        self.ipv4.add_all(_addresses(anchors.ipv4(text), text))
        self.ipv6.add_all(_addresses(anchors.ipv6(text), text))
        self.emails.add_all((email, None) for email in _emails(text))
        self.hashes.add_all(_hashes(text))
        self.blobs.add_all((blob, None) for blob in _blobs(text))
        self.encoded_commands += sum(
            _looks_like_utf16(match[1]) for match in _ENCODED_COMMAND.finditer(text)
        )

    def _collect_urls(self, text: bytes) -> None:
        for found in anchors.urls(text):
            url = found.rstrip(b".,;:!?)]*").decode("ascii")
            host = _url_host(url)
            if host:
                self.urls.add_all([(clean(url, URL_LIMIT), host)])
                self.hosts.add_all([(host, None)])


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
    for name in anchors.hosts(text):
        yield name.decode("ascii").lower()


def _addresses(
    found: Iterable[tuple[int, bytes]], text: bytes
) -> Iterator[tuple[str, str]]:
    for at, written in found:
        if (address := _address(written)) is None:
            continue
        before = text[max(0, at - _BEFORE_BYTES) : at]
        if address.version == 4 and reads_as_version(  # noqa: PLR2004
            str(address), before.decode("latin-1")
        ):
            continue
        yield str(address), _scope(address)


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
    for name, domain in anchors.emails(text):
        yield f"{name.decode()}@{domain.decode().lower()}"


def _hashes(text: bytes) -> Iterator[tuple[str, str]]:
    for digest in anchors.digests(text):
        yield digest.decode().lower(), _HASH_NAMES[len(digest)]


def _blobs(text: bytes) -> Iterator[Blob]:
    for encoded in anchors.base64_runs(text):
        # Hexadecimal, paths and long identifiers use not all of the classes.
        if all(letters.search(encoded) for letters in _CLASSES):
            yield Blob(len(encoded), _content(_decode(encoded)))


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
