"""
Finds what may be an indicator, from what is rare in each: ``://``, a dot, a run.

A pattern that may begin at any byte costs twenty times what a search for a few fixed
bytes does. So each search here begins at those, looks back to where the word begins,
and only there asks the whole pattern. It says where things are, not what they mean.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

_ALPHANUMERIC = (string.ascii_letters + string.digits).encode()
_HEX = string.hexdigits.encode()
_DIGITS = string.digits.encode()

_SCHEMES = (b"https", b"http", b"ftps", b"ftp", b"hxxps", b"hxxp")
_LONGEST_SCHEME = 5
_SCHEME_END = re.compile(rb"://")
_URL_REST = re.compile(rb"[^\s\x00-\x20\"'<>\\^`{|}\x7f-\xff]{3,2000}")

#: Bare names only under domains that are seldom the end of a file's or symbol's name.
_DOMAINS = (
    rb"(?:com|net|org|info|biz|onion|ru|cn|top|xyz|club|online|site|example|test)"
    rb"(?![A-Za-z0-9_.-])"
)
_DOMAIN_END = re.compile(rb"\." + _DOMAINS, re.IGNORECASE)
_HOST = re.compile(rb"(?:[A-Za-z0-9-]{1,63}\.){1,8}" + _DOMAINS, re.IGNORECASE)
#: What a host's word is made of, and what must not stand before it.
_HOST_BYTES = _ALPHANUMERIC + b".@_/-"
_HOST_WORD = re.compile(rb"[A-Za-z0-9.@_/-]*+")
#: Eight labels with their dots, and one byte that tells whether the word goes on.
_LONGEST_LABELS = 8 * 64 + 1

_IPV4_REST = re.compile(rb"\.\d{1,3}+\.\d{1,3}+\.\d{1,3}+(?![\d.])")
_IPV4 = re.compile(rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6_REST = re.compile(rb"::?[0-9a-fA-F]{1,4}::?[0-9a-fA-F]{1,4}")
_IPV6 = re.compile(
    rb"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:{1,2}){2,7}[0-9a-fA-F]{1,4}(?![\w:.])"
)
#: Only a word's beginning may be an address.
_IPV6_WORD = re.compile(rb"[\w:.]*+")
_IPV6_COLONS = 7

_MAIL_DOMAIN = re.compile(
    rb"@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_MAIL_NAME_BYTES = _ALPHANUMERIC + b"._%+-"
_LONGEST_MAIL_NAME = 64

#: Characters of a digest in hexadecimal: MD5, SHA-1, SHA-256.
DIGEST_LENGTHS = (32, 40, 64)
_SHORTEST_BASE64 = 40
_RUN = b"r"
_RUN_REST = re.compile(rb"r*+")


def _marking(members: bytes, near: bytes) -> bytes:
    """Make a table that turns *members* into a run, and *near* into its neighbours."""
    return bytes(
        _RUN[0] if byte in members else ord("n") if byte in near else ord(" ")
        for byte in range(256)
    )


_HEX_RUNS = _marking(_HEX, _ALPHANUMERIC)
_BASE64_RUNS = _marking(_ALPHANUMERIC + b"+/", b"=")


def urls(text: bytes) -> Iterator[bytes]:
    """Yield each URL, with all that may belong to it."""
    end = 0
    for match in _SCHEME_END.finditer(text):
        before = text[max(end, match.start() - _LONGEST_SCHEME) : match.start()].lower()
        scheme = next((name for name in _SCHEMES if before.endswith(name)), None)
        rest = _URL_REST.match(text, match.end()) if scheme else None
        if scheme and rest:
            end = rest.end()
            yield text[match.start() - len(scheme) : end]


def hosts(text: bytes) -> Iterator[bytes]:
    """Yield each bare name of a host; what follows an ``@`` or a slash is none."""
    end = 0
    while match := _DOMAIN_END.search(text, end):
        since = max(end, match.start() - _LONGEST_LABELS)
        start = since + len(text[since : match.start()].rstrip(_HOST_BYTES))
        end = _end_of(_HOST_WORD, text, match.start())
        if start == since > 0 and text[since - 1] in _HOST_BYTES:
            continue
        if host := _HOST.match(text, start):
            yield host[0]


def ipv4(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where four dotted numbers are, and these."""
    for match in _IPV4_REST.finditer(text):
        start = match.start() - _run_before(text, match.start(), _DIGITS, 3)
        if number := _IPV4.match(text, start):
            yield start, number[0]


def ipv6(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where groups with colons between them are that may be an address."""
    end = 0
    while match := _IPV6_REST.search(text, end):
        end = _end_of(_IPV6_WORD, text, match.start())
        start = match.start() - _run_before(text, match.start(), _HEX, 4)
        groups = _IPV6.match(text, start)
        # Times of day are groups, too.
        if groups and (b"::" in groups[0] or groups[0].count(b":") == _IPV6_COLONS):
            yield start, groups[0]


def emails(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the domain of each address of e-mail."""
    for match in _MAIL_DOMAIN.finditer(text):
        at = match.start()
        length = _run_before(text, at, _MAIL_NAME_BYTES, _LONGEST_MAIL_NAME)
        if length:
            yield text[at - length : at], match[1]


def digests(text: bytes) -> Iterator[bytes]:
    """Yield each word that is as long as a digest and hexadecimal throughout."""
    marks = text.translate(_HEX_RUNS)
    for start, end in _runs(marks, DIGEST_LENGTHS[0]):
        stands_alone = marks[start - 1 : start] != b"n" and marks[end : end + 1] != b"n"
        if end - start in DIGEST_LENGTHS and stands_alone:
            yield text[start:end]


def base64_runs(text: bytes) -> Iterator[bytes]:
    """Yield what is long enough and made of the letters of Base64, with its end."""
    marks = text.translate(_BASE64_RUNS)
    for start, end in _runs(marks, _SHORTEST_BASE64):
        if marks[start - 1 : start] != b"n":
            fill = 2 if text[end : end + 2] == b"==" else text[end : end + 1] == b"="
            yield text[start : end + fill]


def _run_before(text: bytes, at: int, members: bytes, longest: int) -> int:
    """How many bytes before *at*, at most *longest*, are all of *members*."""
    before = text[max(0, at - longest) : at]
    return len(before) - len(before.rstrip(members))


def _end_of(word: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = word.match(text, at)
    return match.end() if match else at


def _runs(marks: bytes, shortest: int) -> Iterator[tuple[int, int]]:
    needle = _RUN * shortest
    start = marks.find(needle)
    while start >= 0:
        end = _end_of(_RUN_REST, marks, start)
        yield start, end
        start = marks.find(needle, end)
