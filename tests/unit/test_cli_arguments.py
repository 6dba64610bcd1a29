from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.audit import api_time, audit_row
from orchestrator.cli.job import worker_rows
from orchestrator.cli.worker import worker_state
from orchestrator.domain.errors import InvalidError
from orchestrator.terminal.sources import find_sources
from tests.fixtures.waiting import PATIENCE_SECONDS

TOP = {"demo", "up", "submit", "api", "dispatch", "consume", "beat", "maintain"}
TOP |= {"deliver"}
GROUPS = {"job", "task", "worker", "verdict", "key", "db", "webhook"}

#: What only servers need, and what takes a client command's time.
HEAVY = ("sqlalchemy", "celery", "kombu", "fastapi", "alembic", "supervisor")


def python(*words: str, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run Python without any setting of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    return subprocess.run(
        [sys.executable, *words],
        env={**kept, "ASSAY_DATA_DIR": str(folder / "nothing"), **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def assay(*words: str, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "orchestrator", *words, folder=folder, **extra)


def test_help_lists_every_command(tmp_path: Path):
    text = assay("--help", folder=tmp_path).stdout

    listed = {line.split()[0] for line in text.splitlines() if line.strip()}
    assert listed >= TOP | GROUPS


@pytest.mark.parametrize("word", ["submit", "job", "task", "worker", "verdict"])
def test_a_client_command_imports_neither_database_nor_broker(
    word: str, tmp_path: Path
):
    program = (
        "import sys; from orchestrator import cli; sys.argv[1:] = [sys.argv[1],"
        " '--help']\ntry: cli.main()\nexcept SystemExit: pass\n"
        f"sys.exit(str([m for m in {HEAVY} if m in sys.modules]))"
    )

    done = python("-c", program, word, folder=tmp_path)

    assert done.stderr.strip() == "[]"
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("submit",),
        ("submit", "x", "--priority", "10"),
        ("job", "show"),
        ("job", "no-such"),
        ("no-such",),
    ],
)
def test_a_wrong_command_line_is_usage(words: tuple[str, ...], tmp_path: Path):
    done = assay(*words, folder=tmp_path)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_missing_setting_is_named_with_its_remedy(tmp_path: Path):
    done = assay("job", "list", folder=tmp_path)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("assay: ASSAY_API_URL is not set; export")
    assert len(done.stderr.splitlines()) == 1


def test_nobody_answering_is_one_line(tmp_path: Path):
    here = {"ASSAY_API_URL": "http://127.0.0.1:9", "ASSAY_API_KEY": "k"}

    done = assay("worker", "list", folder=tmp_path, **here)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "nobody answers" in done.stderr


def test_the_sdks_commands_are_the_workers_own(tmp_path: Path):
    through = assay("worker", "try", "--help", folder=tmp_path)
    direct = python("-m", "workers", "try", "--help", folder=tmp_path)

    assert through.stdout == direct.stdout
    assert through.returncode == 0


def test_the_sdks_exit_code_comes_through(tmp_path: Path):
    assert assay("worker", "try", "nowhere", "x", folder=tmp_path).returncode == 2


@pytest.mark.parametrize("name", ["two words", "a/b", "", "x" * 65, "a\n", ".."])
def test_a_name_that_no_queue_can_have_is_refused(name: str, tmp_path: Path):
    done = assay("worker", "register", name, folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("assay: NAME: ")


def test_a_folder_gives_all_its_files_in_order(tmp_path: Path):
    for name in ("b/2", "a", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "b" / "pipe")

    found = find_sources([tmp_path, tmp_path / "a"])

    assert found.unusable == []
    shown = [each.shown for each in found.files]
    assert shown == ["a", "b/1", "b/2", str(tmp_path / "a")]


def test_what_cannot_be_sent_is_said_beside_what_can(tmp_path: Path):
    (tmp_path / "good").write_bytes(b"x")
    (tmp_path / "large").write_bytes(b"x" * 11)
    os.mkfifo(tmp_path / "pipe")
    named = [tmp_path / name for name in ("none", "good", "large", "pipe")]

    found = find_sources(named, limit_bytes=10)

    assert [each.source for each in found.files] == [tmp_path / "good"]
    assert {Path(each.shown).name: each.why for each in found.unusable} == {
        "none": "no such file or directory",
        "large": "is larger than 10 bytes (ASSAY_SAMPLE_MAX_BYTES)",
        "pipe": "is neither a file nor a folder",
    }


def test_a_name_that_is_too_long_is_said_in_words(tmp_path: Path):
    (unusable,) = find_sources([tmp_path / ("x" * 300)]).unusable

    assert unusable.why == "file name too long"


def test_what_one_may_not_look_at_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "closed").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    stat = Path.stat

    def refused(path: Path, **how: bool) -> os.stat_result:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return stat(path, **how)

    # Whoever runs the tests as root may look at everything.
    monkeypatch.setattr(Path, "stat", refused)
    for named, shown in ((tmp_path, "closed"), (tmp_path / "closed", None)):
        (unusable,) = find_sources([named]).unusable
        assert unusable.shown == (shown or str(named))
        assert unusable.why == "permission denied"


def test_a_closed_standard_input_is_no_sample(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", None)

    (unusable,) = find_sources([Path("-")]).unusable

    assert (unusable.shown, unusable.why) == ("-", "is closed")


def test_a_folder_with_nothing_in_it_is_a_mistake(tmp_path: Path):
    with pytest.raises(InvalidError, match="there are no files"):
        find_sources([tmp_path])


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "live"),
        ({"replicas": 0}, "nobody home"),
        ({"aside": [{}]}, "live"),
        ({"aside": [{}, {}]}, "aside"),
        ({"replicas": 0, "pausedTimestamp": 1}, "paused"),
        ({"pausedTimestamp": 1, "deletedTimestamp": 2}, "deleted"),
    ],
)
def test_a_workers_state_is_what_keeps_its_tasks_from_moving(
    fields: dict[str, object], word: str
):
    known = {"replicas": 2, "pausedTimestamp": None, "deletedTimestamp": None}

    assert worker_state({**known, **fields}) == word


