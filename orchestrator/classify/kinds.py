"""
How an answer is made: a type, the super type that it belongs to, and a MIME type.
"""

from __future__ import annotations

from orchestrator.contracts.assignment import Classification


def kind(name: str, super_type: str, mime_type: str) -> Classification:
    """Return the kind of a file that runs on no machine by itself."""
    return Classification(type=name, super_type=super_type, mime_type=mime_type)


def program(
    name: str, platform: str, arch: str | None, mime_type: str
) -> Classification:
    """Return the kind of a program; without an architecture it is ``unknown``."""
    return Classification(
        type=name,
        super_type="executable",
        platform=platform,
        arch=arch or "unknown",
        mime_type=mime_type,
    )
