"""
Rules of the house that a tool can see.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import DateTime
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.config import PREFIX, Settings
from orchestrator.db.tables import metadata

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("workers/**/*.py")])
#: Commands of ``assay`` that are those of ``python -m workers``.
SDK_COMMANDS = [["worker", verb] for verb in ("run", "new", "try", "conform")]

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()


def calls(path: Path, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in names:
            yield node


def test_only_the_unit_of_work_commits():
    """Migrations are a unit of their own."""
    committing = {path.name for path in SOURCES if any(calls(path, "commit"))}

    assert committing <= {"unit_of_work.py", "migrate.py"}


def test_what_is_read_is_not_written():
    """``queries/`` is what is read; whoever writes stands elsewhere."""
    statements = re.compile(r"\b(INSERT INTO|UPDATE \w+ (\w+ )?SET|DELETE FROM)\b")
    found = {
        path.name
        for path in (ROOT / "orchestrator/queries").glob("*.py")
        if statements.search(path.read_text())
        or {"insert", "update", "delete"} & set(_imported_names(path))
    }

    assert found == set()


def _imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_no_step_speaks_to_the_database_itself():
    """The linter keeps SQLAlchemy out of ``flow/``; a connection needs no import."""
    speaking = {
        f"{path.name}: {node.attr}"
        for path in (ROOT / "orchestrator/flow").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "connection"
    }

    assert speaking == set()


def test_what_runs_next_to_content_imports_next_to_nothing():
    """The linter knows our packages; this holds for those of everybody."""
    ours = {"analysis", "analyzer", "options", "sample", "sandbox.inside"}
    allowed = {f"workers.{name}" for name in ours}
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for path in (ROOT / "workers/sandbox/inside").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    foreign = {
        name
        for name in imported
        if name
        and name.partition(".")[0] not in sys.stdlib_module_names
        and not any(f"{name}.".startswith(f"{room}.") for room in allowed)
    }

    assert foreign == set()
    assert "workers.analyzer" in imported


def test_the_packages_of_the_sdk_are_empty():
    """Importing a part of one loads that part alone."""
    inits = (ROOT / "workers").glob("*/**/__init__.py")

    assert [str(path) for path in inits if path.read_text()] == []


def test_only_the_edges_read_the_environment():
    reading = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }

    assert reading <= {
        # Of which next to nothing is handed to the program that is looked at.
        "orchestrator/check/program.py",
        # What a shell wants completed.
        "orchestrator/cli/__init__.py",
        # What any program needs: where others are, and who it is.
        "orchestrator/client/settings.py",
        "orchestrator/config.py",
        "orchestrator/contracts/data_dir.py",
        "orchestrator/db/migrations/env.py",
        "orchestrator/embedded/launch.py",
        "orchestrator/embedded/nursery.py",
        "orchestrator/embedded/stack.py",
        # It takes a variable away that would open Flower to everybody.
        "orchestrator/flower_app.py",
        "workers/__main__.py",
        "workers/replica/app.py",
        "workers/sandbox/inside/child.py",
        "workers/replica/settings.py",
        "workers/sandbox/spawner.py",
        "workers/sandbox/inside/template.py",
    }


def test_every_setting_is_in_the_readme():
    missing = [
        name
        for name in Settings.model_fields
        if f"`{PREFIX}{name.upper()}`" not in README
    ]

    assert missing == []


def test_every_file_that_is_spoken_of_is_there():
    """Whoever moves a file moves the words about it too."""
    named = re.compile(r"`+((?:[\w.-]+/)*[\w-]+\.(?:py|md|yml|toml|json))`+")
    spoken = {
        (path, name)
        for path in [*SOURCES, *PAGES]
        for name in named.findall(path.read_text())
    }

    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, name in spoken
        if not any((base / name).exists() for base in _bases(path))
    }

    # What a reader of the README is to write.
    assert missing <= {"README.md: my_worker.py"}


def _bases(path: Path) -> list[Path]:
    """Return from where a file may be named: the tree, a package, the same folder."""
    packages = [ROOT / "orchestrator", ROOT / "workers", ROOT / "tests", ROOT / "docs"]
    return [ROOT, *packages, path.parent, path.parent.parent]


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_every_table_knows_when_its_rows_were_made(table: str):
    created = metadata.tables[table].c.created_at

    assert isinstance(created.type, DateTime)
    assert created.type.timezone


def test_the_readmes_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()

    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readmes_commands_exist():
    """Asked in one process: each start would load the same again."""
    groups = {"job", "task", "worker", "verdict", "poison", "key", "db"}
    written = sorted(set(re.findall(r"bin/assay ([a-z]+(?: [a-z]+)?)", README)))
    asked = [
        [command, *(rest if command in groups else []), "--help"]
        for command, *rest in (words.split() for words in written)
    ]
    cli._compose("")

    refused = [
        words
        for words in asked
        # These become another program, which answers itself.
        if words[:2] not in SDK_COMMANDS
        and CliRunner().invoke(cli.app, words).exit_code != 0
    ]

    assert len(asked) >= 8
    assert refused == []


@pytest.mark.parametrize("words", SDK_COMMANDS, ids=" ".join)
def test_the_sdks_commands_answer_themselves(words: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("workers", "celery kombu fastapi sqlalchemy pydantic"),
        ("orchestrator", "celery fastapi sqlalchemy"),
        ("orchestrator.contracts.report", "celery fastapi sqlalchemy"),
        ("orchestrator.cli.submit", "celery fastapi sqlalchemy"),
        ("orchestrator.cli.process", "celery fastapi sqlalchemy"),
        ("orchestrator.bootstrap.processes", "fastapi alembic"),
        (
            "orchestrator.client.assay",
            "celery kombu redis fastapi sqlalchemy structlog typer jsonschema",
        ),
        ("orchestrator.bootstrap.api", "celery redis stream_zip Crypto"),
        ("orchestrator.celery_app", "fastapi sqlalchemy"),
        ("workers.replica.app", "fastapi sqlalchemy"),
    ],
)
def test_an_import_loads_no_more_than_it_must(module: str, absent: str):
    """A worker's image carries no FastAPI and no SQLAlchemy."""
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert set(absent.split()) & set(done.stdout.split()) == set()


def test_no_client_of_http_is_made_for_one_question():
    """Each reads all certificates of the machine: more than a start has time for."""
    at_once = ("httpx.get", "httpx.post", "httpx.put", "httpx.request", "httpx.stream")
    found = [
        f"{path}:{call.lineno}"
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in at_once
    ]

    assert found == []


def test_every_line_of_the_threat_model_names_a_test_that_is_there():
    page = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?` \|$", page, re.MULTILINE)

    assert len(named) == len([row for row in rows if not row.startswith("| Somebody")])
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text(), (path, test)
