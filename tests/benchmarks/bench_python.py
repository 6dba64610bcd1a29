"""
A virtual environment of its own for what only comparisons need: ``.venv/bench``.

Apart from the project's, whose versions must not follow anybody else's.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LOCK = Path(__file__).with_name("requirements.lock")


@cache
def bench_python() -> Path:
    """Return its interpreter; installs it when it is missing or the lock is newer."""
    folder = _ROOT / ".venv" / "bench"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if stamp.exists() and stamp.stat().st_mtime >= _LOCK.stat().st_mtime:
        return python
    print("… setting up .venv/bench (once; a minute)", file=sys.stderr)  # noqa: T201
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [*("-m", "pip", "install", "--quiet"), "--disable-pip-version-check"]
    locked = ["--require-hashes", "-r", str(_LOCK)]
    subprocess.run([str(python), *install, *locked], check=True, stdout=sys.stderr)
    stamp.touch()
    return python
