"""
How commands speak to people: tables and progress, signals, what is said while it waits.
"""

from __future__ import annotations
