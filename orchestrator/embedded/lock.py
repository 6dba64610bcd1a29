"""
One stack at a time in a data directory: a lock that ends with whoever holds it.

It does not wait for what a killed stack left behind; the servers sort that out.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from orchestrator.domain.errors import ConfigurationError


def take_lock(data_dir: Path) -> IO[bytes]:
    """
    Take the lock and return it; closing it, or dying, gives it back.

    Raises:
        ConfigurationError: Another stack runs in this data directory.
    """
    # No child inherits it: one that outlives us for a moment must not keep it.
    file = (data_dir / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigurationError(
            f"Assay runs in {data_dir} already; use that one, stop it, or set"
            " ASSAY_DATA_DIR to another folder"
        ) from None
    return file
