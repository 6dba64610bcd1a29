"""
The rules: states, clocks, retries, selection and verdicts.

Pure: standard library only, no I/O, no clock of its own.
"""

from __future__ import annotations