def test_jobs_together_are_counted_by_worker_and_state():
    def task(worker: str, state: str) -> dict[str, str]:
        return {"worker": worker, "state": state}

    first = [task("yara", "success"), task("strings", "enqueued")]
    second = [task("yara", "timeout")]

    assert list(worker_rows([({}, first), ({}, second)])) == [
        ("strings", "0/1", 1, None, None, None, None, None),
        ("yara", "2/2", None, None, 1, None, 1, None),
    ]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("30m", "now - 30 minute"),
        ("1d", "now - 1 day"),
        ("2016-11-30T15:47:00Z", "2016-11-30T15:47:00Z"),
        ("d1", "d1"),
    ],
)
def test_how_long_ago_is_sent_as_the_api_writes_it(written: str, sent: str):
    assert api_time(written) == sent


def test_an_audit_entrys_detail_is_read_in_words():
    entry = {
        "timestamp": 1_700_000_000_000,
        "actor": "user alice",
        "source": "10.0.0.1",
        "action": "policy.update",
        "object": "default",
        "detail": {
            "weight": {"from": 1.0, "to": 0.5},
            "workers": {"from": None, "to": ["a", "b"]},
            "options": {"from": ["k"], "to": []},
            "localizedNames": None,
            "label": "x",
            "customers": None,
            "tasks": 3,
        },
    }

    when, *rest = audit_row(entry)

    assert str(when) == "2023-11-14 22:13:20"
    assert tuple(rest) == (
        "user alice",
        "10.0.0.1",
        "policy.update",
        "default",
        "weight 1.0 → 0.5, workers - → a b, options k → none, label x, tasks 3",
    )
