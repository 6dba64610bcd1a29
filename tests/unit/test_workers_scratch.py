"""
The directory of a slot.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from workers.sandbox.scratch import SlotDirectory


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_child_reaches_its_slot_under_any_umask(tmp_path: Path, umask: int):
    slot = SlotDirectory(tmp_path, 0, None)

    before = os.umask(umask)
    try:
        slot.create()
    finally:
        os.umask(before)

    assert stat.S_IMODE(slot.directory.stat().st_mode) == 0o750
    assert stat.S_IMODE(slot.work.stat().st_mode) == 0o700
