"""
The HTTP client of the command line and of programs, and how they speak to people.

It knows the API and nothing of the server behind it.
"""

from __future__ import annotations
