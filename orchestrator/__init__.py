"""
Assay: fans a sample out to analysis workers and brings a trustworthy verdict back.

``from orchestrator import Assay`` is the client for Python programs. It is loaded on
first use (PEP 562); importing the contracts, as a worker does, loads no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.client.assay import Assay
    from orchestrator.client.order import Order
    from orchestrator.domain.errors import AssayError

__version__ = "0.1.0"

__all__ = ["Assay", "AssayError", "Order"]

_HOMES = {
    "Assay": "orchestrator.client.assay",
    "AssayError": "orchestrator.domain.errors",
    "Order": "orchestrator.client.order",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # On first use.
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
