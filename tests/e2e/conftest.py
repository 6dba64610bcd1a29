"""
One stack for every test that leaves it as it was, and a world for a newcomer.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.embedded.ports import free_port
from tests.fixtures.brokers import redis_server
from tests.fixtures.embedded import ODD_NAME, Up, World, cleared
from tests.fixtures.ordinary import (
    become_nobody,
    open_to_all,
    reachable_interpreter,
    reachable_packages,
)

__all__ = ["redis_server"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """``assay up`` in a folder of an odd name, below one that is its owner's alone."""
    folder = tmp_path_factory.mktemp("up")
    folder.chmod(0o700)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    with cleared(folder / ODD_NAME) as data_dir:
        world = World(
            env={
                **kept,
                "ASSAY_DATA_DIR": str(data_dir),
                "ASSAY_API_PORT": str(free_port()),
                "ASSAY_FLOWER_PORT": str(free_port()),
            }
        )
        with world.up(folder / "log") as up:
            yield up


@pytest.fixture(scope="session")
def newcomer() -> Iterator[World]:
    """
    An ordinary user with an empty home directory of a long and odd name.

    Where the tests run as root it is ``nobody``, who can not reach our files.
    """
    with tempfile.TemporaryDirectory(prefix="assay-newcomer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = folder / ODD_NAME / ("long" * 50) / ("longer" * 40)
        home.mkdir(parents=True)
        with cleared(home / ".local/share/assay"):
            yield _world(folder, home)


def _world(folder: Path, home: Path) -> World:
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "ASSAY_API_PORT": str(free_port()),
        "ASSAY_FLOWER_PORT": "0",
    }
    user = become_nobody()
    if user is None:
        return World(env=environment)
    os.chown(home, *user)
    project = folder / "project"
    for package in ("orchestrator", "workers"):
        shutil.copytree(ROOT / package, project / package)
    open_to_all(project)
    path = f"{project}{os.pathsep}{reachable_packages(folder)}"
    return World(
        env={**environment, "PYTHONPATH": path},
        python=reachable_interpreter(folder),
        user=user,
    )
