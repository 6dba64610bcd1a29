"""
The other tests of the sandbox once more, as an ordinary user.

Without root a slot has no user of its own: Landlock and seccomp stand alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.given_servers import ADDRESSES
from tests.fixtures.ordinary import NOBODY, reachable_interpreter
from tests.fixtures.rounds import IS_LONG

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: In the check those of what another user would have kept apart.
TESTS = (
    ("outcomes", "confinement", "processes", "old_kernels", "shares")
    if IS_LONG
    else ("confinement", "shares")
)

#: What the tests import: pytest, pydantic, and what these need.
PACKAGES = (
    "_pytest",
    "annotated_types",
    "iniconfig",
    "packaging",
    "pluggy",
    "py.py",
    "pydantic",
    "pydantic_core",
    "pygments",
    "pytest",
    "typing_extensions.py",
    "typing_inspection",
)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that everybody may enter: pytest's own are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        # With what is compiled of it: every child of every slot is a new process.
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _copy_project(home: Path) -> Path:
    root = home / "project"
    site = Path(pytest.__file__).parents[1]
    for name in PACKAGES:
        _copy(site / name, home / "site" / name)
    for name in (
        "workers",
        "orchestrator/__init__.py",
        "orchestrator/contracts",
        "tests/fixtures/analyzers",
        "tests/fixtures/attacks.py",
        "tests/fixtures/given_servers.py",
        "tests/fixtures/sandboxes.py",
        *(f"tests/integration/test_sandbox_{which}.py" for which in TESTS),
    ):
        _copy(ROOT / name, root / name)
    return root


@pytest.mark.skipif(os.geteuid() != 0, reason="all of them run as one already")
def test_everything_holds_for_an_ordinary_user(home, real_servers):
    python = reachable_interpreter(home)
    root = _copy_project(home)
    (home / "temporary").mkdir()
    os.chown(home / "temporary", NOBODY, NOBODY)
    (home / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")

    options = ["-q", "-x", "-p", "no:cacheprovider", "--import-mode=importlib"]
    options += ["-p", "tests.fixtures.given_servers"]
    folders = ["--rootdir", root, "--basetemp", home / "temporary" / "pytest"]
    command = [python, "-m", "pytest", "-c", home / "pytest.ini", *options, *folders]
    done = subprocess.run(
        [*map(str, command), str(root / "tests")],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{root}{os.pathsep}{home / 'site'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home / "temporary"),
            ADDRESSES: json.dumps(real_servers),
        },
        cwd=root,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
