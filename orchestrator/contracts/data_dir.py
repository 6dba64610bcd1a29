"""
Where ``assay up`` keeps everything on this machine, and what it says there.

Every program of this machine may look: what the environment does not say stands in the
file ``env``. It writes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path


def data_directory() -> Path:
    """Return ``ASSAY_DATA_DIR``, else ``assay`` in the user's data folder."""
    given = os.environ.get("ASSAY_DATA_DIR")
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "assay"


def env_file() -> Path:
    """Return where ``assay up`` writes what the environment need not say."""
    return data_directory() / "env"


def is_readable(path: Path) -> bool:
    """
    Whether one may read it. What is another user's, or in a folder that may not be
    entered, is as if it were not there.
    """
    return os.access(path, os.R_OK)


def read_lines(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of an ``env`` file; none if there is no file."""
    if not is_readable(path):
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, equals, value in pairs if equals}
