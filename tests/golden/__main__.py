"""
Writes what the commands say anew: ``python -m tests.golden`` (read it first).
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.fixtures.golden import WRITE

if __name__ == "__main__":
    os.environ[WRITE] = "1"
    sys.exit(pytest.main(["-q", "tests/unit/test_help.py", "tests/e2e/test_output.py"]))
