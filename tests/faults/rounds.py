"""
How long the rounds of faults are: one of each kind in every check, many in ``make
faults``, which sets ``ASSAY_TEST_LONG=1``.
"""

from __future__ import annotations

import os

import pytest

IS_LONG = os.environ.get("ASSAY_TEST_LONG") == "1"

#: What only a quiet machine passes, for it promises a rate.
only_long = pytest.mark.skipif(not IS_LONG, reason="is part of make faults alone")
