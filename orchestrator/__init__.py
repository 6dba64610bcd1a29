"""
Assay: fans a sample out to analysis workers and brings a trustworthy verdict back.

``from orchestrator import Assay`` loads the service on first use (PEP 562); importing
the contracts, as a worker does, loads neither FastAPI nor SQLAlchemy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.bootstrap.library import Assay

__all__ = ["Assay"]


def __getattr__(name: str) -> object:
    if name == "Assay":
        # Heavy: on first use.
        from orchestrator.bootstrap.library import Assay  # noqa: PLC0415

        return Assay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
